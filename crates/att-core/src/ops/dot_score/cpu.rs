//! The operation on slices, for flex and ndarray.

use burn::backend::{Backend, TensorMetadata, backend_extension, tensor::FloatTensor};
use burn::tensor::Shape;
use gemm::Parallelism;
use rayon::prelude::*;

use crate::ops::attention_dims::AttentionDims;
use crate::ops::gemm::{Mat, matmul_f32};
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::simd::vectorise;
use crate::ops::work::{Kind, span};

/// The scores of a CPU backend; names as in [`dot_score`](super::dot_score()).
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait DotScoreOps: Backend {
    /// The scores, `[batch, tgt_len, src_len]`.
    fn dot_score(
        query: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;
}

/// The gradient where tensors are slices.
pub(super) trait OnSlices: DotScoreOps {
    /// Of `query` and `keys`, given that of the scores.
    fn backward(
        grad: FloatTensor<Self>,
        query: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        scale: f32,
    ) -> [FloatTensor<Self>; 2];
}

/// The queries of one source, and its keys.
fn mats<'a>(dims: AttentionDims, query: &'a [f32], keys: &'a [f32]) -> (Mat<'a>, Mat<'a>) {
    (
        Mat::rows(query, dims.tgt_len, dims.d, dims.d),
        Mat::rows(keys, dims.src_len, dims.d, dims.d),
    )
}

fn scale_by(numbers: &mut [f32], scale: f32) {
    if scale != 1.0 {
        vectorise(
            #[inline(always)]
            || numbers.iter_mut().for_each(|x| *x *= scale),
        );
    }
}

/// The scores of all queries, `[batch, tgt_len, src_len]`.
pub(in crate::ops) fn forward(
    query: &[f32],
    keys: &[f32],
    scale: f32,
    dims: AttentionDims,
) -> Vec<f32> {
    let AttentionDims {
        batch,
        tgt_len,
        src_len,
        d,
    } = dims;
    let mut out = vec![0.0; batch * tgt_len * src_len];
    out.par_chunks_mut(tgt_len * src_len)
        .zip(query.par_chunks(tgt_len * d))
        .zip(keys.par_chunks(src_len * d))
        .with_min_len(dims.share())
        .for_each(|((out, query), keys)| {
            let _span = span(Kind::Attention);
            let (query, keys) = mats(dims, query, keys);
            matmul_f32(out, src_len, false, query, keys.t(), Parallelism::None);
            scale_by(out, scale);
        });
    out
}

fn backward(
    grad: &[f32],
    query: &[f32],
    keys: &[f32],
    scale: f32,
    dims: AttentionDims,
) -> [Vec<f32>; 2] {
    let AttentionDims {
        tgt_len,
        src_len,
        d,
        ..
    } = dims;
    let mut d_query = vec![0.0; query.len()];
    let mut d_keys = vec![0.0; keys.len()];
    d_query
        .par_chunks_mut(tgt_len * d)
        .zip(d_keys.par_chunks_mut(src_len * d))
        .zip(grad.par_chunks(tgt_len * src_len))
        .zip(query.par_chunks(tgt_len * d))
        .zip(keys.par_chunks(src_len * d))
        .with_min_len(dims.share())
        .for_each(|((((d_query, d_keys), grad), query), keys)| {
            let _span = span(Kind::Attention);
            let (query, keys) = mats(dims, query, keys);
            let up = Mat::rows(grad, tgt_len, src_len, src_len);
            matmul_f32(d_query, d, false, up, keys, Parallelism::None);
            matmul_f32(d_keys, d, false, up.t(), query, Parallelism::None);
            scale_by(d_query, scale);
            scale_by(d_keys, scale);
        });
    [d_query, d_keys]
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl DotScoreOps for $backend {
            fn dot_score(
                query: FloatTensor<Self>,
                keys: FloatTensor<Self>,
                scale: f32,
            ) -> FloatTensor<Self> {
                let dims = AttentionDims::scored(&query.shape(), &keys.shape());
                let (query, keys) = (query.contiguous(), keys.contiguous());
                let scores = forward(query.as_f32(), keys.as_f32(), scale, dims);
                let shape = Shape::from([dims.batch, dims.tgt_len, dims.src_len]);
                HostTensor::from_vec(scores, shape)
            }
        }

        impl OnSlices for $backend {
            fn backward(
                grad: FloatTensor<Self>,
                query: FloatTensor<Self>,
                keys: FloatTensor<Self>,
                scale: f32,
            ) -> [FloatTensor<Self>; 2] {
                let shapes = [query.shape(), keys.shape()];
                let dims = AttentionDims::scored(&shapes[0], &shapes[1]);
                let (query, keys) = (query.contiguous(), keys.contiguous());
                let grad = grad.contiguous();
                let [d_query, d_keys] =
                    backward(grad.as_f32(), query.as_f32(), keys.as_f32(), scale, dims);
                let [query_shape, keys_shape] = shapes;
                [
                    HostTensor::from_vec(d_query, query_shape),
                    HostTensor::from_vec(d_keys, keys_shape),
                ]
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
