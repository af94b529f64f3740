//! Elementwise mathematics that the compiler can vectorise, under run-time detection by `pulp`.

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

/// e^x by 2^n times a polynomial of degree 6 (n the nearest whole number to x / ln 2); relative
/// error below 3e-7 in [-87, 88]. Below it is the smallest normal number, above the greatest.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding and taking off this number rounds to whole numbers.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with zeros at its end, so that n * LN_2_HI is exact.
    const LN_2_HI: f32 = 0.693_359_4;
    const LN_2_LO: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.3);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN_2_HI) - n * LN_2_LO;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
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

/// Runs `kernel` compiled for the widest vectors that this processor has.
#[inline(always)]
pub(super) fn vectorise<R>(kernel: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(kernel)
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
        let mut x = -87.0f32;
        while x < 88.0 {
            let exact = f64::from(x).exp();
            assert!(
                (f64::from(exp(x)) / exact - 1.0).abs() < 3e-7,
                "exp({x}): {} for {exact}",
                exp(x)
            );
            x += 1.7e-3;
        }
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
}
