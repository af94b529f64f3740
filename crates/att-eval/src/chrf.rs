//! chrF and chrF++ over a corpus, equal to sacreBLEU's.

use crate::ngram::count;
use crate::segment::Segment;
use crate::signature::{case, yes_no};
use crate::text::{fold_case, is_space, words};
use crate::{CorpusMetric, Result, Statistics};
use std::fmt;
use std::hash::Hash;

/// How to compute chrF (Popović 2015); the defaults are sacreBLEU's.
///
/// With `P` and `R` the n-gram precision and recall, averaged over the character orders 1 to
/// `char_order` and the word orders 1 to `word_order` that occur on both sides,
///
/// ```text
/// chrF = 100 * (1 + beta^2) P R / (beta^2 P + R)
/// ```
///
/// The counts are summed over the corpus first; of several references the one counts that gives the
/// sentence the best score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chrf {
    /// The longest character n-grams. Default: 6.
    pub char_order: usize,
    /// The longest word n-grams. Default: 0; chrF++ has 2.
    pub word_order: usize,
    /// How many times recall weighs as much as precision. Default: 2.
    pub beta: usize,
    /// Whether to ignore case. Default: no.
    pub lowercase: bool,
    /// Whether white space is a character too. Default: no.
    pub whitespace: bool,
    /// Whether to average the F-scores of all orders, as chrF++.py does, in place of the precisions
    /// and recalls of those that occur. Default: no.
    pub eps_smoothing: bool,
}

impl Default for Chrf {
    fn default() -> Self {
        Self {
            char_order: 6,
            word_order: 0,
            beta: 2,
            lowercase: false,
            whitespace: false,
            eps_smoothing: false,
        }
    }
}

/// chrF of a corpus. Its `Display` is sacreBLEU's line, such as `chrF2++ = 46.94`.
#[derive(Debug, Clone, PartialEq)]
pub struct ChrfScore {
    /// chrF, from 0 to 100.
    pub score: f64,
    /// The metric's name with its beta and a `+` for each word order: `chrF2`, `chrF2++`.
    pub name: String,
    /// What to report beside the score, such as
    /// `nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0`.
    pub signature: String,
}

impl fmt::Display for ChrfScore {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} = {:.2}", self.name, self.score)
    }
}

impl Chrf {
    /// chrF++ (Popović 2017): chrF with word n-grams of orders 1 and 2.
    pub fn plus_plus() -> Self {
        Self {
            word_order: 2,
            ..Self::default()
        }
    }

    /// Scores hypotheses against one or several references each.
    ///
    /// # Errors
    ///
    /// If there are no hypotheses, if hypotheses and reference lists differ in number, or if an
    /// item has no reference.
    pub fn score<H, R, S>(&self, hypotheses: &[H], references: &[R]) -> Result<ChrfScore>
    where
        H: AsRef<str>,
        R: AsRef<[S]>,
        S: AsRef<str>,
    {
        let statistics = Statistics::new(self, hypotheses, references)?;
        Ok(ChrfScore {
            score: statistics.score(),
            name: self.name(),
            signature: statistics.signature(),
        })
    }

    /// The overlap of each order with the reference that gives the best score, the first of equals.
    fn best_overlaps(&self, segment: &Segment) -> Vec<Overlap> {
        let hypothesis = fold_case(segment.hypothesis, self.lowercase);
        let hypothesis = self.units(&hypothesis);
        let mut best = Vec::new();
        let mut best_score = f64::NEG_INFINITY;
        for reference in &segment.references {
            let reference = fold_case(reference, self.lowercase);
            let overlaps = self.overlaps(&hypothesis, &self.units(&reference));
            let score = self.f_score(&overlaps);
            if score > best_score {
                (best, best_score) = (overlaps, score);
            }
        }
        best
    }

    fn units<'a>(&self, text: &'a str) -> Units<'a> {
        let is_unit = |&c: &char| self.whitespace || !is_space(c);
        Units {
            chars: text.chars().filter(is_unit).collect(),
            words: words(text).into_iter().flat_map(set_off_mark).collect(),
        }
    }

    /// The overlaps of the character orders, then those of the word orders.
    fn overlaps(&self, hypothesis: &Units, reference: &Units) -> Vec<Overlap> {
        let chars = (1..=self.char_order)
            .map(|order| Overlap::new(&hypothesis.chars, &reference.chars, order));
        let words = (1..=self.word_order)
            .map(|order| Overlap::new(&hypothesis.words, &reference.words, order));
        chars.chain(words).collect()
    }

    fn f_score(&self, overlaps: &[Overlap]) -> f64 {
        const EPSILON: f64 = 1e-16;
        let beta_squared = (self.beta * self.beta) as f64;
        let f = |p: f64, r: f64| (1.0 + beta_squared) * p * r / (beta_squared * p + r);
        let ratio = |part: usize, whole: usize| part as f64 / whole as f64;

        if self.eps_smoothing {
            let or_epsilon = |part, whole| {
                if whole > 0 {
                    ratio(part, whole)
                } else {
                    EPSILON
                }
            };
            let sum: f64 = overlaps
                .iter()
                .map(|o| {
                    let precision = or_epsilon(o.matches, o.hypothesis);
                    let recall = or_epsilon(o.matches, o.reference);
                    if precision + recall > 0.0 {
                        f(precision, recall)
                    } else {
                        EPSILON
                    }
                })
                .sum();
            return 100.0 * sum / overlaps.len().max(1) as f64;
        }

        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        for o in overlaps {
            if o.hypothesis > 0 && o.reference > 0 {
                precision += ratio(o.matches, o.hypothesis);
                recall += ratio(o.matches, o.reference);
                orders += 1.0;
            }
        }
        if precision + recall > 0.0 {
            100.0 * f(precision / orders, recall / orders)
        } else {
            0.0
        }
    }
}

