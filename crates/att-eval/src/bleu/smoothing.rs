//! What an n-gram order without matches counts in BLEU.

use std::fmt;

/// Smoothing of the n-gram precisions, by the methods that Chen and Cherry (2014) number.
///
/// Its `Display` is the signature's: `exp`, `floor[0.10]`, `add-k[1.00]`, `none`.
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
}
