//! The kernel by factors with AVX-512, whose approximate reciprocal needs one step of Newton's
//! method where the portable one needs three.

use std::arch::x86_64::*;

/// Numbers in a vector.
const LANES: usize = 16;

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// The lanes of a vector at `a` that lie below `d`.
fn lanes(a: usize, d: usize) -> __mmask16 {
    if d - a >= LANES {
        !0
    } else {
        (1 << (d - a)) - 1
    }
}

/// The numbers of a row from `a` on, zeros beyond its end.
#[target_feature(enable = "avx512f")]
fn load(row: &[f32], a: usize) -> __m512 {
    // SAFETY: the mask lets only lanes within the row be read.
    unsafe { _mm512_maskz_loadu_ps(lanes(a, row.len()), row[a..].as_ptr()) }
}

#[target_feature(enable = "avx512f")]
fn store(row: &mut [f32], a: usize, x: __m512) {
    // SAFETY: the mask lets only lanes within the row be written.
    unsafe { _mm512_mask_storeu_ps(row[a..].as_mut_ptr(), lanes(a, row.len()), x) }
}

/// `1 / (q k + 1)`; the product may be infinite.
#[inline]
#[target_feature(enable = "avx512f")]
fn pair(q: __m512, k: __m512) -> __m512 {
    let x = _mm512_fmadd_ps(q, k, _mm512_set1_ps(1.0));
    // Infinity times its reciprocal is not a number.
    let x = _mm512_min_ps(x, _mm512_set1_ps(1e37));
    let y = _mm512_rcp14_ps(x);
    _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2.0)))
}

/// [`scores`](super::kernel::scores) from the factors of a query and of keys.
#[target_feature(enable = "avx512f")]
pub(super) fn scores(q: &[f32], k: &[f32], v: &[f32], scores: &mut [f32]) {
    let d = v.len();
    let total: f32 = v.iter().sum();
    for (score, k) in scores.iter_mut().zip(k.chunks_exact(d)) {
        // Two sums, so that an addition need not wait for the last one.
        let mut sums = [_mm512_setzero_ps(); 2];
        for (i, a) in (0..d).step_by(LANES).enumerate() {
            let r = pair(load(q, a), load(k, a));
            sums[i % 2] = _mm512_fmadd_ps(load(v, a), r, sums[i % 2]);
        }
        let sum = _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]));
        *score = total - 2.0 * sum;
    }
}

/// [`scores_backward`](super::kernel::scores_backward) from the factors of a query and of keys.
#[target_feature(enable = "avx512f")]
pub(super) fn backward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    d_scores: &[f32],
    d_q: &mut [f32],
    d_k: &mut [f32],
    d_v: &mut [f32],
) {
    let d = v.len();
    let total = _mm512_set1_ps(d_scores.iter().sum());
    for a in (0..d).step_by(LANES) {
        let q = load(q, a);
        let v = _mm512_mul_ps(_mm512_set1_ps(4.0), load(v, a));
        let (mut sum_q, mut sum_v) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        for ((&g, k), d_k) in d_scores
            .iter()
            .zip(k.chunks_exact(d))
            .zip(d_k.chunks_exact_mut(d))
        {
            let g = _mm512_set1_ps(g);
            let r = pair(q, load(k, a));
            let through = _mm512_mul_ps(g, _mm512_fnmadd_ps(r, r, r));
            sum_q = _mm512_add_ps(sum_q, through);
            sum_v = _mm512_fmadd_ps(g, r, sum_v);
            store(d_k, a, _mm512_fmadd_ps(v, through, load(d_k, a)));
        }
        store(d_q, a, _mm512_fmadd_ps(v, sum_q, load(d_q, a)));
        let of_v = _mm512_fnmadd_ps(_mm512_set1_ps(2.0), sum_v, total);
        store(d_v, a, _mm512_add_ps(of_v, load(d_v, a)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::portable;
    use super::*;

    fn numbers(n: usize, scale: f32) -> Vec<f32> {
        (0..n)
            .map(|i| scale * ((i * 37 % 101) as f32 / 50.0 - 1.0))
            .collect()
    }

    fn close(a: &[f32], b: &[f32]) {
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{a} against {b}");
        }
    }

    #[test]
    fn equals_the_portable_kernel() {
        if !available() {
            return;
        }
        for (n, d) in [(1, 1), (3, 16), (5, 17), (4, 33), (2, 100)] {
            // Up to exp(80) in each factor, whose product is infinite.
            let factors = |n: usize, x: f32| -> Vec<f32> {
                numbers(n, x).iter().map(|x| (2.0 * x).exp()).collect()
            };
            for size in [1.0, 40.0] {
                let (q, k, v) = (factors(d, size), factors(n * d, size), numbers(d, 1.0));
                let (mut fast, mut slow) = (vec![0.0; n], vec![0.0; n]);
                // SAFETY: it is available.
                unsafe { scores(&q, &k, &v, &mut fast) };
                portable::scores(&q, &k, &v, &mut slow);
                close(&fast, &slow);

                let grad = numbers(n, 2.0);
                let mut fast = [numbers(d, 1.0), numbers(n * d, 1.0), numbers(d, 1.0)];
                let mut slow = fast.clone();
                let [d_q, d_k, d_v] = &mut fast;
                // SAFETY: it is available.
                unsafe { backward(&q, &k, &v, &grad, d_q, d_k, d_v) };
                let [d_q, d_k, d_v] = &mut slow;
                portable::backward(&q, &k, &v, &grad, d_q, d_k, d_v);
                for (fast, slow) in fast.iter().zip(&slow) {
                    close(fast, slow);
                }
            }
        }
    }
}
