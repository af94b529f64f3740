//! The operation on slices, for flex and ndarray.

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;
use rayon::prelude::*;

use super::TanhOps;
use crate::ops::generic::through_tanh;
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::simd::{tanh, vectorise};

/// Numbers that are worth a thread.
const CHUNK: usize = 1 << 14;

fn forward(mut x: Vec<f32>) -> Vec<f32> {
    x.par_chunks_mut(CHUNK).for_each(|chunk| {
        vectorise(
            #[inline(always)]
            || chunk.iter_mut().for_each(|x| *x = tanh(*x)),
        );
    });
    x
}

fn backward(mut grad: Vec<f32>, y: &[f32]) -> Vec<f32> {
    grad.par_chunks_mut(CHUNK)
        .zip(y.par_chunks(CHUNK))
        .for_each(|(grad, y)| {
            vectorise(
                #[inline(always)]
                || {
                    for (grad, y) in grad.iter_mut().zip(y) {
                        *grad *= 1.0 - y * y;
                    }
                },
            );
        });
    grad
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl TanhOps for $backend {
            fn tanh_forward(x: FloatTensor<Self>) -> FloatTensor<Self> {
                if x.dtype_of() != DType::F32 {
                    return <Self as burn::backend::ops::FloatTensorOps<Self>>::float_tanh(x);
                }
                let shape = x.shape();
                HostTensor::from_vec(forward(x.into_vec()), shape)
            }

            fn tanh_backward(grad: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
                if grad.dtype_of() != DType::F32 {
                    return through_tanh::<Self>(y, grad);
                }
                let shape = grad.shape();
                let y = y.contiguous();
                HostTensor::from_vec(backward(grad.into_vec(), y.as_f32()), shape)
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
