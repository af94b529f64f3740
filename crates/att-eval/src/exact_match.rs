//! The share of outputs that are right as a whole.

use crate::segment::{Segment, segments};
use crate::signature::own_version;
use crate::{CorpusMetric, Result};
use std::fmt;

/// How many hypotheses equal one of their references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactMatch {
    /// How many items were scored.
    pub items: usize,
    /// Items whose hypothesis equals a reference, character by character.
    pub matches: usize,
}

impl ExactMatch {
    /// Matches in percent of the items.
    pub fn percent(&self) -> f64 {
        100.0 * self.matches as f64 / self.items as f64
    }
}

impl fmt::Display for ExactMatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { items, matches } = self;
        write!(f, "exact match = {:.2} ({matches}/{items})", self.percent())
    }
}

/// [`exact_match`] as a [`CorpusMetric`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExactMatchRate;

impl CorpusMetric for ExactMatchRate {
    fn name(&self) -> String {
        "exact match".to_owned()
    }

    fn options(&self) -> String {
        "case:mixed".to_owned()
    }

    fn version(&self) -> String {
        own_version()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn statistics(&self, segment: &Segment) -> Result<Vec<f64>> {
        let right = segment.references.contains(&segment.hypothesis);
        Ok(vec![f64::from(u8::from(right)), 1.0])
    }

    fn score_of(&self, sums: &[f64]) -> f64 {
        100.0 * sums[0] / sums[1]
    }

    fn detail(&self, sums: &[f64]) -> Option<String> {
        Some(format!("{} of {}", sums[0], sums[1]))
    }
}

/// Counts hypotheses that equal one of their references, white space and case included.
///
/// # Errors
///
/// If there are no hypotheses, if hypotheses and reference lists differ in number, or if an item
/// has no reference.
pub fn exact_match<H, R, S>(hypotheses: &[H], references: &[R]) -> Result<ExactMatch>
where
    H: AsRef<str>,
    R: AsRef<[S]>,
    S: AsRef<str>,
{
    let segments = segments(hypotheses, references)?;
    let right = segments
        .iter()
        .filter(|segment| segment.references.contains(&segment.hypothesis));
    Ok(ExactMatch {
        items: segments.len(),
        matches: right.count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_reference_counts_and_nothing_near_it() {
        let hypotheses = ["gone", "goed", "Went", "go "];
        let references = [vec!["went", "gone"], vec!["went"], vec!["went"], vec!["go"]];
        let score = exact_match(&hypotheses, &references).unwrap();
        assert_eq!(score.matches, 1);
        assert_eq!(score.to_string(), "exact match = 25.00 (1/4)");
    }
}
