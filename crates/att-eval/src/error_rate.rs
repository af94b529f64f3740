//! Error rates over items, words and characters: SER, WER, CER and PER.

use crate::edit::{EditCounts, edit_distance};
use crate::ngram::count;
use crate::segment::{Segment, segments};
use crate::signature::{case, own_version};
use crate::text::{fold_case, words};
use crate::{CorpusMetric, Result};
use std::fmt;

/// Errors counted over a corpus, and the two rates that they give.
///
/// The same two rates go by other names in each field:
///
/// | an item is | a token is | item error rate | token error rate |
/// | --- | --- | --- | --- |
/// | a word to pronounce | a phone | word error rate (WER) | phone error rate (PER) |
/// | a sentence | a word | sentence error rate (SER) | word error rate (WER) |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErrorRates {
    /// How many items were scored.
    pub items: usize,
    /// Items whose tokens equal none of their references.
    pub wrong_items: usize,
    /// Edits between each hypothesis and its closest reference, summed.
    pub edits: EditCounts,
    /// Tokens in those closest references, summed.
    pub reference_tokens: usize,
}

impl ErrorRates {
    /// Wrong items in percent of all items: WER where items are words.
    pub fn item_error_rate(&self) -> f64 {
        percent(self.wrong_items as f64, self.items as f64)
    }

    /// Edits in percent of reference tokens: PER where tokens are phones.
    ///
    /// Insertions can bring it above 100; with no reference token at all it is infinite, or 0 if
    /// there are no edits either.
    pub fn token_error_rate(&self) -> f64 {
        percent(self.edits.total() as f64, self.reference_tokens as f64)
    }

    fn add(&mut self, segment: &Segment) {
        let hypothesis = words(segment.hypothesis);
        let closest = segment
            .references
            .iter()
            .map(|reference| {
                let reference = words(reference);
                (edit_distance(&hypothesis, &reference), reference.len())
            })
            .min_by_key(|(edits, len)| (edits.total(), std::cmp::Reverse(*len)));
        // A segment has at least one reference.
        if let Some((edits, len)) = closest {
            self.items += 1;
            self.wrong_items += usize::from(edits.total() > 0);
            self.edits += edits;
            self.reference_tokens += len;
        }
    }
}

impl fmt::Display for ErrorRates {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "item errors = {:.2} token errors = {:.2} (items = {} sub = {} ins = {} del = {} ref_len = {})",
            self.item_error_rate(),
            self.token_error_rate(),
            self.items,
            self.edits.substitutions,
            self.edits.insertions,
            self.edits.deletions,
            self.reference_tokens,
        )
    }
}

/// Counts the errors of hypotheses against one or several references per item.
///
/// Tokens are what white space separates. Each hypothesis is held against its closest reference:
/// the one with the fewest edits and, among equals, the longest. With `d` those edits and `n` the
/// closest reference's tokens,
///
/// ```text
/// item error rate  = 100 * #{i : d_i > 0} / #items
/// token error rate = 100 * sum_i d_i / sum_i n_i
/// ```
///
/// The choice among equals is this crate's; it moves the denominator, not the number of edits. With
/// one reference each this is the usual rate over a corpus, not a mean of the items' rates.
///
/// # Errors
///
/// If there are no hypotheses, if hypotheses and reference lists differ in number, or if an item
/// has no reference.
pub fn error_rates<H, R, S>(hypotheses: &[H], references: &[R]) -> Result<ErrorRates>
where
    H: AsRef<str>,
    R: AsRef<[S]>,
    S: AsRef<str>,
{
    let mut rates = ErrorRates::default();
    for segment in &segments(hypotheses, references)? {
        rates.add(segment);
    }
    Ok(rates)
}

/// An error rate as a [`CorpusMetric`], errors over what could be wrong:
///
/// ```text
/// rate = 100 * sum_i errors_i / sum_i total_i
/// ```
///
/// Each hypothesis is held against its closest reference: the one with the fewest errors and, among
/// equals, the longest. [`error_rates`] gives the kinds of edits besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRate {
    /// What is counted.
    pub unit: ErrorUnit,
    /// Whether to ignore case. Default: no.
    pub lowercase: bool,
}

/// What an [`ErrorRate`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorUnit {
    /// Items of which any word is wrong: the sentence error rate, SER, and the word error rate of
    /// pronunciations.
    Items,
    /// Edits of words: the word error rate, WER, and the phone error rate of pronunciations.
    Words,
    /// Edits of characters, single spaces between words included: the character error rate, CER.
    Characters,
    /// Wrong words, wherever they stand: the position-independent error rate, PER (Tillmann et al.
    /// 1997), `max(len(h), len(r)) - #shared words` over the reference's words.
    Anywhere,
}

impl ErrorRate {
    /// WER: edits of words.
    pub fn words() -> Self {
        Self::of(ErrorUnit::Words)
    }

    /// CER: edits of characters.
    pub fn characters() -> Self {
        Self::of(ErrorUnit::Characters)
    }

    /// The rate of this unit; case counts.
    pub fn of(unit: ErrorUnit) -> Self {
        Self {
            unit,
            lowercase: false,
        }
    }

