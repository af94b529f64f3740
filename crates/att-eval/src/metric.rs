//! One figure of each metric, chosen by name.

use crate::error::{Result, parse_name};
use crate::{Bleu, Chrf, error_rates, exact_match};
use std::fmt;
use std::str::FromStr;

/// A metric by name, for a configuration file or a command line.
///
/// `Display` and `FromStr` use `wer`, `per`, `exact_match`, `bleu` and `chrf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// The item error rate, [`ErrorRates::item_error_rate`](crate::ErrorRates::item_error_rate):
    /// the word error rate of pronunciations, where an item is a word.
    Wer,
    /// The token error rate, [`ErrorRates::token_error_rate`](crate::ErrorRates::token_error_rate):
    /// the phone error rate of pronunciations, and the word error rate of sentences.
    Per,
    /// The share of outputs that equal a reference, [`ExactMatch`](crate::ExactMatch).
    ExactMatch,
    /// [`Bleu`] with its defaults.
    Bleu,
    /// [`Chrf`] with its defaults.
    Chrf,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 5] = [
        Self::Wer,
        Self::Per,
        Self::ExactMatch,
        Self::Bleu,
        Self::Chrf,
    ];

    /// Whether a better output has the higher figure; error rates have the lower.
    pub fn higher_is_better(self) -> bool {
        match self {
            Self::Wer | Self::Per => false,
            Self::ExactMatch | Self::Bleu | Self::Chrf => true,
        }
    }

    /// The metric's figure in percent, from 0 to 100 except that [`Metric::Per`] can be above.
    ///
    /// # Errors
    ///
    /// If there are no hypotheses, if hypotheses and reference lists differ in number, or if an
    /// item has no reference.
    pub fn score<H, R, S>(self, hypotheses: &[H], references: &[R]) -> Result<f64>
    where
        H: AsRef<str>,
        R: AsRef<[S]>,
        S: AsRef<str>,
    {
        Ok(match self {
            Self::Wer => error_rates(hypotheses, references)?.item_error_rate(),
            Self::Per => error_rates(hypotheses, references)?.token_error_rate(),
            Self::ExactMatch => exact_match(hypotheses, references)?.percent(),
            Self::Bleu => Bleu::default().score(hypotheses, references)?.score,
            Self::Chrf => Chrf::default().score(hypotheses, references)?.score,
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Wer => "wer",
            Self::Per => "per",
            Self::ExactMatch => "exact_match",
            Self::Bleu => "bleu",
            Self::Chrf => "chrf",
        })
    }
}

impl FromStr for Metric {
    type Err = crate::Error;

    fn from_str(name: &str) -> Result<Self> {
        parse_name("metric", name, &Self::ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse(), Ok(metric));
        }
        assert_eq!(
            "meteor".parse::<Metric>().unwrap_err().to_string(),
            "unknown metric `meteor`: use one of wer, per, exact_match, bleu, chrf"
        );
    }

    #[test]
    fn a_right_output_has_the_best_figure() {
        let references = vec![vec!["the cat sat on the mat".to_owned()]];
        for metric in Metric::ALL {
            let right = metric
                .score(&["the cat sat on the mat"], &references)
                .unwrap();
            let wrong = metric
                .score(&["the cat sat on a hat"], &references)
                .unwrap();
            let best = if metric.higher_is_better() {
                100.0
            } else {
                0.0
            };
            assert!((right - best).abs() < 1e-9, "{metric}: {right}");
            assert_eq!(
                metric.higher_is_better(),
                right > wrong,
                "{metric}: {wrong}"
            );
        }
    }

    #[test]
    fn what_does_not_line_up_is_an_error() {
        for metric in Metric::ALL {
            assert!(metric.score(&["a", "b"], &[["a"]]).is_err());
            assert!(metric.score(&[] as &[&str], &[] as &[[&str; 1]]).is_err());
        }
    }
}
