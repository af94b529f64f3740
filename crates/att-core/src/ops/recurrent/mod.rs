//! What [`lstm()`](super::lstm()) and [`gru()`](super::gru()) share: the rows of a padded batch and
//! the order of their steps, the loop over the steps and the node on the tape. What happens within a
//! step is in `lstm/` and `gru/`.
//!
//! On the CPU backends in f32 a layer is one operation with its projection (`cpu/`). Elsewhere the
//! input is projected first, all steps are one operation ([`RecurrentKernel`]), and the last states
//! are taken from it.

mod backward;
#[cfg(feature = "cpu")]
pub(super) mod cpu;
#[cfg(feature = "cube")]
pub(super) mod cube;
mod generic;
mod sequences;
#[cfg(test)]
pub(super) mod tests;

use burn::backend::{Backend, Dispatch, DispatchTensor, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, assert_shape};

use super::linear;
use super::padded::{end_states, first_states, last_states};
use crate::RecurrentState;

pub use sequences::{Direction, Sequences};

/// Which equations hold within a step.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    Lstm,
    Gru,
}

impl Cell {
    /// How many states a step has: h and c, or h.
    pub(super) fn states(self) -> usize {
        match self {
            Self::Lstm => 2,
            Self::Gru => 1,
        }
    }

    /// Parts of an input's projection.
    pub(super) fn parts(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }
}

/// What [`lstm()`](super::lstm()) and [`gru()`](super::gru()) compute, where `d` is `d_hidden`, or
/// twice that with both directions: then what the forward one computes comes first.
#[derive(Clone, Debug)]
pub struct RecurrentStates {
    /// h after each step, `[batch, len, d]`; zero at padding.
    pub hidden: Tensor<3>,
    /// h, and of an LSTM c, after each row's own last step, of `[batch, d]`: at its last real
    /// position, and in the backward direction at its first; zero for a row of no steps.
    pub last: RecurrentState,
}

/// A layer in one direction. Sizes as in the arguments of the operations.
pub(super) struct Layer {
    pub input: Tensor<3>,
    pub input_weight: Tensor<2>,
    /// Of all rows, or of each.
    pub input_bias: Tensor<2>,
    pub recurrent_weight: Tensor<2>,
    pub hidden: Tensor<2>,
    pub extra: Extra,
}

/// What an LSTM and a GRU have for themselves.
pub(super) enum Extra {
    /// c before the first step, `[batch, d_hidden]`.
    Cell(Tensor<2>),
    /// The bias inside the reset gate, `[d_hidden]`.
    Bias(Tensor<1>),
}

impl Layer {
    fn cell(&self) -> Cell {
        match self.extra {
            Extra::Cell(_) => Cell::Lstm,
            Extra::Bias(_) => Cell::Gru,
        }
    }

    fn assert_shapes(&self) {
        super::assert_some("recurrent layer", &self.input);
        super::assert_some("recurrent layer", &self.hidden);
        let [batch, _, d_input] = self.input.dims();
        let [_, d_hidden] = self.hidden.dims();
        let width = self.cell().parts() * d_hidden;
        assert_shape!(self.input_weight, [d_input, width]);
        let [rows, _] = self.input_bias.dims();
        assert_shape!(self.input_bias, [rows, width]);
        assert!(rows == 1 || rows == batch, "one bias, or one a row");
        assert_shape!(self.recurrent_weight, [d_hidden, width]);
        assert_shape!(self.hidden, [batch, d_hidden]);
        match &self.extra {
            Extra::Cell(cell) => assert_shape!(cell, [batch, d_hidden]),
            Extra::Bias(bias) => assert_shape!(bias, [d_hidden]),
        }
    }
}

impl Extra {
    pub(super) fn into_dispatch(self) -> DispatchTensor {
        match self {
            Self::Cell(cell) => cell.into_dispatch(),
            Self::Bias(bias) => bias.into_dispatch(),
        }
    }
}