impl CorpusMetric for Chrf {
    fn name(&self) -> String {
        format!("chrF{}{}", self.beta, "+".repeat(self.word_order))
    }

    fn options(&self) -> String {
        format!(
            "case:{}|eff:{}|nc:{}|nw:{}|space:{}",
            case(self.lowercase),
            yes_no(!self.eps_smoothing),
            self.char_order,
            self.word_order,
            yes_no(self.whitespace),
        )
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn statistics(&self, segment: &Segment) -> Result<Vec<f64>> {
        let best = self.best_overlaps(segment).into_iter();
        Ok(best
            .flat_map(|o| [o.hypothesis, o.reference, o.matches].map(|n| n as f64))
            .collect())
    }

    fn score_of(&self, sums: &[f64]) -> f64 {
        let overlaps: Vec<Overlap> = sums
            .chunks_exact(3)
            .map(|row| Overlap {
                hypothesis: row[0] as usize,
                reference: row[1] as usize,
                matches: row[2] as usize,
            })
            .collect();
        self.f_score(&overlaps)
    }
}

/// What a text's n-grams are made of.
struct Units<'a> {
    chars: Vec<char>,
    words: Vec<&'a str>,
}

/// Splits one punctuation mark off a word: off its end, or else off its start.
///
/// Only one, so that `(hi)` becomes `(hi` and `)`; this is what chrF++.py and sacreBLEU do.
fn set_off_mark(word: &str) -> impl Iterator<Item = &str> {
    let is_mark = |c: char| c.is_ascii_punctuation();
    let at = if word.ends_with(is_mark) {
        word.len() - 1
    } else if word.starts_with(is_mark) {
        1
    } else {
        0
    };
    let (start, end) = word.split_at(at);
    [start, end].into_iter().filter(|part| !part.is_empty())
}

/// The n-grams of one order on both sides, and those that they share.
#[derive(Clone, Default)]
struct Overlap {
    hypothesis: usize,
    reference: usize,
    matches: usize,
}

impl Overlap {
    fn new<T: Eq + Hash>(hypothesis: &[T], reference: &[T], order: usize) -> Self {
        let hypothesis = count(hypothesis, order);
        let reference = count(reference, order);
        let shared = hypothesis.iter().map(|(ngram, &occurrences)| {
            let there = reference.get(ngram).copied().unwrap_or(0);
            occurrences.min(there)
        });
        let matches = shared.sum();
        Self {
            // An order that the reference is too short for is not held against the hypothesis.
            hypothesis: if reference.is_empty() {
                0
            } else {
                hypothesis.values().sum()
            },
            reference: reference.values().sum(),
            matches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(chrf: Chrf, hypothesis: &str, reference: &str) -> f64 {
        chrf.score(&[hypothesis], &[[reference]]).unwrap().score
    }

    #[test]
    fn identical_text_scores_100() {
        for chrf in [Chrf::default(), Chrf::plus_plus()] {
            let text = "Ein Satz mit Umlauten: schöne Grüße!";
            assert!((score(chrf, text, text) - 100.0).abs() < 1e-9);
        }
    }

    #[test]
    fn text_without_a_common_character_scores_0() {
        assert_eq!(score(Chrf::default(), "abc", "xyz"), 0.0);
        assert_eq!(score(Chrf::default(), "", "xyz"), 0.0);
        assert_eq!(score(Chrf::default(), "", ""), 0.0);
    }

    #[test]
    fn recall_weighs_more_than_precision() {
        let chrf = Chrf::default();
        assert!(score(chrf, "abcdefgh", "abcdef") > score(chrf, "abcdef", "abcdefgh"));
        let balanced = Chrf { beta: 1, ..chrf };
        let longer = score(balanced, "abcdefgh", "abcdef");
        assert!((longer - score(balanced, "abcdef", "abcdefgh")).abs() < 1e-9);
    }

    #[test]
    fn white_space_counts_only_if_asked() {
        let chrf = Chrf::default();
        assert!((score(chrf, "a bc d", "ab cd") - 100.0).abs() < 1e-9);
        let whitespace = Chrf {
            whitespace: true,
            ..chrf
        };
        assert!(score(whitespace, "a bc d", "ab cd") < 99.0);
    }

    #[test]
    fn one_mark_leaves_a_word() {
        let parts = |word| set_off_mark(word).collect::<Vec<_>>();
        assert_eq!(parts("(hi)"), ["(hi", ")"]);
        assert_eq!(parts("(hi"), ["(", "hi"]);
        assert_eq!(parts("hi"), ["hi"]);
        assert_eq!(parts("!"), ["!"]);
        assert_eq!(parts("?!"), ["?", "!"]);
    }

    #[test]
    fn the_best_reference_counts() {
        let references = [["nothing alike", "the cat"]];
        let best = Chrf::default().score(&["the cat"], &references).unwrap();
        assert!((best.score - 100.0).abs() < 1e-9);
        assert_eq!(best.to_string(), "chrF2 = 100.00");
    }

    #[test]
    fn orders_of_zero_score_0() {
        for eps_smoothing in [false, true] {
            let chrf = Chrf {
                char_order: 0,
                eps_smoothing,
                ..Chrf::default()
            };
            assert_eq!(score(chrf, "a", "a"), 0.0);
        }
    }
}
