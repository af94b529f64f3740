//! An LSTM over a whole sequence as one operation.

#[cfg(feature = "cpu")]
pub(super) mod cpu;
#[cfg(feature = "cube")]
pub(super) mod cube;
pub(super) mod generic;
mod reference;

use burn::backend::DispatchTensor;
use burn::tensor::{Tensor, assert_shape};

use super::recurrent::{Cell, Direction, Pass, Sequences, run};

pub use reference::lstm_reference;

/// What an LSTM in one direction takes.
#[derive(Clone, Debug)]
pub struct LstmArguments {
    /// x, the input projection of all steps with its bias, `[batch, len, 4 * d_hidden]`.
    pub inputs: Tensor<3>,
    /// W, `[d_hidden, 4 * d_hidden]`.
    pub recurrent: Tensor<2>,
    /// h before the first step, `[batch, d_hidden]`.
    pub hidden: Tensor<2>,
    /// c before the first step, `[batch, d_hidden]`.
    pub cell: Tensor<2>,
}

/// What [`lstm()`] computes, with `d = d_hidden`; of both directions (`d = 2 * d_hidden`) those of
/// the forward one come first.
#[derive(Clone, Debug)]
pub struct LstmStates {
    /// Hidden state after each step, `[batch, len, d]`; zero at padding.
    pub hidden: Tensor<3>,
    /// Cell state after each step, `[batch, len, d]`; zero at padding.
    pub cell: Tensor<3>,
}

/// The states of an LSTM over a padded batch (Hochreiter and Schmidhuber 1997, with the forget
/// gate of Gers et al. 2000; gates in PyTorch's order i, f, g, o).
///
/// ```text
/// z[t] = x[t] + h[t-1] W          i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
/// c[t] = f c[t-1] + i tanh(z_g)   h[t]    = o tanh(c[t])
/// ```
///
/// for `t < lengths[b]` in row `b`. [`Direction::Backward`] starts at `lengths[b] - 1`, with `t +
/// 1` for `t - 1`. What stands at padding is not read; states and gradients are zero there, and
/// gradients that arrive there are ignored. The state after the last step of
/// [`Direction::Forward`] is that of [`last_states`](crate::ops::last_states), of
/// [`Direction::Backward`] the one at 0.
///
/// One node on the tape; the gradient is back-propagation through time by hand, with one product
/// for the gradient of W. On CPU each thread takes a share of the rows through all steps; on a
/// GPU a step is a product and one kernel.
///
/// # Panics
///
/// If the shapes disagree, or `lengths` does not name one length of at most `len` a row, or all
/// are zero.
pub fn lstm(arguments: LstmArguments, direction: Direction, lengths: &[usize]) -> LstmStates {
    let sequences = Sequences::new(lengths, arguments.dims(), &[direction]);
    LstmStates::of(run(Cell::Lstm, [arguments.into_pass()], sequences))
}

/// [`lstm()`] in both directions, side by side on two threads and as one node on the tape.
///
/// # Panics
///
/// As [`lstm()`].
pub fn bidirectional_lstm(
    forward: LstmArguments,
    backward: LstmArguments,
    lengths: &[usize],
) -> LstmStates {
    assert_eq!(
        forward.inputs.dims(),
        backward.inputs.dims(),
        "both directions have the same sizes"
    );
    let directions = [Direction::Forward, Direction::Backward];
    let sequences = Sequences::new(lengths, forward.dims(), &directions);
    let passes = [forward.into_pass(), backward.into_pass()];
    LstmStates::of(run(Cell::Lstm, passes, sequences))
}

impl LstmArguments {
    fn dims(&self) -> [usize; 2] {
        let [batch, len, _] = self.inputs.dims();
        [batch, len]
    }

    fn into_pass(self) -> Pass<DispatchTensor> {
        let [batch, len] = self.dims();
        let [_, d_hidden] = self.hidden.dims();
        assert_shape!(self.inputs, [batch, len, 4 * d_hidden]);
        assert_shape!(self.recurrent, [d_hidden, 4 * d_hidden]);
        assert_shape!(self.hidden, [batch, d_hidden]);
        assert_shape!(self.cell, [batch, d_hidden]);
        Pass {
            inputs: self.inputs.into_dispatch(),
            recurrent: self.recurrent.into_dispatch(),
            hidden: self.hidden.into_dispatch(),
            extra: self.cell.into_dispatch(),
        }
    }
}

impl LstmStates {
    fn of([hidden, cell]: [Tensor<3>; 2]) -> Self {
        Self { hidden, cell }
    }
}