    /// Errors, and how many there could be but for what is too much.
    fn errors(&self, hypothesis: &[&str], reference: &str) -> (usize, usize) {
        let reference = fold_case(reference, self.lowercase);
        let reference = words(&reference);
        match self.unit {
            ErrorUnit::Items => (usize::from(hypothesis != reference), 1),
            ErrorUnit::Words => (
                edit_distance(hypothesis, &reference).total(),
                reference.len(),
            ),
            ErrorUnit::Characters => {
                let characters = |words: &[&str]| words.join(" ").chars().collect::<Vec<char>>();
                let (hypothesis, reference) = (characters(hypothesis), characters(&reference));
                (
                    edit_distance(&hypothesis, &reference).total(),
                    reference.len(),
                )
            }
            ErrorUnit::Anywhere => {
                let here = count(hypothesis, 1);
                let there = count(&reference, 1);
                let shared = here
                    .iter()
                    .map(|(word, &n)| n.min(there.get(word).copied().unwrap_or(0)));
                let shared: usize = shared.sum();
                (
                    hypothesis.len().max(reference.len()) - shared,
                    reference.len(),
                )
            }
        }
    }
}

impl CorpusMetric for ErrorRate {
    fn name(&self) -> String {
        match self.unit {
            ErrorUnit::Items => "SER",
            ErrorUnit::Words => "WER",
            ErrorUnit::Characters => "CER",
            ErrorUnit::Anywhere => "PER",
        }
        .to_owned()
    }

    fn options(&self) -> String {
        format!("case:{}|tok:none", case(self.lowercase))
    }

    fn version(&self) -> String {
        own_version()
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn statistics(&self, segment: &Segment) -> Result<Vec<f64>> {
        let hypothesis = fold_case(segment.hypothesis, self.lowercase);
        let hypothesis = words(&hypothesis);
        let references = segment.references.iter();
        let closest = references
            .map(|reference| self.errors(&hypothesis, reference))
            .min_by_key(|&(errors, total)| (errors, std::cmp::Reverse(total)));
        // A segment has at least one reference.
        let (errors, total) = closest.unwrap_or_default();
        Ok(vec![errors as f64, total as f64])
    }

    fn score_of(&self, sums: &[f64]) -> f64 {
        percent(sums[0], sums[1])
    }

    fn detail(&self, sums: &[f64]) -> Option<String> {
        Some(format!("{} of {}", sums[0], sums[1]))
    }
}

/// `100 * part / whole`, and 0 for nothing of nothing.
fn percent(part: f64, whole: f64) -> f64 {
    if part == 0.0 {
        0.0
    } else {
        100.0 * part / whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_reference_makes_an_item_right() {
        let rates = error_rates(
            &["t ah m ey t ow", "r uw t"],
            &[
                vec!["t ah m aa t ow", "t ah m ey t ow"],
                vec!["r aw t s", "r uw t s"],
            ],
        )
        .unwrap();
        assert_eq!(rates.wrong_items, 1);
        assert_eq!(rates.item_error_rate(), 50.0);
        assert_eq!(rates.edits.deletions, 1);
        assert_eq!(rates.reference_tokens, 10);
        assert_eq!(rates.token_error_rate(), 10.0);
    }

    #[test]
    fn equally_close_references_yield_to_the_longest() {
        let rates = error_rates(&["a b"], &[["a", "a b c"]]).unwrap();
        assert_eq!(rates.edits.total(), 1);
        assert_eq!(rates.reference_tokens, 3);
    }

    #[test]
    fn one_reference_gives_the_rate_over_the_corpus() {
        // 1 edit in 1 word and 1 in 4: 2/5, not the mean of 100 % and 25 %.
        let rates = error_rates(&["no", "the cat sat"], &[["yes"], ["the cat sat down"]]).unwrap();
        assert_eq!(rates.token_error_rate(), 40.0);
        assert_eq!(
            rates.to_string(),
            "item errors = 100.00 token errors = 40.00 (items = 2 sub = 1 ins = 0 del = 1 ref_len = 5)"
        );
    }

    #[test]
    fn white_space_between_tokens_does_not_count() {
        let rates = error_rates(&["  a  b\n"], &[["a b"]]).unwrap();
        assert_eq!(rates.wrong_items, 0);
    }

    #[test]
    fn empty_references_do_not_give_nan() {
        let right = error_rates(&[""], &[[""]]).unwrap();
        assert_eq!(right.token_error_rate(), 0.0);
        let wrong = error_rates(&["a"], &[[""]]).unwrap();
        assert_eq!(wrong.token_error_rate(), f64::INFINITY);
    }

    fn rate(unit: ErrorUnit, hypothesis: &str, references: &[&str]) -> f64 {
        let metric = ErrorRate::of(unit);
        let statistics = crate::Statistics::new(&metric, &[hypothesis], &[references]).unwrap();
        statistics.score()
    }

    #[test]
    fn each_unit_counts_what_its_name_says() {
        use ErrorUnit::{Anywhere, Characters, Items, Words};
        assert_eq!(rate(Items, "a  b ", &["a b"]), 0.0);
        assert_eq!(rate(Items, "a b", &["a c", "b"]), 100.0);
        assert_eq!(rate(Words, "b a d", &["a b c d"]), 50.0);
        assert_eq!(rate(Words, "a b", &["x", "a c d"]), 100.0 * 2.0 / 3.0);
        assert_eq!(rate(Characters, "ab  cd", &["ab cde"]), 100.0 / 6.0);
        assert_eq!(rate(Anywhere, "b a d", &["a b c d"]), 25.0);
        assert_eq!(rate(Anywhere, "b a a d e f", &["a b c d"]), 75.0);
    }

    #[test]
    fn case_counts_unless_told() {
        let lowercase = ErrorRate {
            lowercase: true,
            ..ErrorRate::words()
        };
        let score = |metric: &ErrorRate| {
            let statistics = crate::Statistics::new(metric, &["A b"], &[["a B"]]);
            statistics.unwrap().score()
        };
        assert_eq!(score(&ErrorRate::words()), 100.0);
        assert_eq!(score(&lowercase), 0.0);
    }
}
