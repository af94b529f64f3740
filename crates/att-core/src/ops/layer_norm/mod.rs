//! Layer normalisation as one operation.

#[cfg(feature = "cpu")]
mod backward;
#[cfg(feature = "cpu")]
mod cpu;

use burn::tensor::{Tensor, assert_shape, module};

/// Layer normalisation (Ba et al. 2016, eq. 4), over the last dimension of x:
///
/// ```text
/// y = gamma (x - mean) / sqrt(variance + epsilon) + beta
/// ```
///
/// with the mean and the (biased) variance of each row.
///
/// - `x`: `[.., d]`, of two dimensions or more
/// - `gamma`, `beta`: `[d]`
/// - returns `[.., d]`
///
/// On the CPU backends in f32 this is one node on the tape, which keeps x alone; the backward pass
/// computes mean and variance again. Elsewhere it is burn's operation.
///
/// # Panics
///
/// If the shapes disagree, or a size is 0.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let [d] = gamma.dims();
    super::assert_some("layer_norm", &x);
    assert_shape!(x, [.., d]);
    assert_shape!(beta, [d]);
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&x) {
        return Tensor::from_dispatch(
            <burn::backend::Dispatch as cpu::LayerNormOps>::layer_norm_rows(
                x.into_dispatch(),
                gamma.into_dispatch(),
                beta.into_dispatch(),
                epsilon as f32,
            ),
        );
    }
    module::layer_norm(x, gamma, Some(beta), epsilon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{
        assert_close, assert_slopes, cpu_devices, gradients, random_tensor,
    };

    const EPSILON: f64 = 1e-5;

    fn run([x, gamma, beta]: [Tensor<3>; 3]) -> Tensor<3> {
        let [gamma, beta] = [gamma, beta].map(|tensor| tensor.squeeze_dims(&[0, 1]));
        layer_norm(x, gamma, beta, EPSILON)
    }

    fn reference([x, gamma, beta]: [Tensor<3>; 3]) -> Tensor<3> {
        let mean = x.clone().mean_dim(2);
        let centred = x - mean;
        let variance = centred.clone().square().mean_dim(2);
        centred / (variance + EPSILON).sqrt() * gamma + beta
    }

    fn each(test: impl Fn([Tensor<3>; 3])) {
        for device in cpu_devices() {
            for [batch, len, d] in [[1, 1, 2], [3, 5, 33], [2, 70, 64]] {
                crate::random::seed(3);
                test([
                    random_tensor([batch, len, d], &device) * 3.0 + 1.0,
                    random_tensor([1, 1, d], &device) + 1.0,
                    random_tensor([1, 1, d], &device),
                ]);
            }
        }
    }

    #[test]
    fn values_and_gradients_equal_those_of_the_formula() {
        each(|arguments| {
            let expected = reference(arguments.clone());
            assert_close(run(arguments.clone()), expected, 1e-5);
            let fused = gradients(arguments.clone(), run);
            for (fused, expected) in fused.into_iter().zip(gradients(arguments, reference)) {
                assert_close(fused, expected, 2e-5);
            }
        });
    }

    #[test]
    fn gradients_equal_finite_differences() {
        for device in cpu_devices() {
            crate::random::seed(4);
            let arguments = [[2, 3, 9], [1, 1, 9], [1, 1, 9]];
            assert_slopes(arguments.map(|shape| random_tensor(shape, &device)), run);
        }
    }

    #[test]
    fn a_row_of_equal_numbers_gives_beta() {
        for device in cpu_devices() {
            let [x, gamma] = [[2, 8], [1, 8]].map(|shape| Tensor::<2>::ones(shape, &device));
            let beta = Tensor::<1>::full([8], 0.5, &device);
            let y = layer_norm(x, gamma.squeeze_dim(0), beta, EPSILON);
            assert_close(y, Tensor::full([2, 8], 0.5, &device), 0.0);
        }
    }
}