/// The states of one layer, or of the two of both directions.
///
/// # Panics
///
/// If sizes disagree or are 0, the layers are of different cells or sizes, `lengths` does not name
/// one length of at most `len` a row, or all are zero.
pub(super) fn run(
    layers: Vec<Layer>,
    directions: &[Direction],
    lengths: &[usize],
) -> RecurrentStates {
    layers.iter().for_each(Layer::assert_shapes);
    let first = &layers[0];
    let [batch, len, _] = first.input.dims();
    for other in &layers[1..] {
        assert_eq!(
            (first.input.dims(), first.hidden.dims()),
            (other.input.dims(), other.hidden.dims()),
            "both directions have the same sizes"
        );
    }
    let sequences = Sequences::new(lengths, [batch, len], directions);
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&first.input) {
        return cpu::run(layers, sequences);
    }
    projected_first(layers, sequences)
}

/// The layers by way of [`RecurrentKernel`].
fn projected_first(layers: Vec<Layer>, sequences: Sequences) -> RecurrentStates {
    let cell = layers[0].cell();
    let pass = |layer: Layer| Pass {
        inputs: project(layer.input, layer.input_weight, layer.input_bias).into_dispatch(),
        recurrent: layer.recurrent_weight.into_dispatch(),
        hidden: layer.hidden.into_dispatch(),
        extra: layer.extra.into_dispatch(),
    };
    let passes = layers.into_iter().map(pass).collect();
    let mut states = all_steps(cell, passes, sequences.clone()).into_iter();
    let last = |states| last_of(states, &sequences.directions, &sequences.lengths);
    let hidden = states.next().expect("each cell has a hidden state");
    RecurrentStates {
        last: RecurrentState {
            hidden: last(hidden.clone()),
            cell: states.next().map(last),
        },
        hidden,
    }
}

/// `x W_x + b`.
fn project(input: Tensor<3>, weight: Tensor<2>, bias: Tensor<2>) -> Tensor<3> {
    match bias.dims() {
        [1, _] => linear(input, weight, Some(bias.squeeze_dim(0))),
        _ => linear(input, weight, None) + bias.unsqueeze_dim(1),
    }
}

/// What stands in `[batch, len, d]` after each row's last step, `[batch, d]`.
pub(super) fn last_of(states: Tensor<3>, directions: &[Direction], lengths: &[usize]) -> Tensor<2> {
    match directions {
        [Direction::Forward] => last_states(states, lengths),
        [Direction::Backward] => first_states(states),
        _ => end_states(states, lengths),
    }
}

/// The arguments of one direction, or their gradients.
#[derive(Clone, Debug)]
pub struct Pass<F> {
    /// The input projection x, `[batch, len, parts * d]`, of 4 parts (LSTM) or 3 (GRU).
    pub inputs: F,
    /// W, `[d, parts * d]`.
    pub recurrent: F,
    /// h before the first step, `[batch, d]`.
    pub hidden: F,
    /// Of an LSTM c before the first step, `[batch, d]`; of a GRU the bias, `[d]`.
    pub extra: F,
}

/// What the gradient needs from the forward pass, in one direction: a line for each real position,
/// in the order of [`Steps`](super::steps::Steps), so that padding takes neither room nor time.
#[derive(Clone, Debug)]
pub struct Memory<F> {
    /// `[real, 4 * d]`; of an LSTM i, f, g, o, of a GRU r, z, n, `y_n + b`.
    pub gates: F,
    /// h before the step, `[real, d]`.
    pub hiddens: F,
    /// c before the step (`[real, d]`) of an LSTM.
    pub cells: Option<F>,
}

/// All steps on a backend; the default bodies are made of its own float operations.
pub trait RecurrentKernel: Backend {
    /// The states, `[states, batch, len, directions * d]`, of which the first index says h or c;
    /// with `keep` also a memory for each direction.
    fn recurrent_forward(
        cell: Cell,
        passes: Vec<Pass<FloatTensor<Self>>>,
        sequences: &Sequences,
        keep: bool,
    ) -> (FloatTensor<Self>, Vec<Memory<FloatTensor<Self>>>) {
        generic::forward::<Self>(cell, passes, sequences, keep)
    }

