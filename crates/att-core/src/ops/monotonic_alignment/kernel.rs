//! The recurrence and its gradient on slices.

use rayon::prelude::*;

use crate::ops::gemm::rows_per_thread;
use crate::ops::work::{Kind, span};

/// The alignment.
pub(super) fn forward(p: &[f32], previous: &[f32], src_len: usize) -> Vec<f32> {
    let mut alignment = vec![0.0; p.len()];
    alignment
        .par_chunks_mut(src_len)
        .zip(p.par_chunks(src_len))
        .zip(previous.par_chunks(src_len))
        .with_min_len(rows_per_thread(p.len() / src_len, src_len))
        .for_each(|((alignment, p), previous)| {
            let _span = span(Kind::Attention);
            let mut passed = 0.0;
            for ((a, &p), &previous) in alignment.iter_mut().zip(p).zip(previous) {
                let reach = passed + previous;
                *a = p * reach;
                passed = (1.0 - p) * reach;
            }
        });
    alignment
}

/// The gradients of `p` and `previous`.
pub(super) fn backward(grad: &[f32], p: &[f32], previous: &[f32], src_len: usize) -> [Vec<f32>; 2] {
    let mut d_p = vec![0.0; p.len()];
    let mut d_previous = vec![0.0; p.len()];
    d_p.par_chunks_mut(src_len)
        .zip(d_previous.par_chunks_mut(src_len))
        .zip(grad.par_chunks(src_len))
        .zip(p.par_chunks(src_len))
        .zip(previous.par_chunks(src_len))
        .with_min_len(rows_per_thread(p.len() / src_len, src_len))
        .for_each(|((((d_p, d_previous), grad), p), previous)| {
            let _span = span(Kind::Attention);
            // The reach of each state stands in the place of its gradient until that is made.
            let mut passed = 0.0;
            for ((reach, &p), &previous) in d_p.iter_mut().zip(p).zip(previous) {
                *reach = passed + previous;
                passed = (1.0 - p) * *reach;
            }
            let mut d_passed = 0.0;
            for s in (0..src_len).rev() {
                let reach = d_p[s];
                d_p[s] = reach * (grad[s] - d_passed);
                d_previous[s] = p[s] * grad[s] + (1.0 - p[s]) * d_passed;
                d_passed = d_previous[s];
            }
        });
    [d_p, d_previous]
}
