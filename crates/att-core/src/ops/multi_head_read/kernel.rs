//! Scores, softmax, context and their gradients on slices. The heads of a vector are neighbours, so
//! a head's queries are rows that lie `n_heads * d_head` numbers apart.

use gemm::Parallelism;
use rayon::prelude::*;

use super::Dims;
use crate::ops::attention_read::kernel::{dot, softmax, softmax_backward};
use crate::ops::gemm::{Mat, matmul_f32, rows_per_thread};
use crate::ops::simd::vectorise;
use crate::ops::work::{Kind, span};

const ONE: Parallelism = Parallelism::None;

/// Queries of a source below which a product of matrices does not pay.
const FEW: usize = 4;

/// What the kernel knows besides its arguments.
#[derive(Debug)]
pub struct Plan {
    pub(super) dims: Dims,
    /// One past the last unmasked position of each source.
    ends: Vec<usize>,
    /// True where masked, `[batch, src_len]`; none where nothing is masked before the ends.
    holes: Option<Vec<bool>>,
    causal: bool,
    /// `[batch, n_heads, tgt_len, src_len]`
    dropout: Option<Vec<f32>>,
}

impl Plan {
    pub(super) fn new(
        dims: Dims,
        mask: Option<Vec<bool>>,
        causal: bool,
        dropout: Option<Vec<f32>>,
    ) -> Self {
        let rows = || mask.iter().flat_map(|mask| mask.chunks_exact(dims.src_len));
        let ends = match mask {
            Some(_) => rows().map(end_of).collect(),
            None => vec![dims.src_len; dims.batch],
        };
        let hole = rows()
            .zip(&ends)
            .any(|(row, &end)| row[..end].contains(&true));
        Self {
            dims,
            ends,
            holes: if hole { mask } else { None },
            causal,
            dropout,
        }
    }

    /// Scores of query `t` of source `b` to weights, in their place.
    #[inline(always)]
    fn weigh(&self, b: usize, t: usize, scores: &mut [f32]) {
        let Dims {
            tgt_len, src_len, ..
        } = self.dims;
        let mut end = self.ends[b];
        if self.causal {
            end = end.min(src_len - tgt_len + t + 1);
        }
        if let Some(holes) = &self.holes {
            let masked = &holes[b * src_len..][..end];
            end = end_of(masked);
            for (score, &masked) in scores[..end].iter_mut().zip(masked) {
                if masked {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        let scale = self.dims.scale();
        let (read, rest) = scores.split_at_mut(end);
        read.iter_mut().for_each(|score| *score *= scale);
        softmax(read);
        rest.fill(0.0);
    }

    /// The factors of the weights of one source and head.
    fn factors(&self, b: usize, head: usize) -> Option<&[f32]> {
        let Dims {
            tgt_len,
            src_len,
            n_heads,
            ..
        } = self.dims;
        let len = tgt_len * src_len;
        self.dropout
            .as_ref()
            .map(|factors| &factors[(b * n_heads + head) * len..][..len])
    }

    /// How many sources a thread takes at least.
    fn share(&self) -> usize {
        let dims = self.dims;
        rows_per_thread(dims.batch, dims.tgt_len * dims.src_len * dims.d_query())
    }
}

/// One past the last number that is not masked.
fn end_of(masked: &[bool]) -> usize {
    let last = masked.iter().rposition(|masked| !masked);
    last.map_or(0, |s| s + 1)
}

impl Dims {
    /// Where a head of queries begins in their vectors, and its keys and values in theirs.
    fn starts(self, head: usize) -> (usize, usize) {
        let group = self.n_heads / self.n_kv_heads;
        (head * self.d_head, head / group * self.d_head)
    }

    /// A head's vectors of queries, or of their contexts.
    fn queries(self, data: &[f32], start: usize) -> Mat<'_> {
        Mat::rows(&data[start..], self.tgt_len, self.d_head, self.d_query())
    }

    /// A head's first `end` keys or values.
    fn keys(self, data: &[f32], start: usize, end: usize) -> Mat<'_> {
        Mat::rows(&data[start..], end, self.d_head, self.d_key())
    }

    fn scores(self, data: &[f32], end: usize) -> Mat<'_> {
        Mat::rows(data, self.tgt_len, end, self.src_len)
    }
}

