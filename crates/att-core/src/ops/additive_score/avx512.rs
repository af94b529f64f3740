//! The kernel by factors with AVX-512, whose approximate reciprocal needs one step of Newton's
//! method where the portable one needs three.

use std::arch::x86_64::*;

/// Numbers in a vector.
const LANES: usize = 16;

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// The first `n` lanes of a vector, or all.
fn first(n: usize) -> __mmask16 {
    if n >= LANES { !0 } else { (1 << n) - 1 }
}

/// `N` vectors from `at` on; of the last one the lanes of `mask`, with zeros for the others.
///
/// # Safety
///
/// Those numbers are there.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load<const N: usize>(at: *const f32, mask: __mmask16) -> [__m512; N] {
    std::array::from_fn(|i| {
        let mask = if i + 1 == N { mask } else { !0 };
        // SAFETY: what the mask leaves out is not read; else by the caller.
        unsafe { _mm512_maskz_loadu_ps(mask, at.add(i * LANES)) }
    })
}

/// Adds to `N` vectors, as [`load`] reads them.
///
/// # Safety
///
/// Those numbers are there, and nobody else reads them.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn add<const N: usize>(at: *mut f32, mask: __mmask16, x: [__m512; N]) {
    // SAFETY: by the caller.
    let sum = unsafe { load::<N>(at, mask) };
    for i in 0..N {
        let mask = if i + 1 == N { mask } else { !0 };
        // SAFETY: what the mask leaves out is not written; else by the caller.
        unsafe { _mm512_mask_storeu_ps(at.add(i * LANES), mask, _mm512_add_ps(sum[i], x[i])) };
    }
}

/// `1 / (q k + 1)` for factors, whose product is below 1e35.
#[inline]
#[target_feature(enable = "avx512f")]
fn pair(q: __m512, k: __m512) -> __m512 {
    let x = _mm512_fmadd_ps(q, k, _mm512_set1_ps(1.0));
    let y = _mm512_rcp14_ps(x);
    _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2.0)))
}

/// [`scores`](super::kernel::scores) from the factors of a query and of keys.
#[target_feature(enable = "avx512f")]
pub(super) fn scores(q: &[f32], k: &[f32], v: &[f32], scores: &mut [f32]) {
    /// Keys that share what is read of the query.
    const KEYS: usize = 4;
    let d = v.len();
    assert!(q.len() == d && k.len() == scores.len() * d);
    let total: f32 = v.iter().sum();
    let (fours, rest) = scores.as_chunks_mut::<KEYS>();
    let (in_fours, k_rest) = k.split_at(fours.len() * KEYS * d);
    for (scores, k) in fours.iter_mut().zip(in_fours.chunks_exact(KEYS * d)) {
        // SAFETY: there are so many keys of `d` numbers, and as many in `q` and `v`.
        *scores = unsafe { sums::<KEYS>(q, k, v) }.map(|sum| total - 2.0 * sum);
    }
    for (score, k) in rest.iter_mut().zip(k_rest.chunks_exact(d)) {
        // SAFETY: as above.
        let [sum] = unsafe { sums::<1>(q, k, v) };
        *score = total - 2.0 * sum;
    }
}

