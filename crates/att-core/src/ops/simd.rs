//! Mathematics that the compiler can vectorise, under run-time detection by `pulp`.

#![cfg_attr(not(feature = "cpu"), allow(dead_code))] // most of it serves the CPU kernels

/// tanh by a rational approximation of degree 13/6 on [-7.9988, 7.9988] (the coefficients of
/// Eigen's `ptanh`), constant beyond; absolute error below 5e-7.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    // Beyond this the nearest f32 of the approximation is its limit.
    let x = x.clamp(-7.998_811_7, 7.998_811_7);
    let x2 = x * x;
    let p = x2 * -2.760_768_5e-16 + 2.000_188e-13;
    let p = x2 * p - 8.604_672e-11;
    let p = x2 * p + 5.122_297e-8;
    let p = x2 * p + 1.485_722_4e-5;
    let p = x2 * p + 6.372_619_3e-4;
    let p = (x2 * p + 4.893_525e-3) * x;
    let q = x2 * 1.198_258_4e-6 + 1.185_347_1e-4;
    let q = x2 * q + 2.268_434_6e-3;
    let q = x2 * q + 4.893_525e-3;
    p / q
}

/// The logistic function, `1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2`; absolute error below 3e-7.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    0.5 * tanh(0.5 * x) + 0.5
}

/// The exponential on [-87, 88] with a relative error below 3e-7; 0 below, and that of 88 above.
///
/// `exp(x) = 2^n exp(r)` with `n = round(x / ln 2)`, so that `|r| <= ln 2 / 2`, where a polynomial
/// does (the coefficients of Cephes' `expf`).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding it leaves the nearest integer in the lowest bits of the mantissa.
    const TO_INTEGER: f32 = 12_582_912.0; // 1.5 * 2^23
    let below = x < -87.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + TO_INTEGER;
    let n = shifted - TO_INTEGER;
    // ln 2 in two parts; n times the first is exact.
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = r * 1.987_569_1e-4 + 1.398_199_9e-3;
    let p = r * p + 8.333_452e-3;
    let p = r * p + 4.166_579_6e-2;
    let p = r * p + 1.666_666_5e-1;
    let p = r * p + 0.5;
    let p = r * r * p + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if below { 0.0 } else { p * power }
}

/// The natural logarithm of normal numbers above zero; error below 2e-7 times the greater of 1 and the
/// result; exactly 0 for 1. Of other numbers it has no meaning.
///
/// `ln(x) = e ln 2 + ln(m)` with `x = 2^e m` and m from sqrt(1/2) to sqrt(2), where a polynomial does (the
/// coefficients of Cephes' `logf`).
#[inline(always)]
pub(super) fn ln(x: f32) -> f32 {
    const LEAST_M: u32 = 0x3f35_04f3; // the bits of sqrt(1/2)
    let above = x.to_bits().wrapping_sub(LEAST_M);
    let e = (above as i32 >> 23) as f32;
    let m = f32::from_bits((above & 0x007f_ffff) + LEAST_M) - 1.0;
    let p = m * 7.037_683_6e-2 - 1.151_461e-1;
    let p = m * p + 1.167_699_9e-1;
    let p = m * p - 1.242_014_1e-1;
    let p = m * p + 1.424_932_3e-1;
    let p = m * p - 1.666_805_8e-1;
    let p = m * p + 2.000_071_5e-1;
    let p = m * p - 2.499_999_4e-1;
    let p = m * p + 3.333_333e-1;
    let z = m * m;
    // ln 2 in two parts; e times the last is exact.
    m + (m * z * p + e * -2.121_944_4e-4 - 0.5 * z) + e * 0.693_359_4
}

/// 1 / x for x from 1 to infinity, without a division: relative error below 2e-7; of more than
/// 1e37 it is about 1e-37.
#[inline(always)]
pub(super) fn reciprocal(x: f32) -> f32 {
    let x = x.min(1e37);
    // The exponent is turned round by subtracting bits; three steps of Newton's method follow.
    let y = f32::from_bits(0x7ef3_11c7u32.wrapping_sub(x.to_bits()));
    let y = y * (2.0 - x * y);
    let y = y * (2.0 - x * y);
    y * (2.0 - x * y)
}

/// Partial results that stand in one vector: those of the widest vectors.
const LANES: usize = 16;

/// The greatest number, NaN left out; minus infinity of nothing.
#[inline(always)]
pub(super) fn max_of(x: &[f32]) -> f32 {
    let greater = |max: f32, x: f32| if x > max { x } else { max };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, x);
        }
    }
    let rest = rest.iter().copied();
    lanes
        .into_iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, greater)
}

/// `sum_i f(x[i])`, in lanes.
#[inline(always)]
pub(super) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.into_iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

/// Runs `kernel` compiled for the widest vectors that this processor has.
#[inline(always)]
pub(super) fn vectorise<R>(kernel: impl FnOnce() -> R) -> R {
    #[cfg(feature = "cpu")]
    return pulp::Arch::new().dispatch(kernel);
    #[cfg(not(feature = "cpu"))]
    kernel()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stated_error_bounds_hold() {
        let mut x = -20.0f32;
        while x < 20.0 {
            let exact = f64::from(x).tanh();
            assert!((f64::from(tanh(x)) - exact).abs() < 5e-7, "tanh({x})");
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!((f64::from(sigmoid(x)) - exact).abs() < 3e-7, "sigmoid({x})");
            x += 1e-3;
        }
        let mut x = 1e-30f32;
        while x < 1e30 {
            let exact = f64::from(x).ln();
            let bound = 2e-7 * exact.abs().max(1.0);
            assert!((f64::from(ln(x)) - exact).abs() < bound, "ln({x})");
            x *= 1.001;
        }
        assert_eq!(ln(1.0), 0.0);
        let mut x = 1.0f32;
        while x < 1e36 {
            let error = f64::from(reciprocal(x)) * f64::from(x) - 1.0;
            assert!(error.abs() < 2e-7, "reciprocal({x}): {error}");
            x *= 1.000_37;
        }
        assert!(reciprocal(f32::INFINITY) < 2e-37);
        assert_eq!(tanh(0.0), 0.0);
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn the_exponential_is_as_exact_as_stated() {
        let mut x = -87.0f32;
        while x <= 88.0 {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "exp({x}) is off by {error:e}");
            x += 1e-4;
        }
        assert_eq!(exp(0.0), 1.0);
        for x in [-87.1, -1e4, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp(x), 0.0);
        }
        assert_eq!(exp(f32::INFINITY), exp(88.0));
        assert!(exp(f32::NAN).is_nan());
    }
}
