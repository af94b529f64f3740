//! ROUGE over a corpus or a segment, equal to that of Google's `rouge_score`.

mod porter;

use std::borrow::Cow;

use crate::ngram::count;
use crate::segment::Segment;
use crate::signature::yes_no;
use crate::{CorpusMetric, Result, Statistics};

/// The version of Google's `rouge_score` that ROUGE here agrees with; it ends its signature.
pub const ROUGE_SCORE_VERSION: &str = "0.1.2";

/// How to compute ROUGE (Lin 2004); the defaults are ROUGE-L as `rouge_score` has it.
///
/// With what a hypothesis and a reference share, of the n-grams or as their longest common
/// subsequence,
///
/// ```text
/// P = shared / hypothesis's    R = shared / reference's    F = 2 P R / (P + R)
/// ```
///
/// Of several references the one with the greatest F counts. A corpus has the mean of its segments'
/// F. As in `rouge_score`, words are what consists of a to z, after folding case, and 0 to 9: text
/// in other scripts has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rouge {
    /// What is shared. Default: [`RougeUnit::Subsequence`].
    pub unit: RougeUnit,
    /// Whether words of more than three letters are cut to their stems (Porter 1980, as NLTK has
    /// it). Default: no.
    pub stem: bool,
}

/// What ROUGE counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RougeUnit {
    /// Words: ROUGE-1.
    Words,
    /// Pairs of neighbours: ROUGE-2.
    Bigrams,
    /// The longest common subsequence of words: ROUGE-L.
    #[default]
    Subsequence,
}

/// ROUGE: the means over the segments, in percent.
#[derive(Debug, Clone, PartialEq)]
pub struct RougeScore {
    /// The share of the hypothesis that the reference has.
    pub precision: f64,
    /// The share of the reference that the hypothesis has.
    pub recall: f64,
    /// Their harmonic mean, in each segment.
    pub f1: f64,
    /// What to report beside the score: `nrefs:1|stem:no|version:rouge_score-0.1.2`.
    pub signature: String,
}

impl Rouge {
    /// ROUGE-1.
    pub fn words() -> Self {
        Self {
            unit: RougeUnit::Words,
            ..Self::default()
        }
    }

    /// ROUGE-2.
    pub fn bigrams() -> Self {
        Self {
            unit: RougeUnit::Bigrams,
            ..Self::default()
        }
    }

    /// Scores hypotheses against one or several references each.
    ///
    /// # Errors
    ///
    /// If there are no hypotheses, if hypotheses and reference lists differ in number, or if an
    /// item has no reference.
    pub fn score<H, R, S>(&self, hypotheses: &[H], references: &[R]) -> Result<RougeScore>
    where
        H: AsRef<str>,
        R: AsRef<[S]>,
        S: AsRef<str>,
    {
        let statistics = Statistics::new(self, hypotheses, references)?;
        let sums = statistics.sums();
        let mean = |sum: f64| 100.0 * sum / sums[3];
        Ok(RougeScore {
            precision: mean(sums[0]),
            recall: mean(sums[1]),
            f1: mean(sums[2]),
            signature: statistics.signature(),
        })
    }

    fn shared(&self, hypothesis: &[Cow<str>], reference: &[Cow<str>]) -> Shared {
        let order = match self.unit {
            RougeUnit::Words => 1,
            RougeUnit::Bigrams => 2,
            RougeUnit::Subsequence => {
                return Shared {
                    both: longest_common_subsequence(hypothesis, reference),
                    hypothesis: hypothesis.len(),
                    reference: reference.len(),
                };
            }
        };
        let in_reference = count(reference, order);
        let both = count(hypothesis, order)
            .into_iter()
            .map(|(ngram, here)| here.min(in_reference.get(ngram).copied().unwrap_or(0)));
        let ngrams = |words: &[Cow<str>]| (words.len() + 1).saturating_sub(order);
        Shared {
            both: both.sum(),
            hypothesis: ngrams(hypothesis),
            reference: ngrams(reference),
        }
    }
}

