//! The operation on slices, for flex and ndarray.

use std::cell::RefCell;

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::Shape;
use rayon::prelude::*;

use super::AdditiveScoreOps;
use super::kernel::{Factored, factors, factors_into, scores, scores_backward};
use crate::ops::attention_dims::AttentionDims;
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::work::{Kind, span};

fn dims(query: &Shape, keys: &Shape) -> AttentionDims {
    let dims = AttentionDims::scored(query, keys);
    let sizes = [dims.batch, dims.tgt_len, dims.src_len, dims.d];
    assert!(
        !sizes.contains(&0),
        "additive scores of nothing: batch, tgt_len, src_len and d_attn are {sizes:?}"
    );
    dims
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

/// The scores of all queries, `[batch, tgt_len, src_len]`.
pub(in crate::ops) fn forward(
    query: &[f32],
    keys: &[f32],
    v: &[f32],
    dims: AttentionDims,
) -> Vec<f32> {
    let AttentionDims {
        batch,
        tgt_len,
        src_len,
        d,
    } = dims;
    let mut out = vec![0.0; batch * tgt_len * src_len];
    // Where there are fewer sources than threads, threads share the queries of a source.
    let shares = rayon::current_num_threads().div_ceil(batch.max(1));
    let rows = tgt_len.div_ceil(shares).max(1);
    out.par_chunks_mut(tgt_len * src_len)
        .zip(query.par_chunks(tgt_len * d))
        .zip(keys.par_chunks(src_len * d))
        .for_each(|((out, query), keys)| {
            out.par_chunks_mut(rows * src_len)
                .zip(query.par_chunks(rows * d))
                .for_each(|(out, query)| some_scores(query, keys, v, out));
        });
    out
}

thread_local! {
    /// The factors of a source's keys and of a query, of which the next source makes new ones.
    static FACTORS: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// The scores of some queries of one source.
fn some_scores(query: &[f32], keys: &[f32], v: &[f32], out: &mut [f32]) {
    let _span = span(Kind::Attention);
    let d = v.len();
    FACTORS.with_borrow_mut(|[key_factors, query_factors]| {
        key_factors.resize(keys.len(), 0.0);
        query_factors.resize(d, 0.0);
        let keys = Factored {
            raw: keys,
            factors: factors_into(keys, key_factors).then_some(&key_factors[..]),
        };
        let rows = query
            .chunks_exact(d)
            .zip(out.chunks_exact_mut(keys.raw.len() / d));
        for (query, out) in rows {
            let query = Factored {
                raw: query,
                factors: factors_into(query, query_factors).then_some(&query_factors[..]),
            };
            scores(query, keys, v, out);
        }
    });
}

struct Gradients {
    d_query: Vec<f32>,
    d_keys: Vec<f32>,
    d_v: Vec<f32>,
}

fn backward(
    grad: &[f32],
    query: &[f32],
    keys: &[f32],
    v: &[f32],
    dims: AttentionDims,
) -> Gradients {
    let AttentionDims {
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
            let _span = span(Kind::Attention);
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
                let dims = dims(&query.shape(), &keys.shape());
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
                let dims = dims(&query_shape, &keys_shape);
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
