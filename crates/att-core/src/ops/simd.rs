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
        assert_eq!(tanh(0.0), 0.0);
        assert!(tanh(f32::NAN).is_nan());
    }
}
