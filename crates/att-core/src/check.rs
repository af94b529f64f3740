//! Checks that configurations share: each names the key and says what to do.

use crate::{Error, Result};

/// The largest size or count that a configuration may ask for: beyond it lies a typing error.
pub const MAX_SIZE: usize = 1 << 16;

/// A size or count must lie between 1 and [`MAX_SIZE`].
///
/// # Errors
///
/// [`Error::Config`] with `key`.
pub fn size(key: &str, size: usize) -> Result<()> {
    if (1..=MAX_SIZE).contains(&size) {
        Ok(())
    } else {
        let reason = format!("{size} is not a size: use a number from 1 to {MAX_SIZE}");
        Err(Error::config(key, reason))
    }
}

/// A probability, such as that of dropout, must lie in `[0, 1)`.
///
/// # Errors
///
/// [`Error::Config`] with `key`.
pub fn probability(key: &str, prob: f64) -> Result<()> {
    if (0.0..1.0).contains(&prob) {
        Ok(())
    } else {
        let reason = format!("{prob} is not a probability from 0 to below 1");
        Err(Error::config(key, reason))
    }
}

/// A factor such as a temperature must be a positive number.
///
/// # Errors
///
/// [`Error::Config`] with `key`.
pub fn positive(key: &str, number: f64) -> Result<()> {
    if number > 0.0 && number.is_finite() {
        Ok(())
    } else {
        let reason = format!("{number} is not a positive number");
        Err(Error::config(key, reason))
    }
}

/// A weight such as that of a loss must be a number, zero or above.
///
/// # Errors
///
/// [`Error::Config`] with `key`.
pub fn not_negative(key: &str, number: f64) -> Result<()> {
    if number >= 0.0 && number.is_finite() {
        Ok(())
    } else {
        let reason = format!("{number} is not a number from 0 on");
        Err(Error::config(key, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_key() {
        assert!(size("d", 1).is_ok() && size("d", MAX_SIZE).is_ok());
        assert!(probability("p", 0.0).is_ok());
        assert!(positive("x", 0.1).is_ok() && not_negative("x", 0.0).is_ok());
        for error in [
            size("key", 0),
            size("key", usize::MAX),
            probability("key", 1.0),
            probability("key", f64::NAN),
            positive("key", 0.0),
            positive("key", f64::INFINITY),
            not_negative("key", -1.0),
            not_negative("key", f64::NAN),
        ] {
            let message = error.unwrap_err().within("table").to_string();
            assert!(message.starts_with("table.key: "), "{message}");
        }
    }
}
