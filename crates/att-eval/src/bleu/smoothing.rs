//! What an n-gram order without matches counts in BLEU.

use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Smoothing of the n-gram precisions, by the methods that Chen and Cherry (2014) number.
///
/// Its `Display` is the signature's: `exp`, `floor[0.10]`, `add-k[1.00]`, `none`. `FromStr` reads
/// `exp`, `floor`, `floor:0.5`, `add-k`, `add-k:2` and `none`, with sacreBLEU's values unless told.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Smoothing {
    /// The i-th order without a match has the precision `1 / (2^i t_n)` (method 3, NIST).
    #[default]
    Exp,
    /// An order without a match has this many matches (method 1); sacreBLEU's value is 0.1.
    Floor(f64),
    /// Matches and totals of the orders from 2 grow by this much (method 2); sacreBLEU's value is 1.
    AddK(f64),
    /// An order without a match makes BLEU 0.
    None,
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Smoothing::Exp => f.write_str("exp"),
            Smoothing::Floor(value) => write!(f, "floor[{value:.2}]"),
            Smoothing::AddK(k) => write!(f, "add-k[{k:.2}]"),
            Smoothing::None => f.write_str("none"),
        }
    }
}

impl FromStr for Smoothing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, value.parse::<f64>().ok().filter(|v| *v >= 0.0)),
            None => (
                text,
                match text {
                    "floor" => Some(0.1),
                    "add-k" => Some(1.0),
                    _ => None,
                },
            ),
        };
        match (name, value) {
            ("exp", None) if name == text => Ok(Self::Exp),
            ("none", None) if name == text => Ok(Self::None),
            ("floor", Some(value)) => Ok(Self::Floor(value)),
            ("add-k", Some(k)) => Ok(Self::AddK(k)),
            _ => Err(Error::UnknownName {
                what: "smoothing",
                name: text.to_owned(),
                known: "exp, floor, floor:VALUE, add-k, add-k:VALUE, none".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bleu;

    /// The same words in reverse: all of them match, and no two in a row.
    fn precisions(smoothing: Smoothing) -> [f64; 4] {
        let bleu = Bleu {
            smoothing,
            ..Bleu::default()
        };
        let score = bleu.score(&["a b c d e"], &[["e d c b a"]]).unwrap();
        score.precisions
    }

    #[test]
    fn each_method_fills_the_orders_without_matches() {
        assert_eq!(
            precisions(Smoothing::Exp),
            [100.0, 100.0 / 8.0, 100.0 / 12.0, 100.0 / 16.0]
        );
        assert_eq!(
            precisions(Smoothing::Floor(0.5)),
            [100.0, 50.0 / 4.0, 50.0 / 3.0, 50.0 / 2.0]
        );
        assert_eq!(
            precisions(Smoothing::AddK(1.0)),
            [100.0, 100.0 / 5.0, 100.0 / 4.0, 100.0 / 3.0]
        );
        assert_eq!(precisions(Smoothing::None), [100.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn names_are_read_with_their_values() {
        for (text, expected) in [
            ("exp", Smoothing::Exp),
            ("none", Smoothing::None),
            ("floor", Smoothing::Floor(0.1)),
            ("floor:0.5", Smoothing::Floor(0.5)),
            ("add-k", Smoothing::AddK(1.0)),
            ("add-k:2", Smoothing::AddK(2.0)),
        ] {
            assert_eq!(text.parse(), Ok(expected));
        }
        for text in [
            "",
            "exp:1",
            "none:",
            "floor:",
            "floor:-1",
            "add-k:NaN",
            "add",
        ] {
            assert!(text.parse::<Smoothing>().is_err(), "{text}");
        }
    }
}
