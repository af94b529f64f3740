//! Products of the matrices of two batches as one operation.

mod backward;
#[cfg(feature = "cpu")]
mod cpu;
mod generic;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, assert_shape};

/// Which factors are read with rows and columns exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transposed {
    /// The left one.
    pub lhs: bool,
    /// The right one.
    pub rhs: bool,
}

/// `out[b] = lhs[b] rhs[b]`: contexts from weights and values.
///
/// - `lhs`: `[batch, m, k]`; `rhs`: `[batch, k, n]`
/// - returns `[batch, m, n]`
///
/// One node on the tape. On CPU threads share the batch, and the products are those of this crate,
/// in the [precision](crate::precision()) that is set. Of the gradients, only those of tracked
/// tensors are computed.
///
/// # Panics
///
/// If the shapes disagree.
pub fn batched_matmul(lhs: Tensor<3>, rhs: Tensor<3>) -> Tensor<3> {
    let [batch, _, k] = lhs.dims();
    assert_shape!(rhs, [batch, k, _]);
    run(lhs, rhs, Transposed::default())
}

/// `out[b, i, j] = lhs[b, i] . rhs[b, j]`: scores from queries and keys.
///
/// [`batched_matmul()`] of `lhs`, `[batch, m, k]`, and the transpose of `rhs`, `[batch, n, k]`, which
/// is not copied.
///
/// # Panics
///
/// If the shapes disagree.
pub fn batched_dot(lhs: Tensor<3>, rhs: Tensor<3>) -> Tensor<3> {
    let [batch, _, k] = lhs.dims();
    assert_shape!(rhs, [batch, _, k]);
    let rhs_is = Transposed {
        lhs: false,
        rhs: true,
    };
    run(lhs, rhs, rhs_is)
}

fn run(lhs: Tensor<3>, rhs: Tensor<3>, transposed: Transposed) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::batched_product(
        lhs.into_dispatch(),
        rhs.into_dispatch(),
        transposed,
    ))
}

/// The products of a backend; the default body is made of its own float operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait BatchedMatmulOps: Backend {
    /// The products of the matrices as they are read, of three dimensions with the batch first.
    fn batched_product(
        lhs: FloatTensor<Self>,
        rhs: FloatTensor<Self>,
        transposed: Transposed,
    ) -> FloatTensor<Self> {
        generic::product::<Self>(lhs, rhs, transposed)
    }
}

#[cfg(feature = "cube")]
impl BatchedMatmulOps for burn_cubecl::CubeBackend {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{assert_close, cpu_devices, gradients, random_tensor};
    use burn::tensor::DType;

    /// batch, m, k, n.
    const SIZES: [[usize; 4]; 5] = [
        [1, 1, 1, 1],
        [1, 40, 17, 33],
        [3, 1, 7, 64],
        [5, 9, 25, 31],
        [2, 30, 3, 1],
    ];

    /// The arguments of [`batched_matmul()`], or of [`batched_dot()`].
    fn arguments(
        device: &burn::tensor::Device,
        [batch, m, k, n]: [usize; 4],
        dot: bool,
    ) -> [Tensor<3>; 2] {
        crate::random::seed(6);
        let rhs = if dot { [batch, n, k] } else { [batch, k, n] };
        [
            random_tensor([batch, m, k], device),
            random_tensor(rhs, device),
        ]
    }

    fn fused([lhs, rhs]: [Tensor<3>; 2], dot: bool) -> Tensor<3> {
        if dot {
            batched_dot(lhs, rhs)
        } else {
            batched_matmul(lhs, rhs)
        }
    }

    fn reference([lhs, rhs]: [Tensor<3>; 2], dot: bool) -> Tensor<3> {
        lhs.matmul(if dot { rhs.swap_dims(1, 2) } else { rhs })
    }

    fn each(test: impl Fn([Tensor<3>; 2], bool)) {
        for device in cpu_devices() {
            for sizes in SIZES {
                for dot in [false, true] {
                    test(arguments(&device, sizes, dot), dot);
                }
            }
        }
    }

    #[test]
    fn equals_burns_product() {
        each(|a, dot| assert_close(fused(a.clone(), dot), reference(a, dot), 1e-5));
    }

    #[test]
    fn gradients_equal_those_of_burns_product() {
        each(|a, dot| {
            let ours = gradients(a.clone(), |a| fused(a, dot));
            for (ours, burns) in ours.into_iter().zip(gradients(a, |a| reference(a, dot))) {
                assert_close(ours, burns, 1e-5);
            }
        });
    }

    #[test]
    fn reads_views_and_other_types() {
        for device in cpu_devices() {
            let [lhs, rhs] = arguments(&device, [2, 5, 6, 7], false);
            let expected = lhs.clone().matmul(rhs.clone());
            let views =
                [lhs.clone(), rhs.clone()].map(|x| (x.swap_dims(1, 2) * 1.0).swap_dims(1, 2));
            assert_close(fused(views, false), expected.clone(), 1e-5);
            let wide = [lhs, rhs].map(|x| x.cast(DType::F64));
            assert_close(fused(wide, false).cast(DType::F32), expected, 1e-5);
        }
    }
}
