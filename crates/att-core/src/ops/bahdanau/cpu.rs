//! The operation on flex and ndarray.

use burn::backend::{
    Backend, Dispatch,
    autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy},
    backend_extension,
    tensor::FloatTensor,
};
use burn::tensor::{Shape, Tensor};

use super::kernel::{self, Dims, Grads, Saved};
use super::{BahdanauInputs, BahdanauStates};
use crate::ops::host::HostTensor;
use crate::ops::step_on_slices::cell_or_bias;
use crate::ops::tensor_list::TensorList;
use crate::ops::whole_pass::{WholePass, on_tape, outputs};

/// Number of arguments that have gradients: those of [`BahdanauInputs`] in their order, with the cell
/// of an LSTM or the recurrent bias of a GRU at the end.
pub(super) const ARGUMENTS: usize = 11;

/// Runs the operation as one node.
pub(super) fn bahdanau(
    inputs: BahdanauInputs,
    src_lengths: &[usize],
    tgt_lengths: &[usize],
) -> BahdanauStates {
    let (lstm, last) = cell_or_bias(inputs.cell, inputs.recurrent_bias);
    let lengths = Lengths {
        src: src_lengths.to_vec(),
        tgt: tgt_lengths.to_vec(),
        lstm,
    };
    let arguments = vec![
        inputs.embedded.into_dispatch(),
        inputs.hidden.into_dispatch(),
        inputs.keys.into_dispatch(),
        inputs.memory.into_dispatch(),
        inputs.query_weight.into_dispatch(),
        inputs.query_bias.into_dispatch(),
        inputs.v.into_dispatch(),
        inputs.input_weight.into_dispatch(),
        inputs.input_bias.into_dispatch(),
        inputs.recurrent_weight.into_dispatch(),
        last,
    ];
    let outputs = Dispatch::bahdanau(TensorList(arguments), lengths);
    let [hidden_and_context, weights] = outputs.into_array().map(Tensor::from_dispatch);
    BahdanauStates {
        hidden_and_context,
        weights,
    }
}

/// What the operation knows besides its tensors.
#[derive(Clone, Debug)]
pub struct Lengths {
    /// Of each source.
    pub src: Vec<usize>,
    /// Of each target.
    pub tgt: Vec<usize>,
    /// Whether the cell is an LSTM's.
    pub lstm: bool,
}

/// The operation of a CPU backend.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait BahdanauOps: Backend {
    /// `[s; c]` of each step and its weights, of the arguments (see [`ARGUMENTS`]).
    fn bahdanau(
        #[extension_type] arguments: TensorList<Self>,
        lengths: Lengths,
    ) -> TensorList<Self>;
}

fn dims(shapes: &[Shape; ARGUMENTS], lengths: &Lengths) -> Dims {
    let [embedded, hidden, keys, memory] = [0, 1, 2, 3].map(|at| &shapes[at]);
    Dims {
        batch: embedded[0],
        tgt_len: embedded[1],
        src_len: memory[1],
        d_embed: embedded[2],
        d_hidden: hidden[1],
        d_attn: keys[2],
        d_memory: memory[2],
        lstm: lengths.lstm,
    }
}

/// The operation as a pass on slices.
#[derive(Debug)]
struct Bahdanau;

impl WholePass<ARGUMENTS> for Bahdanau {
    type Plan = Lengths;
    type Saved = Saved;

    fn shapes_of_outputs(shapes: &[Shape; ARGUMENTS], lengths: &Lengths) -> Vec<Shape> {
        let dims = dims(shapes, lengths);
        let sizes = [dims.d_states(), dims.src_len];
        sizes
            .map(|size| Shape::from([dims.batch, dims.tgt_len, size]))
            .into()
    }

    fn forward(
        arguments: [&[f32]; ARGUMENTS],
        shapes: &[Shape; ARGUMENTS],
        lengths: &Lengths,
        _keep: bool,
    ) -> (Vec<Vec<f32>>, Vec<Saved>) {
        kernel::forward(arguments, lengths, dims(shapes, lengths))
    }

    fn backward(
        grads: &[Option<&[f32]>],
        arguments: [&[f32]; ARGUMENTS],
        shapes: &[Shape; ARGUMENTS],
        saved: Vec<Saved>,
        lengths: &Lengths,
        _wanted: [bool; ARGUMENTS],
    ) -> Vec<Vec<f32>> {
        let grads = Grads {
            states: grads[0],
            weights: grads[1],
        };
        kernel::backward(grads, arguments, saved, lengths, dims(shapes, lengths)).into()
    }
}

#[cfg(feature = "flex")]
impl BahdanauOps for burn::backend::Flex {
    fn bahdanau(arguments: TensorList<Self>, lengths: Lengths) -> TensorList<Self> {
        outputs::<Bahdanau, Self, ARGUMENTS>(arguments, &lengths)
    }
}

#[cfg(feature = "ndarray")]
impl BahdanauOps for burn::backend::NdArray {
    fn bahdanau(arguments: TensorList<Self>, lengths: Lengths) -> TensorList<Self> {
        outputs::<Bahdanau, Self, ARGUMENTS>(arguments, &lengths)
    }
}

impl<B: BahdanauOps, C: CheckpointStrategy> BahdanauOps for Autodiff<B, C>
where
    FloatTensor<B>: HostTensor,
{
    fn bahdanau(arguments: TensorList<Self>, lengths: Lengths) -> TensorList<Self> {
        on_tape::<Bahdanau, B, C, ARGUMENTS>(arguments, lengths)
    }
}
