//! The kernel on slices, for flex and ndarray.

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;
use gemm::Parallelism;

use super::{LinearOps, generic};
use crate::ops::gemm::{Mat, new_matmul};
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::rows::add_rows;

const THREADS: Parallelism = Parallelism::Rayon(0);

/// `x W + b`, row by row.
fn forward(x: &[f32], weight: Mat, d_in: usize, bias: &[f32]) -> Vec<f32> {
    let rows = x.len() / d_in;
    let x = Mat::rows(x, rows, d_in, d_in);
    new_matmul(x, weight, Some(bias), THREADS)
}

/// `dy W^T`, row by row.
fn backward_x(grad: &[f32], weight: Mat, d_out: usize) -> Vec<f32> {
    let rows = grad.len() / d_out;
    let grad = Mat::rows(grad, rows, d_out, d_out);
    new_matmul(grad, weight.t(), None, THREADS)
}

/// `x^T dy`, or its transpose.
fn backward_weight(
    grad: &[f32],
    x: &[f32],
    [d_in, d_out]: [usize; 2],
    transposed: bool,
) -> Vec<f32> {
    let rows = x.len() / d_in;
    let x = Mat::rows(x, rows, d_in, d_in);
    let grad = Mat::rows(grad, rows, d_out, d_out);
    if transposed {
        new_matmul(grad.t(), x, None, THREADS)
    } else {
        new_matmul(x.t(), grad, None, THREADS)
    }
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl LinearOps for $backend {
            fn linear_forward(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                if x.dtype_of() != DType::F32 {
                    return generic::forward::<Self>(x, weight, bias);
                }
                let weight = weight.matrix();
                let shape = generic::with_last(x.shape(), weight.cols);
                let y = forward(
                    x.contiguous().as_f32(),
                    weight.as_mat(),
                    weight.rows,
                    bias.contiguous().as_f32(),
                );
                HostTensor::from_vec(y, shape)
            }

            fn linear_backward_x(
                grad: FloatTensor<Self>,
                weight: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                if grad.dtype_of() != DType::F32 {
                    return generic::backward_x::<Self>(grad, weight);
                }
                let weight = weight.matrix();
                let shape = generic::with_last(grad.shape(), weight.rows);
                let dx = backward_x(grad.contiguous().as_f32(), weight.as_mat(), weight.cols);
                HostTensor::from_vec(dx, shape)
            }

            fn linear_backward_weight(
                grad: FloatTensor<Self>,
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                if grad.dtype_of() != DType::F32 {
                    return generic::backward_weight::<Self>(grad, x);
                }
                let sizes = weight.sizes();
                let transposed = !weight.is_row_major() && weight.clone().swapped().is_row_major();
                let out = backward_weight(
                    grad.contiguous().as_f32(),
                    x.contiguous().as_f32(),
                    sizes,
                    transposed,
                );
                HostTensor::from_matrix(out, sizes[0], sizes[1], transposed)
            }

            fn linear_backward_bias(grad: FloatTensor<Self>) -> FloatTensor<Self> {
                if grad.dtype_of() != DType::F32 {
                    return generic::backward_bias::<Self>(grad);
                }
                let shape = grad.shape();
                let d_out = shape[shape.num_dims() - 1];
                let mut sums = vec![0.0; d_out];
                add_rows(&mut sums, grad.contiguous().as_f32());
                HostTensor::from_vec(sums, [d_out].into())
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