    /// The gradients of the arguments of each direction, given `grad` of the states, W of each
    /// direction, and the memories.
    fn recurrent_backward(
        cell: Cell,
        grad: FloatTensor<Self>,
        recurrent: Vec<FloatTensor<Self>>,
        memories: Vec<Memory<FloatTensor<Self>>>,
        sequences: &Sequences,
    ) -> Vec<Pass<FloatTensor<Self>>> {
        generic::backward::<Self>(cell, grad, recurrent, memories, sequences)
    }
}

#[cfg(feature = "flex")]
impl RecurrentKernel for burn::backend::Flex {}
#[cfg(feature = "ndarray")]
impl RecurrentKernel for burn::backend::NdArray {}
#[cfg(feature = "remote")]
impl RecurrentKernel for burn::backend::Remote {}

/// The entries for tensors on any backend, on the tape or not. Arguments as in [`Pass`], the
/// result as in [`RecurrentKernel::recurrent_forward`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Remote: cfg(feature = "remote"),
    Autodiff
)]
pub trait RecurrentOps: Backend {
    /// In the one direction that `sequences` names.
    #[allow(unused_variables)] // where no backend is compiled in
    fn one_direction(
        cell: Cell,
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        extra: FloatTensor<Self>,
        sequences: Sequences,
    ) -> FloatTensor<Self>;

    /// In the two directions that `sequences` names, side by side.
    #[allow(clippy::too_many_arguments)] // the extension takes no lists of tensors
    #[allow(unused_variables)] // where no backend is compiled in
    fn two_directions(
        cell: Cell,
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        extra: FloatTensor<Self>,
        second_inputs: FloatTensor<Self>,
        second_recurrent: FloatTensor<Self>,
        second_hidden: FloatTensor<Self>,
        second_extra: FloatTensor<Self>,
        sequences: Sequences,
    ) -> FloatTensor<Self>;
}

impl<B: RecurrentKernel> RecurrentOps for B {
    fn one_direction(
        cell: Cell,
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        extra: FloatTensor<Self>,
        sequences: Sequences,
    ) -> FloatTensor<Self> {
        let pass = Pass {
            inputs,
            recurrent,
            hidden,
            extra,
        };
        B::recurrent_forward(cell, vec![pass], &sequences, false).0
    }

    fn two_directions(
        cell: Cell,
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        extra: FloatTensor<Self>,
        second_inputs: FloatTensor<Self>,
        second_recurrent: FloatTensor<Self>,
        second_hidden: FloatTensor<Self>,
        second_extra: FloatTensor<Self>,
        sequences: Sequences,
    ) -> FloatTensor<Self> {
        let first = Pass {
            inputs,
            recurrent,
            hidden,
            extra,
        };
        let second = Pass {
            inputs: second_inputs,
            recurrent: second_recurrent,
            hidden: second_hidden,
            extra: second_extra,
        };
        B::recurrent_forward(cell, vec![first, second], &sequences, false).0
    }
}

/// h (and c) after all steps of one or two directions whose input is projected already, each
/// `[batch, len, directions * d]`.
pub(super) fn all_steps(
    cell: Cell,
    passes: Vec<Pass<DispatchTensor>>,
    sequences: Sequences,
) -> Vec<Tensor<3>> {
    let mut passes = passes.into_iter();
    let states = Tensor::<4>::from_dispatch(match (passes.next(), passes.next()) {
        (Some(pass), None) => Dispatch::one_direction(
            cell,
            pass.inputs,
            pass.recurrent,
            pass.hidden,
            pass.extra,
            sequences,
        ),
        (Some(first), Some(second)) => Dispatch::two_directions(
            cell,
            first.inputs,
            first.recurrent,
            first.hidden,
            first.extra,
            second.inputs,
            second.recurrent,
            second.hidden,
            second.extra,
            sequences,
        ),
        (None, _) => panic!("no direction"),
    });
    if cell.states() == 1 {
        // The gradient of a part has the size of the whole.
        return vec![states.squeeze_dim(0)];
    }
    let part = |state| states.clone().narrow(0, state, 1).squeeze_dim(0);
    (0..cell.states()).map(part).collect()
}
