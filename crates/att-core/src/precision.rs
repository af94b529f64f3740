//! The precision of matrix products on CPU.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

/// What the factors of a matrix product are rounded to; sums are f32 always, and so are products that
/// would not be faster: with up to 16 rows, as in decoding, and those of attention. In TOML
/// `precision = "bf16"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Not rounded.
    #[default]
    F32,
    /// Rounded to seven bits of mantissa. Several times faster where the processor has AMX, faster where
    /// it has AVX-512 with bf16, and the same numbers without the speed elsewhere.
    Bf16,
}

impl Precision {
    /// Whether this processor multiplies numbers of this precision by instructions of its own. Where it does not,
    /// products of bf16 are those of f32 with rounding before them, and take longer.
    pub fn is_native(self) -> bool {
        match self {
            Self::F32 => true,
            #[cfg(feature = "cpu")]
            Self::Bf16 => crate::ops::multiplies_bf16(),
            #[cfg(not(feature = "cpu"))]
            Self::Bf16 => false,
        }
    }
}

static PRECISION: AtomicU8 = AtomicU8::new(0);

/// The precision of the products in this crate's operations on the CPU backends; f32 unless
/// [set](set_precision). GPUs do not read it.
pub fn precision() -> Precision {
    match PRECISION.load(Ordering::Relaxed) {
        0 => Precision::F32,
        _ => Precision::Bf16,
    }
}

/// Sets the precision for the whole process.
pub fn set_precision(precision: Precision) {
    PRECISION.store(precision as u8, Ordering::Relaxed);
}
