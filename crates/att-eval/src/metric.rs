//! One figure of each metric, chosen by name.

use crate::error::{Result, parse_name};
use crate::{
    Bleu, Chrf, CorpusMetric, ErrorRate, ErrorUnit, ExactMatchRate, Rouge, Statistics, Ter,
};
use std::fmt;
use std::str::FromStr;

/// A metric by name, for a configuration file or a command line.
///
/// `Display` and `FromStr` use `wer`, `per`, `exact_match`, `bleu`, `chrf`, `chrf++`, `ter`, `cer`,
/// `rouge1`, `rouge2` and `rougeL`. The first two are named as for pronunciations, where an item is
/// a word; for sentences, [`ErrorRate::words`] is the word error rate.
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
    /// [`Chrf::plus_plus`].
    ChrfPlusPlus,
    /// [`Ter`] with its defaults.
    Ter,
    /// The character error rate, [`ErrorRate::characters`].
    Cer,
    /// ROUGE-1, [`Rouge::words`].
    Rouge1,
    /// ROUGE-2, [`Rouge::bigrams`].
    Rouge2,
    /// ROUGE-L, [`Rouge`] with its defaults.
    RougeL,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 11] = [
        Self::Wer,
        Self::Per,
        Self::ExactMatch,
        Self::Bleu,
        Self::Chrf,
        Self::ChrfPlusPlus,
        Self::Ter,
        Self::Cer,
        Self::Rouge1,
        Self::Rouge2,
        Self::RougeL,
    ];

    /// Whether a better output has the higher figure; error rates have the lower.
    pub fn higher_is_better(self) -> bool {
        self.corpus_metric().higher_is_better()
    }

    /// The metric itself.
    pub fn corpus_metric(self) -> Box<dyn CorpusMetric> {
        match self {
            Self::Wer => Box::new(ErrorRate::of(ErrorUnit::Items)),
            Self::Per => Box::new(ErrorRate::words()),
            Self::ExactMatch => Box::new(ExactMatchRate),
            Self::Bleu => Box::new(Bleu::default()),
            Self::Chrf => Box::new(Chrf::default()),
            Self::ChrfPlusPlus => Box::new(Chrf::plus_plus()),
            Self::Ter => Box::new(Ter::default()),
            Self::Cer => Box::new(ErrorRate::characters()),
            Self::Rouge1 => Box::new(Rouge::words()),
            Self::Rouge2 => Box::new(Rouge::bigrams()),
            Self::RougeL => Box::new(Rouge::default()),
        }
    }

    /// The metric's figure in percent, from 0 to 100 except that edits can be above.
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
        let metric = self.corpus_metric();
        Ok(Statistics::new(metric.as_ref(), hypotheses, references)?.score())
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
            Self::ChrfPlusPlus => "chrf++",
            Self::Ter => "ter",
            Self::Cer => "cer",
            Self::Rouge1 => "rouge1",
            Self::Rouge2 => "rouge2",
            Self::RougeL => "rougeL",
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
            "unknown metric `meteor`: use one of wer, per, exact_match, bleu, chrf, \
             chrf++, ter, cer, rouge1, rouge2, rougeL"
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
