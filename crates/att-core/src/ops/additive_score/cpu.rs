//! The operation on slices, for flex and ndarray.

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::Shape;
use rayon::prelude::*;

use super::AdditiveScoreOps;
use super::kernel::{Factored, factors, scores, scores_backward};
use crate::ops::host::{AsF32, HostTensor};

#[derive(Clone, Copy)]
struct Dims {
    batch: usize,
    tgt_len: usize,
    src_len: usize,
    d: usize,
}

impl Dims {
    fn of(query: Shape, keys: Shape) -> Self {
        Self {
            batch: query[0],
            tgt_len: query[1],
            src_len: keys[1],
            d: query[2],
        }
    }
}

/// What belongs to one query or key, of all that belongs to its source.
fn row<'a>(raw: &'a [f32], factors: &'a Option<Vec<f32>>, at: usize, d: usize) -> Factored<'a> {
    Factored {
        raw: &raw[at * d..][..d],
        factors: factors.as_ref().map(|factors| &factors[at * d..][..d]),
    }
}

fn all<'a>(raw: &'a [f32], factors: &'a Option<Vec<f32>>) -> Factored<'a> {
    Factored {
        raw,
        factors: factors.as_deref(),
    }
}

fn forward(query: &[f32], keys: &[f32], v: &[f32], dims: Dims) -> Vec<f32> {
    let Dims {
        batch,
        tgt_len,
        src_len,
        d,
    } = dims;
    let mut out = vec![0.0; batch * tgt_len * src_len];
    let key_factors: Vec<_> = keys.par_chunks(src_len * d).map(factors).collect();
    let query_factors: Vec<_> = query.par_chunks(tgt_len * d).map(factors).collect();
    out.par_chunks_mut(src_len)
        .enumerate()
        .for_each(|(at, out)| {
            let (b, t) = (at / tgt_len, at % tgt_len);
            let query = row(&query[b * tgt_len * d..], &query_factors[b], t, d);
            let keys = all(&keys[b * src_len * d..][..src_len * d], &key_factors[b]);
            scores(query, keys, v, out);
        });
    out
}

struct Gradients {
    d_query: Vec<f32>,
    d_keys: Vec<f32>,
    d_v: Vec<f32>,
}

fn backward(grad: &[f32], query: &[f32], keys: &[f32], v: &[f32], dims: Dims) -> Gradients {
    let Dims {
        tgt_len,
        src_len,
        d,
        ..
    } = dims;
    let mut d_query = vec![0.0; query.len()];
    let mut d_keys = vec![0.0; keys.len()];
    let parts: Vec<Vec<f32>> = d_query
        .par_chunks_mut(tgt_len * d)
        .zip(d_keys.par_chunks_mut(src_len * d))
        .enumerate()
        .map(|(b, (d_query, d_keys))| {
            let raw_query = &query[b * tgt_len * d..][..tgt_len * d];
            let raw_keys = &keys[b * src_len * d..][..src_len * d];
            let (query_factors, key_factors) = (factors(raw_query), factors(raw_keys));
            let mut d_v = vec![0.0; d];
            for t in 0..tgt_len {
                scores_backward(
                    row(raw_query, &query_factors, t, d),
                    all(raw_keys, &key_factors),
                    v,
                    &grad[(b * tgt_len + t) * src_len..][..src_len],
                    &mut d_query[t * d..][..d],
                    d_keys,
                    &mut d_v,
                );
            }
            d_v
        })
        .collect();
    // In the order of the batch, so that threads do not show.
    let mut d_v = vec![0.0; d];
    for part in parts {
        d_v.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    Gradients {
        d_query,
        d_keys,
        d_v,
    }
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl AdditiveScoreOps for $backend {
            fn additive_score(
                query: FloatTensor<Self>,
                keys: FloatTensor<Self>,
                v: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                let dims = Dims::of(query.shape(), keys.shape());
                let scores = forward(
                    query.contiguous().as_f32(),
                    keys.contiguous().as_f32(),
                    v.contiguous().as_f32(),
                    dims,
                );
                HostTensor::from_vec(
                    scores,
                    Shape::from([dims.batch, dims.tgt_len, dims.src_len]),
                )
            }

            fn additive_score_backward(
                grad: FloatTensor<Self>,
                query: FloatTensor<Self>,
                keys: FloatTensor<Self>,
                v: FloatTensor<Self>,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let (query_shape, keys_shape) = (query.shape(), keys.shape());
                let dims = Dims::of(query_shape.clone(), keys_shape.clone());
                let out = backward(
                    grad.contiguous().as_f32(),
                    query.contiguous().as_f32(),
                    keys.contiguous().as_f32(),
                    v.contiguous().as_f32(),
                    dims,
                );
                (
                    HostTensor::from_vec(out.d_query, query_shape),
                    HostTensor::from_vec(out.d_keys, keys_shape),
                    HostTensor::from_vec(out.d_v, Shape::from([dims.d])),
                )
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
