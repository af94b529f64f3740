//! An LSTM over a whole sequence as one operation.

#[cfg(feature = "cpu")]
pub(super) mod cpu;
#[cfg(feature = "cube")]
pub(super) mod cube;
pub(super) mod generic;
mod reference;

use burn::tensor::Tensor;

use super::recurrent::{Direction, Extra, Layer, RecurrentStates, run};

pub use reference::lstm_reference;

/// What an LSTM in one direction takes.
#[derive(Clone, Debug)]
pub struct LstmArguments {
    /// x, `[batch, len, d_input]`.
    pub input: Tensor<3>,
    /// W_x, `[d_input, 4 * d_hidden]`.
    pub input_weight: Tensor<2>,
    /// b, `[1, 4 * d_hidden]`, or one for each row, `[batch, 4 * d_hidden]`.
    pub input_bias: Tensor<2>,
    /// W, `[d_hidden, 4 * d_hidden]`.
    pub recurrent_weight: Tensor<2>,
    /// h before the first step, `[batch, d_hidden]`.
    pub hidden: Tensor<2>,
    /// c before the first step, `[batch, d_hidden]`.
    pub cell: Tensor<2>,
}

/// The states of an LSTM over a padded batch (Hochreiter and Schmidhuber 1997, with the forget
/// gate of Gers et al. 2000; gates in PyTorch's order i, f, g, o).
///
/// ```text
/// z[t] = x[t] W_x + b + h[t-1] W  i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
/// c[t] = f c[t-1] + i tanh(z_g)   h[t]    = o tanh(c[t])
/// ```
///
/// for `t < lengths[b]` in row `b`. A row may have a b of its own: what its inputs have in common, and
/// is projected once. [`Direction::Backward`] starts at `lengths[b] - 1`, with `t +
/// 1` for `t - 1`. What stands at padding is not read; states and gradients are zero there, and
/// gradients that arrive there are ignored.
///
/// One node on the tape with the projection of the input; the gradient is back-propagation through
/// time by hand, with one product for the gradient of each weight. On CPU each thread takes a share
/// of the rows through all steps, projects real positions alone, and keeps of each no more than its
/// gates and the states before it. On a GPU the input is projected first, and a step is a product and
/// one kernel.
///
/// # Panics
///
/// If the shapes disagree or a size is 0, or `lengths` does not name one length of at most `len` a
/// row, or all are zero.
pub fn lstm(arguments: LstmArguments, direction: Direction, lengths: &[usize]) -> RecurrentStates {
    run(vec![arguments.into_layer()], &[direction], lengths)
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
) -> RecurrentStates {
    let layers = vec![forward.into_layer(), backward.into_layer()];
    run(layers, &[Direction::Forward, Direction::Backward], lengths)
}

impl LstmArguments {
    fn into_layer(self) -> Layer {
        Layer {
            input: self.input,
            input_weight: self.input_weight,
            input_bias: self.input_bias,
            recurrent_weight: self.recurrent_weight,
            hidden: self.hidden,
            extra: Extra::Cell(self.cell),
        }
    }
}
