//! A GRU over a whole sequence as one operation.

mod backward;
#[cfg(feature = "cpu")]
mod cpu;
mod generic;
mod reference;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, assert_shape};

#[cfg(feature = "cpu")]
pub(in crate::ops) use cpu::{cell_backward, cell_forward};
pub use reference::gru_reference;

/// The states of a GRU over a sequence (Cho et al. 2014; the reset gate after the product, as in
/// cuDNN and PyTorch; gates in PyTorch's order r, z, n).
///
/// ```text
/// y    = h[t-1] W               r, z = sigmoid(x_r + y_r), sigmoid(x_z + y_z)
/// h[t] = (1 - z) n + z h[t-1]   n    = tanh(x_n + r (y_n + b))
/// ```
///
/// The input projection `x[t]` (of all steps in one product, bias included) is the caller's.
/// Padding at the end of a row does not touch the states before it, so there is no mask; read the
/// last real state with [`last_states`](crate::ops::last_states).
///
/// - `inputs`: x, `[batch, len, 3 * d_hidden]`, `len >= 1`
/// - `recurrent`: W, `[d_hidden, 3 * d_hidden]`
/// - `bias`: b, `[d_hidden]`; those of the other gates belong to the input projection
/// - `hidden`: h[-1], `[batch, d_hidden]`
/// - returns h, `[batch, len, d_hidden]`
///
/// One node on the tape; the gradient is back-propagation through time by hand, with one product
/// for the gradient of W. On CPU each thread takes a share of the batch through all steps.
///
/// # Panics
///
/// If the shapes disagree.
pub fn gru(
    inputs: Tensor<3>,
    recurrent: Tensor<2>,
    bias: Tensor<1>,
    hidden: Tensor<2>,
) -> Tensor<3> {
    let [batch, len, _] = inputs.dims();
    let [_, d_hidden] = hidden.dims();
    assert!(
        batch > 0 && len > 0,
        "a GRU needs at least one row and one step"
    );
    assert_shape!(inputs, [batch, len, 3 * d_hidden]);
    assert_shape!(recurrent, [d_hidden, 3 * d_hidden]);
    assert_shape!(bias, [d_hidden]);
    assert_shape!(hidden, [batch, d_hidden]);
    Tensor::from_dispatch(Dispatch::gru(
        inputs.into_dispatch(),
        recurrent.into_dispatch(),
        bias.into_dispatch(),
        hidden.into_dispatch(),
    ))
}

/// The GRU of a backend. Names as in [`gru()`]; the default bodies are made of the backend's own
/// float operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait GruOps: Backend {
    /// h of each step, `[batch, len, d_hidden]`.
    fn gru(
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::gru_forward(inputs, recurrent, bias, hidden).0
    }

    /// The states, and r, z, n and `y_n + b` of each step (`[batch, len, 4 * d_hidden]`), which
    /// the gradient needs.
    fn gru_forward(
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        generic::forward::<Self>(inputs, recurrent, bias, hidden)
    }

    /// Gradients of `inputs`, `recurrent`, `bias` and `hidden`, given that of the states.
    fn gru_backward(
        grad: FloatTensor<Self>,
        states: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        generic::backward::<Self>(grad, states, gates, recurrent, hidden)
    }
}

#[cfg(feature = "cube")]
impl GruOps for burn_cubecl::CubeBackend {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{assert_close, cpu_devices, gradients, random_tensor};

    fn arguments(device: &burn::tensor::Device, [batch, len, d]: [usize; 3]) -> [Tensor<3>; 4] {
        [
            random_tensor([batch, len, 3 * d], device),
            random_tensor([1, d, 3 * d], device),
            random_tensor([1, 1, d], device),
            random_tensor([1, batch, d], device),
        ]
    }

    fn run([inputs, recurrent, bias, hidden]: [Tensor<3>; 4], fused: bool) -> Tensor<3> {
        let run = if fused { gru } else { gru_reference };
        run(
            inputs,
            recurrent.squeeze_dim(0),
            bias.squeeze_dims(&[0, 1]),
            hidden.squeeze_dim(0),
        )
    }

    #[test]
    fn fused_equals_reference_on_every_cpu_backend() {
        for device in cpu_devices() {
            for shape in [[1, 1, 1], [3, 4, 5], [2, 7, 16], [33, 3, 17]] {
                crate::random::seed(3);
                let arguments = arguments(&device, shape);
                let fused = run(arguments.clone(), true);
                assert_close(fused, run(arguments, false), 1e-5);
            }
        }
    }

    #[test]
    fn gradients_equal_those_of_the_reference() {
        for device in cpu_devices() {
            for shape in [[1, 1, 1], [3, 4, 5], [40, 5, 33]] {
                crate::random::seed(4);
                let arguments = arguments(&device, shape);
                let fused = gradients(arguments.clone(), |a| run(a, true));
                let reference = gradients(arguments, |a| run(a, false));
                for (fused, reference) in fused.into_iter().zip(reference) {
                    assert_close(fused, reference, 2e-5);
                }
            }
        }
    }
}
