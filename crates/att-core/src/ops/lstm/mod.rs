//! An LSTM over a whole sequence as one operation.

mod backward;
#[cfg(feature = "cpu")]
mod cpu;
mod generic;
mod reference;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, assert_shape};

#[cfg(feature = "cpu")]
pub(in crate::ops) use cpu::{cell_backward, cell_forward};
pub use reference::lstm_reference;

/// What [`lstm()`] computes.
#[derive(Clone, Debug)]
pub struct LstmStates {
    /// Hidden state after each step, `[batch, len, d_hidden]`.
    pub hidden: Tensor<3>,
    /// Cell state after each step, `[batch, len, d_hidden]`.
    pub cell: Tensor<3>,
}

/// The states of an LSTM over a sequence (Hochreiter and Schmidhuber 1997, with the forget gate of
/// Gers et al. 2000; gates in PyTorch's order i, f, g, o).
///
/// ```text
/// z[t] = x[t] + h[t-1] W          i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
/// c[t] = f c[t-1] + i tanh(z_g)   h[t]    = o tanh(c[t])
/// ```
///
/// The input projection `x` (of all steps in one product, bias included) is the caller's. Padding
/// at the end of a row does not touch the states before it, so there is no mask; read the last
/// real state with [`last_states`](crate::ops::last_states).
///
/// - `inputs`: x, `[batch, len, 4 * d_hidden]`, `len >= 1`
/// - `recurrent`: W, `[d_hidden, 4 * d_hidden]`
/// - `hidden`, `cell`: h[-1] and c[-1], `[batch, d_hidden]`
///
/// One node on the tape; the gradient is back-propagation through time by hand, with one product
/// for the gradient of W. On CPU each thread takes a share of the batch through all steps.
///
/// # Panics
///
/// If the shapes disagree.
pub fn lstm(
    inputs: Tensor<3>,
    recurrent: Tensor<2>,
    hidden: Tensor<2>,
    cell: Tensor<2>,
) -> LstmStates {
    let [batch, len, _] = inputs.dims();
    let [_, d_hidden] = hidden.dims();
    assert!(
        batch > 0 && len > 0,
        "an LSTM needs at least one row and one step"
    );
    assert_shape!(inputs, [batch, len, 4 * d_hidden]);
    assert_shape!(recurrent, [d_hidden, 4 * d_hidden]);
    assert_shape!(hidden, [batch, d_hidden]);
    assert_shape!(cell, [batch, d_hidden]);
    let states = Tensor::<3>::from_dispatch(Dispatch::lstm(
        inputs.into_dispatch(),
        recurrent.into_dispatch(),
        hidden.into_dispatch(),
        cell.into_dispatch(),
    ));
    LstmStates {
        hidden: states.clone().narrow(2, 0, d_hidden),
        cell: states.narrow(2, d_hidden, d_hidden),
    }
}

/// The LSTM of a backend. Names as in [`lstm()`]; the default bodies are made of the backend's own
/// float operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait LstmOps: Backend {
    /// `[h; c]` of each step, `[batch, len, 2 * d_hidden]`.
    fn lstm(
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        cell: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::lstm_forward(inputs, recurrent, hidden, cell).0
    }

    /// The states, and the gates after their nonlinearities (`[batch, len, 4 * d_hidden]`), which
    /// the gradient needs.
    fn lstm_forward(
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        cell: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        generic::forward::<Self>(inputs, recurrent, hidden, cell)
    }

    /// Gradients of `inputs`, `recurrent`, `hidden` and `cell`, given that of the states.
    fn lstm_backward(
        grad: FloatTensor<Self>,
        states: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        cell: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        generic::backward::<Self>(grad, states, gates, recurrent, hidden, cell)
    }
}

#[cfg(feature = "cube")]
impl LstmOps for burn_cubecl::CubeBackend {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{assert_close, cpu_devices, gradients, random_tensor};

    fn arguments(device: &burn::tensor::Device, [batch, len, d]: [usize; 3]) -> [Tensor<3>; 4] {
        [
            random_tensor([batch, len, 4 * d], device),
            random_tensor([1, d, 4 * d], device),
            random_tensor([1, batch, d], device),
            random_tensor([1, batch, d], device),
        ]
    }

    fn joined([inputs, recurrent, hidden, cell]: [Tensor<3>; 4], fused: bool) -> Tensor<3> {
        let run = if fused { lstm } else { lstm_reference };
        let states = run(
            inputs,
            recurrent.squeeze_dim(0),
            hidden.squeeze_dim(0),
            cell.squeeze_dim(0),
        );
        Tensor::cat(vec![states.hidden, states.cell], 2)
    }

    #[test]
    fn fused_equals_reference_on_every_cpu_backend() {
        for device in cpu_devices() {
            for shape in [[1, 1, 1], [3, 4, 5], [2, 7, 16], [33, 3, 17]] {
                crate::random::seed(3);
                let arguments = arguments(&device, shape);
                let fused = joined(arguments.clone(), true);
                assert_close(fused, joined(arguments, false), 1e-5);
            }
        }
    }

    #[test]
    fn gradients_equal_those_of_the_reference() {
        for device in cpu_devices() {
            for shape in [[1, 1, 1], [3, 4, 5], [40, 5, 33]] {
                crate::random::seed(4);
                let arguments = arguments(&device, shape);
                let fused = gradients(arguments.clone(), |a| joined(a, true));
                let reference = gradients(arguments, |a| joined(a, false));
                for (fused, reference) in fused.into_iter().zip(reference) {
                    assert_close(fused, reference, 2e-5);
                }
            }
        }
    }

    #[test]
    fn the_generic_body_equals_the_kernel() {
        use burn::backend::Flex;
        for device in cpu_devices().into_iter().take(1) {
            crate::random::seed(5);
            let arguments = arguments(&device, [3, 4, 5]);
            let expected = joined(arguments.clone(), true);
            let [inputs, recurrent, hidden, cell] =
                arguments.map(|tensor| tensor.try_into_primitive::<Flex>().expect("a flex tensor"));
            let matrix = |t, rows, cols| {
                <Flex as burn::backend::ops::FloatTensorOps<Flex>>::float_reshape(
                    t,
                    burn::tensor::Shape::from([rows, cols]),
                )
            };
            let (states, _) = generic::forward::<Flex>(
                inputs,
                matrix(recurrent, 5, 20),
                matrix(hidden, 3, 5),
                matrix(cell, 3, 5),
            );
            assert_close(Tensor::from_primitive::<Flex>(states), expected, 1e-5);
        }
    }
}
