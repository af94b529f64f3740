//! Weights and gradients on slices.

use rayon::prelude::*;

use super::Alpha;
use crate::ops::gemm::rows_per_thread;
use crate::ops::work::{Kind, span};

/// What a score costs, in numbers multiplied: mostly the sorting.
const WORK: usize = 32;

/// Makes weights of the scores in their place; negative infinity gets none.
pub(super) fn forward(scores: &mut [f32], src_len: usize, alpha: Alpha) {
    let rows = scores.len() / src_len;
    scores
        .par_chunks_mut(src_len)
        .with_min_len(rows_per_thread(rows, src_len * WORK))
        .for_each_init(Vec::new, |sorted, row| {
            let _span = span(Kind::Attention);
            weights(row, sorted, alpha);
        });
}

/// Makes the gradient of the scores of that of the weights, in its place.
pub(super) fn backward(grad: &mut [f32], weights: &[f32], src_len: usize, alpha: Alpha) {
    let rows = grad.len() / src_len;
    grad.par_chunks_mut(src_len)
        .zip(weights.par_chunks(src_len))
        .with_min_len(rows_per_thread(rows, src_len * WORK))
        .for_each(|(grad, weights)| {
            let _span = span(Kind::Attention);
            let slope = |weight: f32| match alpha {
                Alpha::OneAndHalf => weight.sqrt(),
                Alpha::Two => f32::from(weight > 0.0),
            };
            let (mut sum, mut up) = (0.0, 0.0);
            for (&grad, &weight) in grad.iter().zip(weights) {
                // Not a product: the gradient of what has no weight may be anything.
                if weight > 0.0 {
                    sum += slope(weight);
                    up += slope(weight) * grad;
                }
            }
            for (grad, &weight) in grad.iter_mut().zip(weights) {
                *grad = if weight > 0.0 {
                    slope(weight) * (*grad - up / sum)
                } else {
                    0.0
                };
            }
        });
}

/// One row; `sorted` is room to work in.
fn weights(row: &mut [f32], sorted: &mut Vec<f32>, alpha: Alpha) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return row.fill(0.0);
    }
    let scale = match alpha {
        Alpha::OneAndHalf => 0.5,
        Alpha::Two => 1.0,
    };
    row.iter_mut()
        .for_each(|score| *score = (*score - max) * scale);
    // tau lies within one of the greatest, so only those above it need an order.
    sorted.clear();
    sorted.extend(row.iter().filter(|score| **score > -1.0));
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let tau = threshold(sorted, alpha);
    for score in row {
        let above = (*score - tau).max(0.0);
        *score = match alpha {
            Alpha::OneAndHalf => above * above,
            Alpha::Two => above,
        };
    }
}

/// tau of scaled scores, the greatest first: that of the most scores that all lie above it.
fn threshold(sorted: &[f32], alpha: Alpha) -> f32 {
    let (mut sum, mut squares, mut tau) = (0.0, 0.0, 0.0);
    for (n, &score) in (1..).zip(sorted) {
        let score = f64::from(score);
        sum += score;
        squares += score * score;
        let n = f64::from(n);
        let next = match alpha {
            Alpha::Two => (sum - 1.0) / n,
            Alpha::OneAndHalf => {
                let mean = sum / n;
                let variance = squares - mean * sum;
                mean - ((1.0 - variance).max(0.0) / n).sqrt()
            }
        };
        if next >= score {
            break;
        }
        tau = next;
    }
    tau as f32
}