/// `a *= b`, number by number.
fn multiply(a: &mut [f32], b: &[f32]) {
    vectorise(
        #[inline(always)]
        || a.iter_mut().zip(b).for_each(|(a, b)| *a *= b),
    );
}

/// Context and weights.
pub(super) fn forward(
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    plan: &Plan,
) -> (Vec<f32>, Vec<f32>) {
    let dims = plan.dims;
    let (len, d_query) = (dims.tgt_len * dims.src_len, dims.d_query());
    let mut weights = vec![0.0; dims.batch * dims.n_heads * len];
    let mut context = vec![0.0; query.len()];
    weights
        .par_chunks_mut(dims.n_heads * len)
        .zip(context.par_chunks_mut(dims.tgt_len * d_query))
        .zip(query.par_chunks(dims.tgt_len * d_query))
        .zip(keys.par_chunks(dims.src_len * dims.d_key()))
        .zip(values.par_chunks(dims.src_len * dims.d_key()))
        .enumerate()
        .with_min_len(plan.share())
        .for_each(|(b, ((((weights, context), query), keys), values))| {
            let _span = span(Kind::Attention);
            let mut dropped = Vec::new();
            for (head, weights) in weights.chunks_exact_mut(len).enumerate() {
                if dims.tgt_len < FEW {
                    few_queries(plan, (b, head), (query, keys, values), weights, context);
                    continue;
                }
                let end = plan.ends[b];
                let (at, kv_at) = dims.starts(head);
                let (queries, keys) = (dims.queries(query, at), dims.keys(keys, kv_at, end));
                matmul_f32(weights, dims.src_len, false, queries, keys.t(), ONE);
                weigh_all(plan, b, weights);
                let kept = kept(plan.factors(b, head), weights, &mut dropped);
                let (kept, values) = (dims.scores(kept, end), dims.keys(values, kv_at, end));
                matmul_f32(&mut context[at..], d_query, false, kept, values, ONE);
            }
        });
    (context, weights)
}

fn weigh_all(plan: &Plan, b: usize, scores: &mut [f32]) {
    vectorise(
        #[inline(always)]
        || {
            for (t, scores) in scores.chunks_exact_mut(plan.dims.src_len).enumerate() {
                plan.weigh(b, t, scores);
            }
        },
    );
}

/// The weights times the factors of dropout, in `room` where there are any.
fn kept<'a>(factors: Option<&[f32]>, weights: &'a [f32], room: &'a mut Vec<f32>) -> &'a [f32] {
    let Some(factors) = factors else {
        return weights;
    };
    room.clear();
    room.extend_from_slice(weights);
    multiply(room, factors);
    room
}

/// One source and head by sums of rows.
fn few_queries(
    plan: &Plan,
    (b, head): (usize, usize),
    (query, keys, values): (&[f32], &[f32], &[f32]),
    weights: &mut [f32],
    context: &mut [f32],
) {
    let dims = plan.dims;
    let (end, (at, kv_at)) = (plan.ends[b], dims.starts(head));
    let (d_query, d_key, d_head) = (dims.d_query(), dims.d_key(), dims.d_head);
    let factors = plan.factors(b, head);
    vectorise(
        #[inline(always)]
        || {
            for (t, weights) in weights.chunks_exact_mut(dims.src_len).enumerate() {
                let query = &query[t * d_query + at..][..d_head];
                for (s, score) in weights[..end].iter_mut().enumerate() {
                    *score = dot(query, &keys[s * d_key + kv_at..][..d_head]);
                }
                plan.weigh(b, t, weights);
                let context = &mut context[t * d_query + at..][..d_head];
                for (s, &weight) in weights[..end].iter().enumerate() {
                    let factor = factors.map_or(1.0, |factors| factors[t * dims.src_len + s]);
                    let value = &values[s * d_key + kv_at..][..d_head];
                    for (sum, x) in context.iter_mut().zip(value) {
                        *sum += weight * factor * x;
                    }
                }
            }
        },
    );
}

