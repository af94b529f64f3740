//! The one source of randomness: initial weights and dropout masks.
//!
//! Numbers are drawn on the host from one generator a thread (xoshiro256++), so the same seed
//! gives the same weights and the same masks on every backend, and tests that run side by side
//! do not disturb each other. A training loop that calls [`seed`] with ([`mix`]ed) run seed and
//! step number at each step needs no generator state to resume.

use std::cell::RefCell;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

thread_local! {
    static GENERATOR: RefCell<Xoshiro256PlusPlus> = RefCell::new(Xoshiro256PlusPlus::seed_from_u64(0));
}

/// Restarts this thread's generator.
pub fn seed(seed: u64) {
    GENERATOR.set(Xoshiro256PlusPlus::seed_from_u64(seed));
}

/// One seed from two numbers (SplitMix64's finaliser, Steele et al. 2014), so that
/// neighbouring steps get unrelated streams.
pub fn mix(seed: u64, step: u64) -> u64 {
    let mut z = seed ^ step.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `n` numbers, uniform in `[-bound, bound)`.
pub fn uniform(n: usize, bound: f32) -> Vec<f32> {
    GENERATOR.with_borrow_mut(|rng| {
        (0..n)
            .map(|_| (rng.random::<f32>() * 2.0 - 1.0) * bound)
            .collect()
    })
}

/// `n` numbers, normal with mean zero and deviation `std` (Box and Muller 1958).
pub fn normal(n: usize, std: f32) -> Vec<f32> {
    GENERATOR.with_borrow_mut(|rng| {
        (0..n)
            .map(|_| {
                // 1 - u lies in (0, 1]: its logarithm is finite.
                let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
                let angle = std::f64::consts::TAU * rng.random::<f64>();
                (radius * angle.cos()) as f32 * std
            })
            .collect()
    })
}

/// `n` factors of inverted dropout: 0 with probability `prob`, else `1 / (1 - prob)`
/// (Srivastava et al. 2014).
pub fn dropout_mask(n: usize, prob: f64) -> Vec<f32> {
    let threshold = (prob * f64::from(u32::MAX)) as u32;
    let keep = (1.0 / (1.0 - prob)) as f32;
    GENERATOR.with_borrow_mut(|rng| {
        (0..n)
            .map(|_| {
                if rng.random::<u32>() < threshold {
                    0.0
                } else {
                    keep
                }
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers() {
        seed(7);
        let first = (uniform(5, 1.0), normal(5, 1.0), dropout_mask(5, 0.5));
        seed(7);
        assert_eq!(
            first,
            (uniform(5, 1.0), normal(5, 1.0), dropout_mask(5, 0.5))
        );
        seed(8);
        assert_ne!(first.0, uniform(5, 1.0));
        assert_ne!(mix(1, 2), mix(1, 3));
        assert_ne!(mix(1, 2), mix(2, 2));
    }

    #[test]
    fn the_numbers_have_their_moments() {
        seed(1);
        let n = 100_000;
        let mean = |v: &[f32]| v.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
        let square = |v: &[f32]| v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n as f64;
        let (u, z, d) = (uniform(n, 3.0), normal(n, 2.0), dropout_mask(n, 0.3));
        assert!(mean(&u).abs() < 0.03 && (square(&u) - 3.0).abs() < 0.05);
        assert!(mean(&z).abs() < 0.03 && (square(&z) - 4.0).abs() < 0.08);
        assert!((mean(&d) - 1.0).abs() < 0.01, "dropout keeps the mean");
        assert!(u.iter().all(|x| (-3.0..3.0).contains(x)));
    }
}
