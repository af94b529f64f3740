//! The operation on flex and ndarray.

use std::sync::Arc;

use burn::backend::{
    Backend, Dispatch, DispatchTensor,
    autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy},
    backend_extension,
    tensor::FloatTensor,
};
use burn::tensor::{Shape, Tensor};

use super::kernel::{self, Dims, Grads, Saved};
use super::{LuongInputs, LuongScore, LuongStates};
use crate::host_vec;
use crate::ops::host::HostTensor;
use crate::ops::step_on_slices::cell_or_bias;
use crate::ops::tensor_list::TensorList;
use crate::ops::whole_pass::{WholePass, on_tape, outputs};

/// Number of arguments that have gradients: those of [`LuongInputs`] in their order, with the cell
/// of an LSTM or the recurrent bias of a GRU for both, and the three of the additive score last.
pub(super) const ARGUMENTS: usize = 13;

/// Runs the operation as one node.
pub(super) fn luong(
    inputs: LuongInputs,
    src_lengths: &[usize],
    tgt_lengths: &[usize],
) -> LuongStates {
    let device = inputs.embedded.device();
    let (lstm, last) = cell_or_bias(inputs.cell, inputs.recurrent_bias);
    let unused = || Tensor::<1>::zeros([1], &device).into_dispatch();
    let (scale, score): (_, [DispatchTensor; 3]) = match inputs.score {
        LuongScore::Dot { scale } => (Some(scale as f32), [(); 3].map(|()| unused())),
        LuongScore::Additive {
            query_weight,
            query_bias,
            v,
        } => {
            let query_weight = query_weight.into_dispatch();
            (
                None,
                [query_weight, query_bias.into_dispatch(), v.into_dispatch()],
            )
        }
    };
    let dropout = inputs.dropout.map(|dropout| Arc::new(host_vec(dropout)));
    let plan = Plan {
        src_lengths: src_lengths.to_vec(),
        tgt_lengths: tgt_lengths.to_vec(),
        lstm,
        scale,
        dropout,
    };
    let mut arguments = vec![
        inputs.embedded.into_dispatch(),
        inputs.hidden.into_dispatch(),
        inputs.keys.into_dispatch(),
        inputs.memory.into_dispatch(),
        inputs.input_weight.into_dispatch(),
        inputs.input_bias.into_dispatch(),
        inputs.recurrent_weight.into_dispatch(),
        last,
        inputs.attentional_weight.into_dispatch(),
        inputs.attentional_bias.into_dispatch(),
    ];
    arguments.extend(score);
    let outputs = Dispatch::luong(TensorList(arguments), plan);
    let [attentional, weights] = outputs.into_array().map(Tensor::from_dispatch);
    LuongStates {
        attentional,
        weights,
    }
}

/// What the operation knows besides its arguments.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of each source.
    pub(super) src_lengths: Vec<usize>,
    /// Of each target.
    pub(super) tgt_lengths: Vec<usize>,
    /// Whether the cell is an LSTM's.
    pub(super) lstm: bool,
    /// Of dot products; none for additive scores.
    pub(super) scale: Option<f32>,
    /// `[batch, tgt_len, d_attentional]`
    pub(super) dropout: Option<Arc<Vec<f32>>>,
}

/// The operation of a CPU backend.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait LuongOps: Backend {
    /// f and a of all steps, of the arguments (see [`ARGUMENTS`]).
    fn luong(#[extension_type] arguments: TensorList<Self>, plan: Plan) -> TensorList<Self>;
}

fn dims(shapes: &[Shape; ARGUMENTS], plan: &Plan) -> Dims {
    let [embedded, hidden, keys, memory, attentional_weight] =
        [0, 1, 2, 3, 8].map(|at| &shapes[at]);
    Dims {
        batch: embedded[0],
        tgt_len: embedded[1],
        src_len: memory[1],
        d_embed: embedded[2],
        d_hidden: hidden[1],
        d_key: keys[2],
        d_memory: memory[2],
        d_out: attentional_weight[1],
        lstm: plan.lstm,
        additive: plan.scale.is_none(),
    }
}

/// The operation as a pass on slices.
#[derive(Debug)]
struct Luong;

impl WholePass<ARGUMENTS> for Luong {
    type Plan = Plan;
    type Saved = Saved;

    fn shapes_of_outputs(shapes: &[Shape; ARGUMENTS], plan: &Plan) -> Vec<Shape> {
        let dims = dims(shapes, plan);
        let sizes = [dims.d_out, dims.src_len];
        sizes
            .map(|size| Shape::from([dims.batch, dims.tgt_len, size]))
            .into()
    }

    fn forward(
        arguments: [&[f32]; ARGUMENTS],
        shapes: &[Shape; ARGUMENTS],
        plan: &Plan,
        _keep: bool,
    ) -> (Vec<Vec<f32>>, Vec<Saved>) {
        kernel::forward(arguments, plan, dims(shapes, plan))
    }

    fn backward(
        grads: &[Option<&[f32]>],
        arguments: [&[f32]; ARGUMENTS],
        shapes: &[Shape; ARGUMENTS],
        saved: Vec<Saved>,
        plan: &Plan,
        _wanted: [bool; ARGUMENTS],
    ) -> Vec<Vec<f32>> {
        let grads = Grads {
            attentional: grads[0],
            weights: grads[1],
        };
        kernel::backward(grads, arguments, saved, plan, dims(shapes, plan)).into()
    }
}

#[cfg(feature = "flex")]
impl LuongOps for burn::backend::Flex {
    fn luong(arguments: TensorList<Self>, plan: Plan) -> TensorList<Self> {
        outputs::<Luong, Self, ARGUMENTS>(arguments, &plan)
    }
}

#[cfg(feature = "ndarray")]
impl LuongOps for burn::backend::NdArray {
    fn luong(arguments: TensorList<Self>, plan: Plan) -> TensorList<Self> {
        outputs::<Luong, Self, ARGUMENTS>(arguments, &plan)
    }
}

impl<B: LuongOps, C: CheckpointStrategy> LuongOps for Autodiff<B, C>
where
    FloatTensor<B>: HostTensor,
{
    fn luong(arguments: TensorList<Self>, plan: Plan) -> TensorList<Self> {
        on_tape::<Luong, B, C, ARGUMENTS>(arguments, plan)
    }
}
