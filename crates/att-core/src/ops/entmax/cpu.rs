//! The operation on flex and ndarray.

use burn::backend::{Backend, TensorMetadata, backend_extension, tensor::FloatTensor};

use super::{Alpha, kernel};
use crate::ops::host::{AsF32, HostTensor};

/// The weights of a CPU backend; names as in [`entmax`](super::entmax()).
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait EntmaxOps: Backend {
    /// The weights, `[.., src_len]`; negative infinity is masked.
    fn entmax(scores: FloatTensor<Self>, alpha: Alpha) -> FloatTensor<Self>;
}

/// The gradient where tensors are slices.
pub(super) trait OnSlices: EntmaxOps {
    /// Of the scores, given that of the weights.
    fn backward(
        grad: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        alpha: Alpha,
    ) -> FloatTensor<Self>;
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl EntmaxOps for $backend {
            fn entmax(scores: FloatTensor<Self>, alpha: Alpha) -> FloatTensor<Self> {
                let shape = scores.shape();
                let mut weights = scores.into_vec();
                kernel::forward(&mut weights, shape[shape.num_dims() - 1], alpha);
                HostTensor::from_vec(weights, shape)
            }
        }

        impl OnSlices for $backend {
            fn backward(
                grad: FloatTensor<Self>,
                weights: FloatTensor<Self>,
                alpha: Alpha,
            ) -> FloatTensor<Self> {
                let shape = weights.shape();
                let mut d_scores = grad.into_vec();
                let weights = weights.contiguous();
                let src_len = shape[shape.num_dims() - 1];
                kernel::backward(&mut d_scores, weights.as_f32(), src_len, alpha);
                HostTensor::from_vec(d_scores, shape)
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
