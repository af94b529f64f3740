//! Layers on slices, for flex and ndarray.
//!
//! The rows are dealt out in shares ([`Steps`](crate::ops::steps::Steps)), and each thread takes its
//! share of one direction through all steps with products of its own, so that threads meet only at
//! the ends of the sequence. The running states of a share lie densely together, longest row first,
//! so that a step's product has the rows that are still running as its left factor and no others.
//! Inputs are read where they lie and projected a few steps ahead.

mod cell;
mod gates;
mod kernel;
mod one_direction;
mod plan;
mod weights;

use burn::backend::{
    Backend, Dispatch,
    autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy},
    backend_extension,
    tensor::FloatTensor,
};
use burn::tensor::{Shape, Tensor};

use super::sequences::Sequences;
use super::{Cell, Layer, RecurrentStates};
use crate::RecurrentState;
use crate::ops::gru::cpu::GruCell;
use crate::ops::host::HostTensor;
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::tensor_list::TensorList;
use crate::ops::whole_pass::{WholePass, on_tape, outputs};
use kernel::Sizes;

pub(in crate::ops) use cell::{Before, CpuCell, Piece};
pub(in crate::ops) use gates::{
    InputWeights, SLOTS, add_to_line, bias_gradients, biases, input_weight_gradient,
};
pub(in crate::ops) use weights::Weights;

/// Number of arguments of a direction, which all have gradients: those of [`Layer`] in their order.
const ARGUMENTS: usize = 6;

/// Runs the layers as one node.
pub(super) fn run(layers: Vec<Layer>, sequences: Sequences) -> RecurrentStates {
    let plan = LayersPlan {
        cell: layers[0].cell(),
        sequences,
    };
    let arguments = layers.into_iter().flat_map(|layer| {
        [
            layer.input.into_dispatch(),
            layer.input_weight.into_dispatch(),
            layer.input_bias.into_dispatch(),
            layer.recurrent_weight.into_dispatch(),
            layer.hidden.into_dispatch(),
            layer.extra.into_dispatch(),
        ]
    });
    let arguments = TensorList(arguments.collect());
    let mut outputs = Dispatch::recurrent_layers(arguments, plan).0.into_iter();
    let hidden = outputs.next().expect("states of all steps");
    let last = outputs.next().expect("the last states");
    RecurrentStates {
        hidden: Tensor::from_dispatch(hidden),
        last: RecurrentState {
            hidden: Tensor::from_dispatch(last),
            cell: outputs.next().map(Tensor::from_dispatch),
        },
    }
}

/// What the operation knows besides its tensors.
#[derive(Clone, Debug)]
pub struct LayersPlan {
    cell: Cell,
    sequences: Sequences,
}

/// The operation of a CPU backend.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait RecurrentLayersOps: Backend {
    /// h of all steps, the last h, and of an LSTM the last c, of the [`ARGUMENTS`] of one or of both
    /// directions.
    fn recurrent_layers(
        #[extension_type] arguments: TensorList<Self>,
        plan: LayersPlan,
    ) -> TensorList<Self>;
}

/// What the gradient needs of a share in one direction: a line for each position.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    /// See [`CpuCell`].
    gates: Vec<f32>,
    /// h before the step, `[positions, d]`.
    hiddens: Vec<f32>,
    /// c before the step of an LSTM; else empty.
    cells: Vec<f32>,
}

/// The operation as a pass on slices.
#[derive(Debug)]
struct Layers;

fn sizes(shapes: &[Shape]) -> Sizes {
    Sizes {
        d_input: shapes[0][2],
        d: shapes[4][1],
    }
}

impl<const N: usize> WholePass<N> for Layers {
    type Plan = LayersPlan;
    type Saved = Saved;

    fn shapes_of_outputs(shapes: &[Shape; N], plan: &LayersPlan) -> Vec<Shape> {
        let (batch, width) = (shapes[0][0], N / ARGUMENTS * sizes(shapes).d);
        let all = Shape::from([batch, plan.sequences.len, width]);
        let last = Shape::from([batch, width]);
        [vec![all], vec![last; plan.cell.states()]].concat()
    }

    fn forward(
        arguments: [&[f32]; N],
        shapes: &[Shape; N],
        plan: &LayersPlan,
        keep: bool,
    ) -> (Vec<Vec<f32>>, Vec<Saved>) {
        let forward = match plan.cell {
            Cell::Lstm => kernel::forward::<LstmCell>,
            Cell::Gru => kernel::forward::<GruCell>,
        };
        forward(&arguments, &plan.sequences, sizes(shapes), keep)
    }

    fn backward(
        grads: &[Option<&[f32]>],
        arguments: [&[f32]; N],
        shapes: &[Shape; N],
        saved: Vec<Saved>,
        plan: &LayersPlan,
        wanted: [bool; N],
    ) -> Vec<Vec<f32>> {
        let backward = match plan.cell {
            Cell::Lstm => kernel::backward::<LstmCell>,
            Cell::Gru => kernel::backward::<GruCell>,
        };
        let (sequences, sizes) = (&plan.sequences, sizes(shapes));
        backward(grads, &arguments, saved, sequences, sizes, &wanted)
    }
}

/// One direction or two.
macro_rules! by_directions {
    ($arguments:ident, $n:ident => $call:expr) => {
        if $arguments.0.len() == ARGUMENTS {
            const $n: usize = ARGUMENTS;
            $call
        } else {
            const $n: usize = 2 * ARGUMENTS;
            $call
        }
    };
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl RecurrentLayersOps for $backend {
            fn recurrent_layers(arguments: TensorList<Self>, plan: LayersPlan) -> TensorList<Self> {
                by_directions!(arguments, N => outputs::<Layers, Self, N>(arguments, &plan))
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);

impl<B: RecurrentLayersOps, C: CheckpointStrategy> RecurrentLayersOps for Autodiff<B, C>
where
    FloatTensor<B>: HostTensor,
{
    fn recurrent_layers(arguments: TensorList<Self>, plan: LayersPlan) -> TensorList<Self> {
        by_directions!(arguments, N => on_tape::<Layers, B, C, N>(arguments, plan))
    }
}
