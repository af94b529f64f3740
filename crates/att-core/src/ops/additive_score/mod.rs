//! Additive attention scores as one operation.

#[cfg(all(feature = "cpu", target_arch = "x86_64"))]
mod avx512;
mod backward;
#[cfg(feature = "cpu")]
pub(in crate::ops) mod cpu;
#[cfg(feature = "cube")]
pub(super) mod cube;
#[cfg(feature = "cpu")]
pub(in crate::ops) mod kernel;
mod reference;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, assert_shape};

pub use reference::additive_score_reference;

/// Additive attention scores (Bahdanau et al. 2015, appendix A.1.2), the projections done:
/// `scores[b, t, s] = sum_a v[a] tanh(query[b, t, a] + keys[b, s, a])`.
///
/// - `query`: `[batch, tgt_len, d_attn]`
/// - `keys`: `[batch, src_len, d_attn]`
/// - `v`: `[d_attn]`
/// - returns the scores, `[batch, tgt_len, src_len]`
///
/// On the CPU backends in f32 and on GPUs this is one node on the tape, and `[batch, tgt_len,
/// src_len, d_attn]` never exists, forward or backward. On CPU, since
///
/// ```text
/// tanh(q + k) = 1 - 2 / (exp(2 q) exp(2 k) + 1),
/// ```
///
/// the exponentials are taken once a query and once a key, and each pair costs a product and a
/// reciprocal; the absolute error of a tanh is below 1e-6. On GPUs the scores are made in tiles, and
/// the backward pass computes each tanh again, once for the queries and once for the keys. Elsewhere
/// the operation is composed of tensor operations.
///
/// # Panics
///
/// If the shapes disagree, or a size is 0.
pub fn additive_score(query: Tensor<3>, keys: Tensor<3>, v: Tensor<1>) -> Tensor<3> {
    let [batch, _, d_attn] = query.dims();
    let [_, src_len, _] = keys.dims();
    assert_shape!(keys, [batch, src_len, d_attn]);
    assert_shape!(v, [d_attn]);
    if !super::has_kernels(&query) {
        return additive_score_reference(query, keys, v);
    }
    Tensor::from_dispatch(Dispatch::additive_score(
        query.into_dispatch(),
        keys.into_dispatch(),
        v.into_dispatch(),
    ))
}

/// The scores of a backend; names as in [`additive_score()`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait AdditiveScoreOps: Backend {
    /// The scores, `[batch, tgt_len, src_len]`.
    #[allow(unused_variables)] // where no backend is compiled in
    fn additive_score(
        query: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradients of `query`, `keys` and `v`, given that of the scores.
    #[allow(unused_variables)] // where no backend is compiled in
    fn additive_score_backward(
        grad: FloatTensor<Self>,
        query: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{assert_close, devices, gradients, random_tensor};
    use burn::tensor::Device;

    const SHAPES: [[usize; 4]; 5] = [
        [1, 1, 1, 1],
        [2, 3, 4, 5],
        [3, 1, 7, 33],
        [2, 5, 1, 64],
        [1, 9, 6, 100],
    ];

    fn arguments(device: &Device, [batch, tgt_len, src_len, d]: [usize; 4]) -> [Tensor<3>; 3] {
        [
            random_tensor([batch, tgt_len, d], device) * 3.0,
            random_tensor([batch, src_len, d], device) * 3.0,
            random_tensor([1, 1, d], device),
        ]
    }

    fn run([query, keys, v]: [Tensor<3>; 3], fused: bool) -> Tensor<3> {
        let run = if fused {
            additive_score
        } else {
            additive_score_reference
        };
        run(query, keys, v.squeeze_dims(&[0, 1]))
    }

    #[test]
    fn fused_equals_reference_on_every_backend() {
        for device in devices() {
            for shape in SHAPES {
                crate::random::seed(3);
                let arguments = arguments(&device, shape);
                assert_close(run(arguments.clone(), true), run(arguments, false), 1e-5);
            }
        }
    }

    #[test]
    fn gradients_equal_those_of_the_reference() {
        for device in devices() {
            for shape in SHAPES {
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

    #[test]
    #[should_panic(expected = "additive scores of nothing")]
    fn an_empty_batch_is_refused() {
        let device = Device::flex();
        let nothing = Tensor::zeros([0, 3, 4], &device);
        additive_score(nothing.clone(), nothing, Tensor::zeros([4], &device));
    }

    /// Where exponentials would overflow, and where a huge query and a huge key cancel.
    #[test]
    fn large_arguments_are_exact() {
        for device in devices() {
            let of = |x: [f32; 3]| Tensor::<3>::from_data([[x]], &device);
            let arguments = [
                of([1e4, 60.0, -39.0]),
                of([-1e4, -59.5, 39.25]),
                of([1.0, 2.0, 0.5]),
            ];
            assert_close(
                run(arguments.clone(), true),
                run(arguments.clone(), false),
                1e-5,
            );
            let fused = gradients(arguments.clone(), |a| run(a, true));
            let reference = gradients(arguments, |a| run(a, false));
            for (fused, reference) in fused.into_iter().zip(reference) {
                assert_close(fused, reference, 2e-5);
            }
        }
    }
}