/// Whose gradient is given.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// `[batch, tgt_len, n_heads * d_head]`
    Context(&'a [f32]),
    /// `[batch, n_heads, tgt_len, src_len]`
    Weights(&'a [f32]),
}

/// The gradients of queries, keys and values; of the values zero where that of the weights is given.
pub(super) fn backward(
    given: Given,
    (query, keys, values): (&[f32], &[f32], &[f32]),
    weights: &[f32],
    plan: &Plan,
) -> [Vec<f32>; 3] {
    let dims = plan.dims;
    let (len, d_query, d_key) = (dims.tgt_len * dims.src_len, dims.d_query(), dims.d_key());
    let mut d_query_all = vec![0.0; query.len()];
    let mut d_keys_all = vec![0.0; keys.len()];
    let mut d_values_all = vec![0.0; values.len()];
    d_query_all
        .par_chunks_mut(dims.tgt_len * d_query)
        .zip(d_keys_all.par_chunks_mut(dims.src_len * d_key))
        .zip(d_values_all.par_chunks_mut(dims.src_len * d_key))
        .zip(weights.par_chunks(dims.n_heads * len))
        .enumerate()
        .with_min_len(plan.share())
        .for_each(|(b, (((d_queries, d_keys), d_values), weights))| {
            let _span = span(Kind::Attention);
            let query = &query[b * dims.tgt_len * d_query..][..dims.tgt_len * d_query];
            let [keys, values] = [keys, values]
                .map(|data| &data[b * dims.src_len * d_key..][..dims.src_len * d_key]);
            let end = plan.ends[b];
            let mut slopes = vec![0.0; len];
            let mut dropped = Vec::new();
            for (head, weights) in weights.chunks_exact(len).enumerate() {
                let (at, kv_at) = dims.starts(head);
                match given {
                    Given::Context(grad) => {
                        let grad = &grad[b * dims.tgt_len * d_query..][..dims.tgt_len * d_query];
                        let up = dims.queries(grad, at);
                        let values = dims.keys(values, kv_at, end);
                        matmul_f32(&mut slopes, dims.src_len, false, up, values.t(), ONE);
                        let factors = plan.factors(b, head);
                        if let Some(factors) = factors {
                            multiply(&mut slopes, factors);
                        }
                        let kept = dims.scores(kept(factors, weights, &mut dropped), end);
                        // The heads of a group add up.
                        matmul_f32(&mut d_values[kv_at..], d_key, true, kept.t(), up, ONE);
                    }
                    Given::Weights(grad) => {
                        slopes.copy_from_slice(&grad[(b * dims.n_heads + head) * len..][..len]);
                    }
                }
                through_softmax(&mut slopes, weights, end, dims);
                let slopes = dims.scores(&slopes, end);
                let (queries, keys) = (dims.queries(query, at), dims.keys(keys, kv_at, end));
                matmul_f32(&mut d_queries[at..], d_query, false, slopes, keys, ONE);
                matmul_f32(&mut d_keys[kv_at..], d_key, true, slopes.t(), queries, ONE);
            }
        });
    [d_query_all, d_keys_all, d_values_all]
}

/// The gradient of the weights to that of the products of queries and keys, in its place.
fn through_softmax(grad: &mut [f32], weights: &[f32], end: usize, dims: Dims) {
    let scale = dims.scale();
    vectorise(
        #[inline(always)]
        || {
            for (grad, weights) in grad
                .chunks_exact_mut(dims.src_len)
                .zip(weights.chunks_exact(dims.src_len))
            {
                let grad = &mut grad[..end];
                softmax_backward(grad, &weights[..end]);
                grad.iter_mut().for_each(|x| *x *= scale);
            }
        },
    );
}
