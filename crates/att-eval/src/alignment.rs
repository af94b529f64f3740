//! The alignment error rate.

use std::collections::BTreeSet;

use crate::segment::Segment;
use crate::signature::own_version;
use crate::{CorpusMetric, Error, Result};

/// The alignment error rate, AER (Och and Ney 2003, equation 43).
///
/// With the links A of a hypothesis, and the sure links S and possible links P of its reference,
/// where S is a part of P,
///
/// ```text
/// AER = 100 * (1 - (|A with S| + |A with P|) / (|A| + |S|))
/// ```
///
/// summed over the corpus first. Each line of text is an alignment in the Pharaoh format: links
/// `source-target`, counted from 0. In a reference `0-1` is sure, and `0p1` or `0?1` is possible and
/// not sure. Where nothing is linked, nothing is wrong.
///
/// ```
/// use att_eval::{AlignmentErrorRate, Statistics};
///
/// let found = ["0-0 1-1 2-1"];
/// let gold = [["0-0 1-1 2p1 3-2"]];
/// let statistics = Statistics::new(&AlignmentErrorRate, &found, &gold)?;
/// assert!((statistics.score() - 100.0 * (1.0 - 5.0 / 6.0)).abs() < 1e-9);
/// # Ok::<(), att_eval::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlignmentErrorRate;

impl CorpusMetric for AlignmentErrorRate {
    fn name(&self) -> String {
        "AER".to_owned()
    }

    fn options(&self) -> String {
        String::new()
    }

    fn version(&self) -> String {
        own_version()
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    /// |A with S|, |A with P|, |A|, |S| and |P|.
    ///
    /// # Errors
    ///
    /// If a word is not a link, or there is not one reference.
    fn statistics(&self, segment: &Segment) -> Result<Vec<f64>> {
        let item = segment.item;
        let &[reference] = &segment.references[..] else {
            let found = segment.references.len();
            return Err(Error::OneReference { item, found });
        };
        let found = Links::parse(segment.hypothesis, item, "hypothesis")?.possible;
        let Links { sure, possible } = Links::parse(reference, item, "reference")?;
        let counts = [
            found.intersection(&sure).count(),
            found.intersection(&possible).count(),
            found.len(),
            sure.len(),
            possible.len(),
        ];
        Ok(counts.map(|count| count as f64).to_vec())
    }

    fn score_of(&self, sums: &[f64]) -> f64 {
        let links = sums[2] + sums[3];
        if links == 0.0 {
            0.0
        } else {
            100.0 * (1.0 - (sums[0] + sums[1]) / links)
        }
    }

    fn detail(&self, sums: &[f64]) -> Option<String> {
        let percent = |part: f64, whole: f64| {
            if whole == 0.0 {
                0.0
            } else {
                100.0 * part / whole
            }
        };
        Some(format!(
            "P = {:.2} R = {:.2} (links = {} sure = {} possible = {})",
            percent(sums[1], sums[2]),
            percent(sums[0], sums[3]),
            sums[2],
            sums[3],
            sums[4],
        ))
    }
}

/// One link of a word alignment as the Pharaoh format writes it, which `fast_align` and the Moses
/// tools share: `0-1`, or `0p1` or `0?1` where it is possible and not sure.
///
/// ```
/// use att_eval::PharaohLink;
///
/// let link = PharaohLink { src: 2, tgt: 1, sure: false };
/// assert_eq!(PharaohLink::parse("2p1"), Some(link));
/// assert_eq!(PharaohLink::parse("2:1"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PharaohLink {
    /// Position of the source token, from 0.
    pub src: usize,
    /// Position of the target token, from 0.
    pub tgt: usize,
    /// Whether it is sure.
    pub sure: bool,
}

impl PharaohLink {
    /// The link that a word of a line stands for; none where it is not one.
    pub fn parse(word: &str) -> Option<Self> {
        let (src, rest) = word.split_at(word.find(['-', 'p', '?'])?);
        Some(Self {
            src: src.parse().ok()?,
            tgt: rest[1..].parse().ok()?,
            sure: rest.starts_with('-'),
        })
    }
}

/// Pairs of a source and a target position.
#[derive(Default)]
struct Links {
    sure: BTreeSet<(usize, usize)>,
    /// The sure ones among them.
    possible: BTreeSet<(usize, usize)>,
}

impl Links {
    fn parse(line: &str, item: usize, side: &'static str) -> Result<Self> {
        let mut links = Self::default();
        for (i, text) in line.split_whitespace().enumerate() {
            let Some(PharaohLink { src, tgt, sure }) = PharaohLink::parse(text) else {
                return Err(Error::Link {
                    side,
                    item,
                    word: i + 1,
                    text: text.to_owned(),
                });
            };
            links.possible.insert((src, tgt));
            if sure {
                links.sure.insert((src, tgt));
            }
        }
        Ok(links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Statistics;

    fn aer(found: &[&str], gold: &[[&str; 1]]) -> Result<f64> {
        Ok(Statistics::new(&AlignmentErrorRate, found, gold)?.score())
    }

    #[test]
    fn all_sure_links_and_some_possible_ones_are_no_error() {
        assert_eq!(aer(&["0-0 1-2"], &[["0-0 1p1 1?2"]]), Ok(0.0));
        assert_eq!(aer(&["0-0"], &[["0-0 1p1"]]), Ok(0.0));
        assert_eq!(aer(&["1-0"], &[["0-0"]]), Ok(100.0));
        assert_eq!(aer(&[""], &[["0-0"]]), Ok(100.0));
        assert_eq!(aer(&[""], &[[""]]), Ok(0.0));
    }

    #[test]
    fn counts_are_summed_before_anything_is_divided() {
        // 1 sure and possible of 1 + 1, 1 possible of 3 + 1: 1 - 3 / 6.
        let found = aer(&["0-0", "0-0 0-1 0-2"], &[["0-0"], ["0p0 3-3"]]);
        assert_eq!(found, Ok(50.0));
    }

    #[test]
    fn a_word_that_is_no_link_is_named() {
        let error = aer(&["0-0", "0-0 1:1"], &[["0-0"], ["0-0"]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "item 1 (counted from 0): word 2 of the hypothesis, `1:1`, is not a link such as 0-1 (sure) or 0p1 (possible)"
        );
        for word in ["3", "-1", "1-", "1-2-3", "1é2", "a-1"] {
            assert!(aer(&[word], &[["0-0"]]).is_err(), "{word}");
        }
        let two = Statistics::new(&AlignmentErrorRate, &["0-0"], &[["0-0", "0-0"]]);
        assert!(two.is_err());
    }
}