impl CorpusMetric for Rouge {
    fn name(&self) -> String {
        match self.unit {
            RougeUnit::Words => "ROUGE-1",
            RougeUnit::Bigrams => "ROUGE-2",
            RougeUnit::Subsequence => "ROUGE-L",
        }
        .to_owned()
    }

    fn options(&self) -> String {
        format!("stem:{}", yes_no(self.stem))
    }

    fn version(&self) -> String {
        format!("version:rouge_score-{ROUGE_SCORE_VERSION}")
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    /// Precision, recall, F, and 1 for the segment.
    fn statistics(&self, segment: &Segment) -> Result<Vec<f64>> {
        let hypothesis = segment.hypothesis.to_lowercase();
        let hypothesis = tokens(&hypothesis, self.stem);
        let mut best = [0.0; 3];
        for (i, reference) in segment.references.iter().enumerate() {
            let reference = reference.to_lowercase();
            let shared = self.shared(&hypothesis, &tokens(&reference, self.stem));
            let scores = shared.scores();
            if i == 0 || scores[2] > best[2] {
                best = scores;
            }
        }
        let [precision, recall, f1] = best;
        Ok(vec![precision, recall, f1, 1.0])
    }

    fn score_of(&self, sums: &[f64]) -> f64 {
        100.0 * sums[2] / sums[3]
    }

    fn detail(&self, sums: &[f64]) -> Option<String> {
        let mean = |sum: f64| 100.0 * sum / sums[3];
        Some(format!("P = {:.2} R = {:.2}", mean(sums[0]), mean(sums[1])))
    }
}

/// Runs of a to z and 0 to 9 in text of lower case.
fn tokens(text: &str, stem: bool) -> Vec<Cow<'_, str>> {
    text.split(|c: char| !matches!(c, 'a'..='z' | '0'..='9'))
        .filter(|word| !word.is_empty())
        .map(|word| {
            if stem && word.len() > 3 {
                porter::stem(word).into()
            } else {
                word.into()
            }
        })
        .collect()
}

/// How much two texts share.
struct Shared {
    both: usize,
    hypothesis: usize,
    reference: usize,
}

impl Shared {
    /// Precision, recall and F, from 0 to 1.
    fn scores(&self) -> [f64; 3] {
        let of = |whole: usize| self.both as f64 / whole.max(1) as f64;
        let (precision, recall) = (of(self.hypothesis), of(self.reference));
        let f1 = if precision + recall > 0.0 {
            2.0 * precision * recall / (precision + recall)
        } else {
            0.0
        };
        [precision, recall, f1]
    }
}

/// Its length: O(n m) time, O(m) memory.
fn longest_common_subsequence<T: Eq>(a: &[T], b: &[T]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y {
                diagonal + 1
            } else {
                above.max(row[j])
            };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_counts_what_its_name_says() {
        // The example of Lin 2004, section 3.1.
        let reference = [["police killed the gunman"]];
        let f1 = |rouge: Rouge, hypothesis| rouge.score(&[hypothesis], &reference).unwrap().f1;
        for (hypothesis, words, bigrams, subsequence) in [
            ("police kill the gunman", 75.0, 100.0 / 3.0, 75.0),
            ("the gunman kill police", 75.0, 100.0 / 3.0, 50.0),
        ] {
            for (rouge, expected) in [
                (Rouge::words(), words),
                (Rouge::bigrams(), bigrams),
                (Rouge::default(), subsequence),
            ] {
                assert!((f1(rouge, hypothesis) - expected).abs() < 1e-9, "{rouge:?}");
            }
        }
        let stemmed = Rouge {
            stem: true,
            ..Rouge::words()
        };
        assert_eq!(f1(stemmed, "Police kills THE gunman!"), 100.0);
    }

    #[test]
    fn the_best_reference_counts_and_empty_text_scores_0() {
        let score = Rouge::words().score(&["a b"], &[["c", "a b"]]).unwrap();
        assert_eq!(score.f1, 100.0);
        assert_eq!(score.signature, "nrefs:2|stem:no|version:rouge_score-0.1.2");
        assert_eq!(Rouge::default().score(&[""], &[["a"]]).unwrap().f1, 0.0);
        assert_eq!(Rouge::bigrams().score(&["a"], &[["a"]]).unwrap().f1, 0.0);
    }
}