/// `sum_a v[a] / (q[a] k[s, a] + 1)` of `N` keys.
///
/// # Safety
///
/// `q` has the length of `v`, and `k` that of `N` of them.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn sums<const N: usize>(q: &[f32], k: &[f32], v: &[f32]) -> [f32; N] {
    let d = v.len();
    let mut sums = [_mm512_setzero_ps(); N];
    for a in (0..d).step_by(LANES) {
        let mask = first(d - a);
        // SAFETY: the mask ends with the rows.
        let ([q], [v]) = unsafe {
            let at = |row: &[f32]| load::<1>(row.as_ptr().add(a), mask);
            (at(q), at(v))
        };
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let [k] = unsafe { load::<1>(k.as_ptr().add(i * d + a), mask) };
            *sum = _mm512_fmadd_ps(v, pair(q, k), *sum);
        }
    }
    sums.map(|sum| _mm512_reduce_add_ps(sum))
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
    /// Vectors of a row that are worked on at a time: their sums stay in registers.
    const BLOCK: usize = 4;
    let d = v.len();
    assert!(q.len() == d && d_q.len() == d && d_v.len() == d);
    assert!(k.len() == d_scores.len() * d && d_k.len() == k.len());
    let rows = Rows {
        q: q.as_ptr(),
        k: k.as_ptr(),
        v: v.as_ptr(),
        d_scores,
        total: d_scores.iter().sum(),
        d_q: d_q.as_mut_ptr(),
        d_k: d_k.as_mut_ptr(),
        d_v: d_v.as_mut_ptr(),
        d,
    };
    let blocks = d / (BLOCK * LANES) * (BLOCK * LANES);
    for a in (0..blocks).step_by(BLOCK * LANES) {
        // SAFETY: the rows have `d` numbers, and the block lies within.
        unsafe { rows.backward::<BLOCK>(a, !0) };
    }
    for a in (blocks..d).step_by(LANES) {
        // SAFETY: the mask ends with the rows.
        unsafe { rows.backward::<1>(a, first(d - a)) };
    }
}

/// What [`backward`] reads and adds to.
struct Rows<'a> {
    q: *const f32,
    k: *const f32,
    v: *const f32,
    d_scores: &'a [f32],
    /// The sum of `d_scores`.
    total: f32,
    d_q: *mut f32,
    d_k: *mut f32,
    d_v: *mut f32,
    d: usize,
}

impl Rows<'_> {
    /// The gradient of `N` vectors from `a` on; of the last one the lanes of `mask`.
    ///
    /// # Safety
    ///
    /// Those numbers are there, in each row.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn backward<const N: usize>(&self, a: usize, mask: __mmask16) {
        // SAFETY: by the caller.
        let (q, v) = unsafe {
            (
                load::<N>(self.q.add(a), mask),
                load::<N>(self.v.add(a), mask),
            )
        };
        let v = v.map(|v| _mm512_mul_ps(_mm512_set1_ps(4.0), v));
        let (mut sum_q, mut sum_v) = ([_mm512_setzero_ps(); N], [_mm512_setzero_ps(); N]);
        for (s, &g) in self.d_scores.iter().enumerate() {
            let at = s * self.d + a;
            // SAFETY: by the caller.
            let k = unsafe { load::<N>(self.k.add(at), mask) };
            let g = _mm512_set1_ps(g);
            let mut d_k = [_mm512_setzero_ps(); N];
            for i in 0..N {
                let r = pair(q[i], k[i]);
                let through = _mm512_mul_ps(g, _mm512_fnmadd_ps(r, r, r));
                sum_q[i] = _mm512_add_ps(sum_q[i], through);
                sum_v[i] = _mm512_fmadd_ps(g, r, sum_v[i]);
                d_k[i] = _mm512_mul_ps(v[i], through);
            }
            // SAFETY: by the caller.
            unsafe { add(self.d_k.add(at), mask, d_k) };
        }
        let total = _mm512_set1_ps(self.total);
        let d_q = std::array::from_fn::<_, N, _>(|i| _mm512_mul_ps(v[i], sum_q[i]));
        let d_v = sum_v.map(|sum| _mm512_fnmadd_ps(_mm512_set1_ps(2.0), sum, total));
        // SAFETY: by the caller.
        unsafe {
            add(self.d_q.add(a), mask, d_q);
            add(self.d_v.add(a), mask, d_v);
        }
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
            // Up to exp(40) in each factor.
            let factors = |n: usize, x: f32| -> Vec<f32> {
                numbers(n, x).iter().map(|x| (2.0 * x).exp()).collect()
            };
            for size in [1.0, 20.0] {
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
