//! Scores of one query against the keys of its source, and their gradient, on slices.

#[cfg(target_arch = "x86_64")]
use super::avx512;
use crate::ops::simd::{exp, reciprocal, vectorise};

/// Numbers that are worked on side by side: two of the widest vectors.
const LANES: usize = 32;
/// Arguments whose exponentials can be multiplied without leaving the numbers: `exp(2 * 20)`
/// squared is 5.5e34.
const FACTORED: f32 = 20.0;

/// `exp(2 x)`, or none where some x is too large for [`scores`] by factors.
pub(in crate::ops) fn factors(x: &[f32]) -> Option<Vec<f32>> {
    let mut out = vec![0.0; x.len()];
    factors_into(x, &mut out).then_some(out)
}

/// [`factors`] into a buffer of the same size; false where some x is too large.
pub(in crate::ops) fn factors_into(x: &[f32], out: &mut [f32]) -> bool {
    vectorise(
        #[inline(always)]
        || {
            let mut fit = true;
            for (out, &x) in out.iter_mut().zip(x) {
                fit &= x.abs() <= FACTORED;
                *out = exp(2.0 * x);
            }
            fit
        },
    )
}

/// A query or a key: itself, and its [`factors`] where it has them.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Factored<'a> {
    pub(in crate::ops) raw: &'a [f32],
    pub(in crate::ops) factors: Option<&'a [f32]>,
}

/// What a pair's tanh is made of: `r = 1 / (exp(2 (q + k)) + 1)`, so that `tanh = 1 - 2 r` and
/// `tanh' = 4 (r - r^2)`.
#[inline(always)]
fn by_factors(q: f32, k: f32) -> f32 {
    reciprocal(q * k + 1.0)
}

/// The same from the sum, for large arguments.
#[inline(always)]
fn by_sum(q: f32, k: f32) -> f32 {
    reciprocal(exp((2.0 * (q + k)).clamp(-80.0, 80.0)) + 1.0)
}

/// `scores[s] = sum_a v[a] tanh(query[a] + keys[s, a])`.
pub(in crate::ops) fn scores(query: Factored, keys: Factored, v: &[f32], scores: &mut [f32]) {
    match (query.factors, keys.factors) {
        #[cfg(target_arch = "x86_64")]
        (Some(q), Some(k)) if avx512::available() => {
            // SAFETY: it is available.
            unsafe { avx512::scores(q, k, v, scores) }
        }
        (Some(q), Some(k)) => portable::scores(q, k, v, scores),
        _ => vectorise(
            #[inline(always)]
            || scores_by(by_sum, query.raw, keys.raw, v, scores),
        ),
    }
}

/// The kernels by factors on any processor.
pub(super) mod portable {
    use super::{backward_by, by_factors, scores_by, vectorise};

    pub(in super::super) fn scores(q: &[f32], k: &[f32], v: &[f32], scores: &mut [f32]) {
        vectorise(
            #[inline(always)]
            || scores_by(by_factors, q, k, v, scores),
        );
    }

    pub(in super::super) fn backward(
        q: &[f32],
        k: &[f32],
        v: &[f32],
        d_scores: &[f32],
        d_q: &mut [f32],
        d_k: &mut [f32],
        d_v: &mut [f32],
    ) {
        vectorise(
            #[inline(always)]
            || backward_by(by_factors, q, k, v, d_scores, d_q, d_k, d_v),
        );
    }
}

#[inline(always)]
fn scores_by(pair: impl Fn(f32, f32) -> f32, q: &[f32], k: &[f32], v: &[f32], scores: &mut [f32]) {
    let total: f32 = v.iter().sum();
    let d = v.len();
    let whole = d / LANES * LANES;
    for (score, k) in scores.iter_mut().zip(k.chunks_exact(d)) {
        let mut sums = [0.0f32; LANES];
        for ((q, k), v) in q
            .chunks_exact(LANES)
            .zip(k.chunks_exact(LANES))
            .zip(v.chunks_exact(LANES))
        {
            for lane in 0..LANES {
                sums[lane] += v[lane] * pair(q[lane], k[lane]);
            }
        }
        let mut sum: f32 = sums.iter().sum();
        for a in whole..d {
            sum += v[a] * pair(q[a], k[a]);
        }
        *score = total - 2.0 * sum;
    }
}

/// The gradient of [`scores`] given that of the scores: adds to those of query, keys and v.
pub(in crate::ops) fn scores_backward(
    query: Factored,
    keys: Factored,
    v: &[f32],
    d_scores: &[f32],
    d_query: &mut [f32],
    d_keys: &mut [f32],
    d_v: &mut [f32],
) {
    match (query.factors, keys.factors) {
        #[cfg(target_arch = "x86_64")]
        (Some(q), Some(k)) if avx512::available() => {
            // SAFETY: it is available.
            unsafe { avx512::backward(q, k, v, d_scores, d_query, d_keys, d_v) }
        }
        (Some(q), Some(k)) => portable::backward(q, k, v, d_scores, d_query, d_keys, d_v),
        _ => vectorise(
            #[inline(always)]
            || {
                backward_by(
                    by_sum, query.raw, keys.raw, v, d_scores, d_query, d_keys, d_v,
                );
            },
        ),
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)] // the arguments of the operation
fn backward_by(
    pair: impl Fn(f32, f32) -> f32,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    d_scores: &[f32],
    d_q: &mut [f32],
    d_k: &mut [f32],
    d_v: &mut [f32],
) {
    let d = v.len();
    let total: f32 = d_scores.iter().sum();
    let whole = d / LANES * LANES;
    for a in (0..whole).step_by(LANES) {
        let q: &[f32; LANES] = q[a..][..LANES].try_into().expect("as long");
        let v: &[f32; LANES] = v[a..][..LANES].try_into().expect("as long");
        let (mut sum_q, mut sum_v) = ([0.0f32; LANES], [0.0f32; LANES]);
        for ((&g, k), d_k) in d_scores
            .iter()
            .zip(k.chunks_exact(d))
            .zip(d_k.chunks_exact_mut(d))
        {
            let k: &[f32; LANES] = k[a..][..LANES].try_into().expect("as long");
            let d_k: &mut [f32; LANES] = (&mut d_k[a..][..LANES]).try_into().expect("as long");
            for lane in 0..LANES {
                let r = pair(q[lane], k[lane]);
                let through = g * (r - r * r);
                sum_q[lane] += through;
                sum_v[lane] += g * r;
                d_k[lane] += 4.0 * v[lane] * through;
            }
        }
        for lane in 0..LANES {
            d_q[a + lane] += 4.0 * v[lane] * sum_q[lane];
            d_v[a + lane] += total - 2.0 * sum_v[lane];
        }
    }
    for a in whole..d {
        for (s, &g) in d_scores.iter().enumerate() {
            let r = pair(q[a], k[s * d + a]);
            let through = 4.0 * v[a] * g * (r - r * r);
            d_q[a] += through;
            d_k[s * d + a] += through;
            d_v[a] += g * (1.0 - 2.0 * r);
        }
    }
}
