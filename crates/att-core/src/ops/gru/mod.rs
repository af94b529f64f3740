//! A GRU over a whole sequence as one operation.

#[cfg(feature = "cpu")]
pub(super) mod cpu;
#[cfg(feature = "cube")]
pub(super) mod cube;
pub(super) mod generic;
mod reference;

use burn::tensor::Tensor;

use super::recurrent::{Direction, Extra, Layer, RecurrentStates, run};

pub use reference::gru_reference;

/// What a GRU in one direction takes.
#[derive(Clone, Debug)]
pub struct GruArguments {
    /// x, `[batch, len, d_input]`.
    pub input: Tensor<3>,
    /// W_x, `[d_input, 3 * d_hidden]`.
    pub input_weight: Tensor<2>,
    /// b, `[1, 3 * d_hidden]`, or one for each row, `[batch, 3 * d_hidden]`.
    pub input_bias: Tensor<2>,
    /// W, `[d_hidden, 3 * d_hidden]`.
    pub recurrent_weight: Tensor<2>,
    /// b_n, `[d_hidden]`; that of the other gates is in b.
    pub recurrent_bias: Tensor<1>,
    /// h before the first step, `[batch, d_hidden]`.
    pub hidden: Tensor<2>,
}

/// The states of a GRU over a padded batch (Cho et al. 2014; the reset gate after the product, as
/// in cuDNN and PyTorch; gates in PyTorch's order r, z, n).
///
/// ```text
/// p[t] = x[t] W_x + b             r, z = sigmoid(p_r + y_r), sigmoid(p_z + y_z)
/// y[t] = h[t-1] W                 n    = tanh(p_n + r (y_n + b_n))
/// h[t] = (1 - z) n + z h[t-1]
/// ```
///
/// for `t < lengths[b]` in row `b`, in either direction and with padding as in
/// [`lstm()`](crate::ops::lstm()); computed likewise, as one node on the tape.
///
/// # Panics
///
/// As [`lstm()`](crate::ops::lstm()).
pub fn gru(arguments: GruArguments, direction: Direction, lengths: &[usize]) -> RecurrentStates {
    run(vec![arguments.into_layer()], &[direction], lengths)
}

/// [`gru()`] in both directions, side by side on two threads and as one node on the tape.
///
/// # Panics
///
/// As [`lstm()`](crate::ops::lstm()).
pub fn bidirectional_gru(
    forward: GruArguments,
    backward: GruArguments,
    lengths: &[usize],
) -> RecurrentStates {
    let layers = vec![forward.into_layer(), backward.into_layer()];
    run(layers, &[Direction::Forward, Direction::Backward], lengths)
}

impl GruArguments {
    fn into_layer(self) -> Layer {
        Layer {
            input: self.input,
            input_weight: self.input_weight,
            input_bias: self.input_bias,
            recurrent_weight: self.recurrent_weight,
            hidden: self.hidden,
            extra: Extra::Bias(self.recurrent_bias),
        }
    }
}
