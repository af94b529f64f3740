//! What [`lstm()`](super::lstm()) and [`gru()`](super::gru()) share: the order in which the rows of
//! a padded batch are worked off, the loop over the steps and the node on the tape. What happens
//! within a step is in `lstm/` and `gru/`.

mod backward;
#[cfg(feature = "cpu")]
pub(super) mod cpu;
#[cfg(feature = "cube")]
pub(super) mod cube;
mod generic;
mod order;
#[cfg(test)]
pub(super) mod tests;

use burn::backend::{Backend, Dispatch, DispatchTensor, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;

pub use order::{Direction, Sequences};

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

/// What the gradient needs from the forward pass, for some rows in one direction: a line for each
/// real position, in the order of [`order::Share`], so that padding takes neither room nor time.
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
    /// with `keep` also a memory for each direction and share of the rows.
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

/// The entries for tensors on any backend, on the tape or not. Arguments as in [`Pass`], the
/// result as in [`RecurrentKernel::recurrent_forward`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
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

/// h (and c) of one or two directions, each `[batch, len, directions * d]`.
///
/// # Panics
///
/// If `STATES` is not [`Cell::states`], or there are not one or two directions.
pub(super) fn run<const DIRECTIONS: usize, const STATES: usize>(
    cell: Cell,
    passes: [Pass<DispatchTensor>; DIRECTIONS],
    sequences: Sequences,
) -> [Tensor<3>; STATES] {
    assert_eq!(STATES, cell.states());
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
    std::array::from_fn(|state| match STATES {
        // The gradient of a part has the size of the whole.
        1 => states.clone().squeeze_dim(0),
        _ => states.clone().narrow(0, state, 1).squeeze_dim(0),
    })
}
