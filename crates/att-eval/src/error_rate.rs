//! Error rates over items and over tokens: WER and PER.

use crate::Result;
use crate::edit::{EditCounts, edit_distance};
use crate::segment::{Segment, segments};
use crate::text::words;
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
        percent(self.wrong_items, self.items)
    }

    /// Edits in percent of reference tokens: PER where tokens are phones.
    ///
    /// Insertions can bring it above 100; with no reference token at all it is infinite, or 0 if
    /// there are no edits either.
    pub fn token_error_rate(&self) -> f64 {
        percent(self.edits.total(), self.reference_tokens)
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

/// `100 * part / whole`, and 0 for nothing of nothing.
fn percent(part: usize, whole: usize) -> f64 {
    if part == 0 {
        0.0
    } else {
        100.0 * part as f64 / whole as f64
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
}
