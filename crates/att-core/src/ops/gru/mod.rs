//! A GRU over a whole sequence as one operation.

#[cfg(feature = "cpu")]
pub(super) mod cpu;
#[cfg(feature = "cube")]
pub(super) mod cube;
pub(super) mod generic;
mod reference;

use burn::backend::DispatchTensor;
use burn::tensor::{Tensor, assert_shape};

use super::recurrent::{Cell, Direction, Pass, Sequences, run};

pub use reference::gru_reference;

/// What a GRU in one direction takes.
#[derive(Clone, Debug)]
pub struct GruArguments {
    /// x, the input projection of all steps with its bias, `[batch, len, 3 * d_hidden]`.
    pub inputs: Tensor<3>,
    /// W, `[d_hidden, 3 * d_hidden]`.
    pub recurrent: Tensor<2>,
    /// b, `[d_hidden]`; the biases of the other gates belong to the input projection.
    pub bias: Tensor<1>,
    /// h before the first step, `[batch, d_hidden]`.
    pub hidden: Tensor<2>,
}

/// The states of a GRU over a padded batch (Cho et al. 2014; the reset gate after the product, as
/// in cuDNN and PyTorch; gates in PyTorch's order r, z, n).
///
/// ```text
/// y    = h[t-1] W               r, z = sigmoid(x_r + y_r), sigmoid(x_z + y_z)
/// h[t] = (1 - z) n + z h[t-1]   n    = tanh(x_n + r (y_n + b))
/// ```
///
/// for `t < lengths[b]` in row `b`, in either direction and with padding as in
/// [`lstm()`](crate::ops::lstm()). Returns h, `[batch, len, d_hidden]`.
///
/// One node on the tape; the gradient is back-propagation through time by hand, with one product
/// for the gradient of W. On CPU each thread takes a share of the rows through all steps; on a
/// GPU a step is a product and one kernel.
///
/// # Panics
///
/// If the shapes disagree, or `lengths` does not name one length of at most `len` a row, or all
/// are zero.
pub fn gru(arguments: GruArguments, direction: Direction, lengths: &[usize]) -> Tensor<3> {
    let sequences = Sequences::new(lengths, arguments.dims(), &[direction]);
    let [hidden] = run(Cell::Gru, [arguments.into_pass()], sequences);
    hidden
}

/// [`gru()`] in both directions, side by side on two threads and as one node on the tape. Returns
/// `[batch, len, 2 * d_hidden]`, the states of the forward direction first.
///
/// # Panics
///
/// As [`gru()`].
pub fn bidirectional_gru(
    forward: GruArguments,
    backward: GruArguments,
    lengths: &[usize],
) -> Tensor<3> {
    assert_eq!(
        forward.inputs.dims(),
        backward.inputs.dims(),
        "both directions have the same sizes"
    );
    let directions = [Direction::Forward, Direction::Backward];
    let sequences = Sequences::new(lengths, forward.dims(), &directions);
    let passes = [forward.into_pass(), backward.into_pass()];
    let [hidden] = run(Cell::Gru, passes, sequences);
    hidden
}

impl GruArguments {
    fn dims(&self) -> [usize; 2] {
        let [batch, len, _] = self.inputs.dims();
        [batch, len]
    }

    fn into_pass(self) -> Pass<DispatchTensor> {
        let [batch, len] = self.dims();
        let [_, d_hidden] = self.hidden.dims();
        assert_shape!(self.inputs, [batch, len, 3 * d_hidden]);
        assert_shape!(self.recurrent, [d_hidden, 3 * d_hidden]);
        assert_shape!(self.bias, [d_hidden]);
        assert_shape!(self.hidden, [batch, d_hidden]);
        Pass {
            inputs: self.inputs.into_dispatch(),
            recurrent: self.recurrent.into_dispatch(),
            hidden: self.hidden.into_dispatch(),
            extra: self.bias.into_dispatch(),
        }
    }
}
