//! Softmax, context and their gradients on slices.

use burn::tensor::Shape;
use gemm::Parallelism;
use rayon::prelude::*;

use crate::ops::attention_dims::AttentionDims;
use crate::ops::gemm::{Mat, matmul_f32};
use crate::ops::simd::{exp, vectorise};
use crate::ops::work::{Kind, span};

/// Queries of a source below which a product of matrices does not pay.
const FEW: usize = 4;

/// Which states of each source are read.
#[derive(Clone, Debug)]
pub struct Sources {
    /// One past the last unmasked state of each source.
    pub(super) ends: Vec<usize>,
    /// True where masked, `[batch, src_len]`.
    mask: Vec<bool>,
}

impl Sources {
    /// Their number, and the size of the longest.
    pub(in crate::ops) fn sizes(&self) -> [usize; 2] {
        let batch = self.ends.len();
        [batch, self.mask.len() / batch]
    }

    /// Of a mask of `[batch, src_len]`.
    pub(in crate::ops) fn new(mask: Vec<bool>, src_len: usize) -> Self {
        let end = |row: &[bool]| row.iter().rposition(|masked| !masked).map_or(0, |s| s + 1);
        Self {
            ends: mask.chunks_exact(src_len).map(end).collect(),
            mask,
        }
    }
}

/// Makes weights of the scores in their place, and the context.
pub(in crate::ops) fn forward(
    scores: &mut [f32],
    values: &[f32],
    sources: &Sources,
    dims: AttentionDims,
) -> Vec<f32> {
    let AttentionDims {
        batch,
        tgt_len,
        src_len,
        d,
    } = dims;
    let mut context = vec![0.0; batch * tgt_len * d];
    scores
        .par_chunks_mut(tgt_len * src_len)
        .zip(context.par_chunks_mut(tgt_len * d))
        .zip(values.par_chunks(src_len * d))
        .zip(sources.mask.par_chunks(src_len))
        .zip(&sources.ends)
        .with_min_len(dims.share())
        .for_each(|((((scores, context), values), mask), &end)| {
            let _span = span(Kind::Attention);
            vectorise(
                #[inline(always)]
                || {
                    for scores in scores.chunks_exact_mut(src_len) {
                        for (score, &masked) in scores.iter_mut().zip(mask) {
                            if masked {
                                *score = f32::NEG_INFINITY;
                            }
                        }
                        let (read, rest) = scores.split_at_mut(end);
                        softmax(read);
                        rest.fill(0.0);
                    }
                },
            );
            let values = &values[..end * d];
            if tgt_len < FEW {
                for (weights, context) in scores
                    .chunks_exact(src_len)
                    .zip(context.chunks_exact_mut(d))
                {
                    vectorise(
                        #[inline(always)]
                        || add_weighted(context, &weights[..end], values),
                    );
                }
            } else {
                let weights = Mat::rows(scores, tgt_len, end, src_len);
                let values = Mat::rows(values, end, d, d);
                matmul_f32(context, d, false, weights, values, Parallelism::None);
            }
        });
    context
}

/// The gradients of scores and values.
pub(super) fn context_backward(
    grad: &[f32],
    weights: &[f32],
    values: &[f32],
    ends: &[usize],
    dims: AttentionDims,
) -> [Vec<f32>; 2] {
    let AttentionDims {
        tgt_len,
        src_len,
        d,
        ..
    } = dims;
    let mut d_scores = vec![0.0; weights.len()];
    let mut d_values = vec![0.0; values.len()];
    d_scores
        .par_chunks_mut(tgt_len * src_len)
        .zip(d_values.par_chunks_mut(src_len * d))
        .zip(grad.par_chunks(tgt_len * d))
        .zip(weights.par_chunks(tgt_len * src_len))
        .zip(values.par_chunks(src_len * d))
        .zip(ends)
        .with_min_len(dims.share())
        .for_each(
            |(((((d_scores, d_values), grad), weights), values), &end)| {
                let _span = span(Kind::Attention);
                let none = Parallelism::None;
                let up = Mat::rows(grad, tgt_len, d, d);
                let states = Mat::rows(values, end, d, d);
                matmul_f32(d_scores, src_len, false, up, states.t(), none);
                softmaxes_backward(d_scores, weights, src_len, end);
                let weights = Mat::rows(weights, tgt_len, end, src_len);
                matmul_f32(d_values, d, false, weights.t(), up, none);
            },
        );
    [d_scores, d_values]
}

/// Makes the gradient of the scores of that of the weights, in its place.
pub(super) fn weights_backward(grad: &mut [f32], weights: &[f32], ends: &[usize], shape: &Shape) {
    let (tgt_len, src_len) = (shape[1], shape[2]);
    grad.chunks_exact_mut(tgt_len * src_len)
        .zip(weights.chunks_exact(tgt_len * src_len))
        .zip(ends)
        .for_each(|((grad, weights), &end)| softmaxes_backward(grad, weights, src_len, end));
}

/// [`softmax_backward`] of the queries of a source; zero from `end` on.
fn softmaxes_backward(grad: &mut [f32], weights: &[f32], src_len: usize, end: usize) {
    let _span = span(Kind::Attention);
    vectorise(
        #[inline(always)]
        || {
            for (grad, weights) in grad
                .chunks_exact_mut(src_len)
                .zip(weights.chunks_exact(src_len))
            {
                softmax_backward(&mut grad[..end], &weights[..end]);
                grad[end..].fill(0.0);
            }
        },
    );
}

/// Scores to weights, in their place; negative infinity gets none.
#[inline(always)]
pub(in crate::ops) fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = exp(*score - max);
        sum += *score;
    }
    for weight in scores.iter_mut() {
        *weight /= sum;
    }
}

/// The gradient of weights to that of their scores, in its place.
#[inline(always)]
pub(in crate::ops) fn softmax_backward(grad: &mut [f32], weights: &[f32]) {
    let mean = dot(grad, weights);
    for (grad, &weight) in grad.iter_mut().zip(weights) {
        *grad = weight * (*grad - mean);
    }
}

/// `sum += sum_s weights[s] rows[s]`, with rows as long as `sum`.
#[inline(always)]
pub(in crate::ops) fn add_weighted(sum: &mut [f32], weights: &[f32], rows: &[f32]) {
    for (&weight, row) in weights.iter().zip(rows.chunks_exact(sum.len())) {
        for (sum, x) in sum.iter_mut().zip(row) {
            *sum += weight * x;
        }
    }
}

/// `a . b`, in lanes.
#[inline(always)]
pub(in crate::ops) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}
