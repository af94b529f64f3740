use std::fmt;
use std::str::FromStr;

use att_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// What the log-probability of a hypothesis is divided by, so that longer ones stand a chance.
///
/// The length counts EOS. In TOML `length_penalty = { kind = "gnmt", alpha = 0.6 }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LengthPenalty {
    /// 1: the score is the log-probability.
    #[default]
    None,
    /// `((5 + len) / 6)^alpha` (Wu et al. 2016, eq. 14).
    Gnmt {
        /// Strength; 0 is no penalty.
        alpha: f64,
    },
    /// `len^alpha`; with alpha 1 the score is the mean log-probability of a token.
    Power {
        /// Strength; 0 is no penalty.
        alpha: f64,
    },
}

impl LengthPenalty {
    /// The divisor for a hypothesis of `len` tokens, EOS included; never falls as `len` grows.
    pub fn divisor(self, len: usize) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Gnmt { alpha } => ((5.0 + len as f64) / 6.0).powf(alpha),
            Self::Power { alpha } => (len as f64).powf(alpha),
        }
    }

    pub(super) fn alpha(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Gnmt { alpha } | Self::Power { alpha } => alpha,
        }
    }
}

impl fmt::Display for LengthPenalty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gnmt { alpha } => write!(f, "((5 + len) / 6)^{alpha}"),
            Self::Power { alpha } => write!(f, "len^{alpha}"),
        }
    }
}

impl FromStr for LengthPenalty {
    type Err = Error;

    /// Reads `none`, `gnmt:ALPHA` or `power:ALPHA`.
    ///
    /// # Errors
    ///
    /// If it is something else.
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            let reason =
                format!("'{text}' is not a length penalty: use none, gnmt:ALPHA or power:ALPHA");
            Error::config("length_penalty", reason)
        };
        if text == "none" {
            return Ok(Self::None);
        }
        let (kind, alpha) = text.split_once(':').ok_or_else(unknown)?;
        let alpha = alpha.parse().map_err(|_| unknown())?;
        match kind {
            "gnmt" => Ok(Self::Gnmt { alpha }),
            "power" => Ok(Self::Power { alpha }),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formulas_are_those_printed() {
        let gnmt = LengthPenalty::Gnmt { alpha: 2.0 };
        assert_eq!(gnmt.divisor(7), 4.0);
        assert_eq!(gnmt.to_string(), "((5 + len) / 6)^2");
        let power = LengthPenalty::Power { alpha: 0.5 };
        assert_eq!(power.divisor(9), 3.0);
        assert_eq!(power.to_string(), "len^0.5");
        assert_eq!(LengthPenalty::None.divisor(9), 1.0);
    }

    #[test]
    fn words_name_them() {
        let read = |text: &str| text.parse::<LengthPenalty>();
        assert_eq!(read("none"), Ok(LengthPenalty::None));
        assert_eq!(read("gnmt:0.6"), Ok(LengthPenalty::Gnmt { alpha: 0.6 }));
        assert_eq!(read("power:1"), Ok(LengthPenalty::Power { alpha: 1.0 }));
        for text in ["", "gnmt", "gnmt:", "gnmt:a", "wu:1", "none:1"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("gnmt:ALPHA"), "{error}");
        }
    }
}
