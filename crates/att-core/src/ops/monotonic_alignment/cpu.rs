//! The operation on flex and ndarray.

use burn::backend::{Backend, TensorMetadata, backend_extension, tensor::FloatTensor};

use super::kernel;
use crate::ops::host::{AsF32, HostTensor};

/// The alignment of a CPU backend; names as in
/// [`monotonic_alignment`](super::monotonic_alignment()).
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait MonotonicAlignmentOps: Backend {
    /// The alignment, `[batch, tgt_len, src_len]`.
    fn monotonic_alignment(p: FloatTensor<Self>, previous: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The gradient where tensors are slices.
pub(super) trait OnSlices: MonotonicAlignmentOps {
    /// Of `p` and `previous`, given that of the alignment.
    fn backward(
        grad: FloatTensor<Self>,
        p: FloatTensor<Self>,
        previous: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl MonotonicAlignmentOps for $backend {
            fn monotonic_alignment(
                p: FloatTensor<Self>,
                previous: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                let shape = p.shape();
                let (p, previous) = (p.contiguous(), previous.contiguous());
                let alignment = kernel::forward(p.as_f32(), previous.as_f32(), shape[2]);
                HostTensor::from_vec(alignment, shape)
            }
        }

        impl OnSlices for $backend {
            fn backward(
                grad: FloatTensor<Self>,
                p: FloatTensor<Self>,
                previous: FloatTensor<Self>,
            ) -> [FloatTensor<Self>; 2] {
                let shape = p.shape();
                let (p, previous) = (p.contiguous(), previous.contiguous());
                let grad = grad.contiguous();
                kernel::backward(grad.as_f32(), p.as_f32(), previous.as_f32(), shape[2])
                    .map(|gradient| HostTensor::from_vec(gradient, shape.clone()))
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
