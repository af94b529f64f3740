//! The operation on flex and ndarray.

use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension, tensor::FloatTensor};
use burn::tensor::{Bool, Shape, Tensor};

use super::AttentionRead;
use super::kernel::{self, Sources};
use crate::ops::attention_dims::AttentionDims;
use crate::ops::host::{AsF32, HostTensor};

pub(super) fn attention_read(
    scores: Tensor<3>,
    values: Tensor<3>,
    mask: Tensor<2, Bool>,
) -> AttentionRead {
    let [_, src_len] = mask.dims();
    let sources = Sources::new(mask.into_data().iter::<bool>().collect(), src_len);
    let (context, weights) =
        Dispatch::attention_read(scores.into_dispatch(), values.into_dispatch(), sources);
    AttentionRead {
        context: Tensor::from_dispatch(context),
        weights: Tensor::from_dispatch(weights),
    }
}

/// The operation of a CPU backend; names as in [`attention_read`](super::attention_read()).
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait AttentionReadOps: Backend {
    /// Context, `[batch, tgt_len, d]`, and weights, `[batch, tgt_len, src_len]`.
    fn attention_read(
        scores: FloatTensor<Self>,
        values: FloatTensor<Self>,
        sources: Sources,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The gradients where tensors are slices.
pub(super) trait OnSlices: AttentionReadOps {
    /// Of the scores and the values, given that of the context.
    fn context_backward(
        grad: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        values: FloatTensor<Self>,
        ends: &[usize],
    ) -> [FloatTensor<Self>; 2];

    /// Of the scores, given that of the weights.
    fn weights_backward(
        grad: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        ends: &[usize],
    ) -> FloatTensor<Self>;
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl AttentionReadOps for $backend {
            fn attention_read(
                scores: FloatTensor<Self>,
                values: FloatTensor<Self>,
                sources: Sources,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                let (shape, values_shape) = (scores.shape(), values.shape());
                let dims = AttentionDims::read(&shape, &values_shape);
                let mut weights = scores.into_vec();
                let context =
                    kernel::forward(&mut weights, values.contiguous().as_f32(), &sources, dims);
                (
                    HostTensor::from_vec(context, Shape::from([shape[0], shape[1], dims.d])),
                    HostTensor::from_vec(weights, shape),
                )
            }
        }

        impl OnSlices for $backend {
            fn context_backward(
                grad: FloatTensor<Self>,
                weights: FloatTensor<Self>,
                values: FloatTensor<Self>,
                ends: &[usize],
            ) -> [FloatTensor<Self>; 2] {
                let (shape, values_shape) = (weights.shape(), values.shape());
                let [d_scores, d_values] = kernel::context_backward(
                    grad.contiguous().as_f32(),
                    weights.contiguous().as_f32(),
                    values.contiguous().as_f32(),
                    ends,
                    AttentionDims::read(&shape, &values_shape),
                );
                [
                    HostTensor::from_vec(d_scores, shape),
                    HostTensor::from_vec(d_values, values_shape),
                ]
            }

            fn weights_backward(
                grad: FloatTensor<Self>,
                weights: FloatTensor<Self>,
                ends: &[usize],
            ) -> FloatTensor<Self> {
                let shape = weights.shape();
                let mut d_scores = grad.into_vec();
                let weights = weights.contiguous();
                kernel::weights_backward(&mut d_scores, weights.as_f32(), ends, &shape);
                HostTensor::from_vec(d_scores, shape)
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
