//! The operation on flex and ndarray.

use std::sync::Arc;

use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension, tensor::FloatTensor};
use burn::tensor::{Shape, Tensor};

use super::kernel::{self, Given, Plan};
use super::{MultiHeadInputs, MultiHeadRead};
use crate::host_vec;
use crate::ops::host::{AsF32, HostTensor};

pub(super) fn multi_head_read(inputs: MultiHeadInputs) -> MultiHeadRead {
    let plan = Plan::new(
        inputs.dims(),
        inputs
            .mask
            .map(|mask| mask.into_data().iter::<bool>().collect()),
        inputs.causal,
        inputs.dropout.map(host_vec),
    );
    let (context, weights) = Dispatch::multi_head_read(
        inputs.query.into_dispatch(),
        inputs.keys.into_dispatch(),
        inputs.values.into_dispatch(),
        Arc::new(plan),
    );
    MultiHeadRead {
        context: Tensor::from_dispatch(context),
        weights: Tensor::from_dispatch(weights),
    }
}

/// The operation of a CPU backend; names as in [`multi_head_read`](super::multi_head_read()).
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait MultiHeadReadOps: Backend {
    /// Context and weights.
    fn multi_head_read(
        query: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        plan: Arc<Plan>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// What the gradient needs.
#[derive(Clone, Debug)]
pub(super) struct Saved<F> {
    pub query: F,
    pub keys: F,
    pub values: F,
    pub weights: F,
    pub plan: Arc<Plan>,
}

/// The gradients where tensors are slices.
pub(super) trait OnSlices: MultiHeadReadOps {
    /// Of queries, keys and values, given that of the context.
    fn context_backward(
        grad: FloatTensor<Self>,
        saved: Saved<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 3];

    /// Of queries and keys, given that of the weights.
    fn weights_backward(
        grad: FloatTensor<Self>,
        saved: Saved<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 2];
}

/// The gradients of queries, keys and values.
fn backward<T: HostTensor + TensorMetadata>(grad: T, of_context: bool, saved: Saved<T>) -> [T; 3] {
    let shapes = [&saved.query, &saved.keys, &saved.values].map(TensorMetadata::shape);
    let (grad, weights) = (grad.contiguous(), saved.weights.contiguous());
    let (query, keys) = (saved.query.contiguous(), saved.keys.contiguous());
    let values = saved.values.contiguous();
    let given = if of_context {
        Given::Context(grad.as_f32())
    } else {
        Given::Weights(grad.as_f32())
    };
    let arguments = (query.as_f32(), keys.as_f32(), values.as_f32());
    let gradients = kernel::backward(given, arguments, weights.as_f32(), &saved.plan);
    let mut gradients = gradients.into_iter().zip(shapes);
    std::array::from_fn(|_| {
        let (data, shape) = gradients.next().expect("three of them");
        T::from_vec(data, shape)
    })
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl MultiHeadReadOps for $backend {
            fn multi_head_read(
                query: FloatTensor<Self>,
                keys: FloatTensor<Self>,
                values: FloatTensor<Self>,
                plan: Arc<Plan>,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                let (shape, dims) = (query.shape(), plan.dims);
                let (query, keys) = (query.contiguous(), keys.contiguous());
                let values = values.contiguous();
                let (context, weights) =
                    kernel::forward(query.as_f32(), keys.as_f32(), values.as_f32(), &plan);
                let of_weights = [dims.batch, dims.n_heads, dims.tgt_len, dims.src_len];
                (
                    HostTensor::from_vec(context, shape),
                    HostTensor::from_vec(weights, Shape::from(of_weights)),
                )
            }
        }

        impl OnSlices for $backend {
            fn context_backward(
                grad: FloatTensor<Self>,
                saved: Saved<FloatTensor<Self>>,
            ) -> [FloatTensor<Self>; 3] {
                backward(grad, true, saved)
            }

            fn weights_backward(
                grad: FloatTensor<Self>,
                saved: Saved<FloatTensor<Self>>,
            ) -> [FloatTensor<Self>; 2] {
                let [d_query, d_keys, _] = backward(grad, false, saved);
                [d_query, d_keys]
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
