//! TER over a corpus or a sentence, equal to sacreBLEU's.

mod edit_table;
mod shift;
mod tokenizer;

use std::fmt;

use crate::segment::Segment;
use crate::signature::{case, yes_no};
use crate::text::words;
use crate::{CorpusMetric, Result, Statistics};

/// How to compute the translation edit rate (Snover et al. 2006); the defaults are sacreBLEU's and
/// Tercom's.
///
/// An edit inserts, deletes or substitutes a word, or shifts a block of words to another place:
///
/// ```text
/// TER = 100 * sum_i min_r edits(h_i, r) / sum_i mean_r len(r)
/// ```
///
/// over segments i and their references r. The fewest edits with shifts would take exponential
/// time; what is computed are Tercom's: the shift that helps most is taken, again and again, among
/// shifts of blocks of up to 10 words that stand in the reference too, by up to 50 places, 1000 of
/// them at most; words are matched within 25 places of the diagonal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ter {
    /// Whether to set off punctuation and resolve XML entities. Default: no.
    pub normalized: bool,
    /// Whether to take out punctuation. Default: no.
    pub no_punct: bool,
    /// Whether the two above also read East Asian text: its characters become words, its
    /// punctuation goes. Default: no.
    pub asian_support: bool,
    /// Whether case counts. Default: no.
    pub case_sensitive: bool,
}

/// TER of a corpus. Its `Display` is sacreBLEU's line, such as `TER = 53.06`.
#[derive(Debug, Clone, PartialEq)]
pub struct TerScore {
    /// TER, from 0; above 100 where there are more edits than words in the references.
    pub score: f64,
    /// The edits.
    pub edits: usize,
    /// Words in the references, the mean of each segment's.
    pub ref_len: f64,
    /// What to report beside the score, such as
    /// `nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0`.
    pub signature: String,
}

impl fmt::Display for TerScore {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "TER = {:.2}", self.score)
    }
}

impl Ter {
    /// Scores hypotheses against one or several references each.
    ///
    /// # Errors
    ///
    /// If there are no hypotheses, if hypotheses and reference lists differ in number, or if an
    /// item has no reference.
    pub fn score<H, R, S>(&self, hypotheses: &[H], references: &[R]) -> Result<TerScore>
    where
        H: AsRef<str>,
        R: AsRef<[S]>,
        S: AsRef<str>,
    {
        let statistics = Statistics::new(self, hypotheses, references)?;
        let sums = statistics.sums();
        Ok(TerScore {
            score: self.score_of(&sums),
            edits: sums[0] as usize,
            ref_len: sums[1],
            signature: statistics.signature(),
        })
    }
}

impl CorpusMetric for Ter {
    fn name(&self) -> String {
        "TER".to_owned()
    }

    fn options(&self) -> String {
        format!(
            "case:{}|tok:tercom|norm:{}|punct:{}|asian:{}",
            case(!self.case_sensitive),
            yes_no(self.normalized),
            yes_no(!self.no_punct),
            yes_no(self.asian_support),
        )
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    /// The edits against the closest reference, and the mean length of the references.
    fn statistics(&self, segment: &Segment) -> Result<Vec<f64>> {
        let hypothesis = self.tokenize(segment.hypothesis);
        let hypothesis = words(&hypothesis);
        let (mut fewest, mut length) = (usize::MAX, 0);
        for reference in &segment.references {
            // Twice, as sacreBLEU does it: `'s` before a comma comes off in the second pass alone.
            let reference = self.tokenize(&self.tokenize(reference));
            let reference = words(&reference);
            fewest = fewest.min(shift::edits(&hypothesis, &reference));
            length += reference.len();
        }
        let mean_length = length as f64 / segment.references.len() as f64;
        Ok(vec![fewest as f64, mean_length])
    }

    fn score_of(&self, sums: &[f64]) -> f64 {
        let (edits, length) = (sums[0], sums[1]);
        if length > 0.0 {
            100.0 * (edits / length)
        } else if edits > 0.0 {
            100.0
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ter(hypothesis: &str, references: &[&str]) -> TerScore {
        Ter::default().score(&[hypothesis], &[references]).unwrap()
    }

    #[test]
    fn a_shifted_block_is_one_edit() {
        // The example of Snover et al. 2006, section 3: one shift, two substitutions, a deletion.
        let score = ter(
            "THIS WEEK THE SAUDIS denied information published in the new york times",
            &["SAUDI ARABIA denied THIS WEEK information published in the AMERICAN new york times"],
        );
        assert_eq!((score.edits, score.ref_len), (4, 13.0));
        assert_eq!(score.to_string(), "TER = 30.77");
        assert_eq!(
            score.signature,
            "nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0"
        );
    }

    #[test]
    fn the_closest_reference_gives_the_edits_and_all_of_them_the_length() {
        let score = ter("a b", &["a b", "a b c d"]);
        assert_eq!((score.edits, score.ref_len), (0, 3.0));
    }

    #[test]
    fn references_are_normalized_twice() {
        let ter = Ter {
            normalized: true,
            ..Ter::default()
        };
        let score = ter.score(&["a's, b"], &[["a's, b"]]).unwrap();
        // a's , b against a 's , b
        assert_eq!((score.edits, score.ref_len), (2, 4.0));
    }

    #[test]
    fn empty_text_has_a_score() {
        assert_eq!(ter("", &["a b"]).score, 100.0);
        assert_eq!(ter("a b", &[""]).score, 100.0);
        assert_eq!(ter("", &[""]).score, 0.0);
    }
}
