//! One item to score: a hypothesis beside its references.

use crate::{Error, Result};

/// A hypothesis and its references, as a [`CorpusMetric`](crate::CorpusMetric) reads them.
#[derive(Debug, Clone)]
pub struct Segment<'a> {
    /// Its index among the segments of the corpus.
    pub item: usize,
    /// The text to score.
    pub hypothesis: &'a str,
    /// What it is held against; at least one.
    pub references: Vec<&'a str>,
}

/// Pairs hypotheses with their references, or says why they do not line up.
pub(crate) fn segments<'a, H, R, S>(
    hypotheses: &'a [H],
    references: &'a [R],
) -> Result<Vec<Segment<'a>>>
where
    H: AsRef<str>,
    R: AsRef<[S]>,
    S: AsRef<str> + 'a,
{
    if hypotheses.len() != references.len() {
        return Err(Error::UnequalCounts {
            hypotheses: hypotheses.len(),
            what: "reference lists",
            others: references.len(),
        });
    }
    if hypotheses.is_empty() {
        return Err(Error::Empty);
    }
    let items = hypotheses.iter().zip(references).enumerate();
    items
        .map(|(item, (hypothesis, references))| {
            let references: Vec<_> = references.as_ref().iter().map(S::as_ref).collect();
            if references.is_empty() {
                return Err(Error::NoReference { item });
            }
            Ok(Segment {
                item,
                hypothesis: hypothesis.as_ref(),
                references,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(hypotheses: &[&str], references: &[Vec<&str>]) -> String {
        segments(hypotheses, references)
            .err()
            .map_or(String::new(), |error| error.to_string())
    }

    #[test]
    fn unequal_counts_name_both() {
        assert_eq!(
            error(&["a", "b"], &[vec!["a"]]),
            "counts differ (hypotheses: 2, reference lists: 1): give one of each per item"
        );
    }

    #[test]
    fn nothing_to_score_is_an_error() {
        assert_eq!(
            error(&[], &[]),
            "there are no hypotheses to score: give at least one"
        );
    }

    #[test]
    fn an_item_without_references_is_named() {
        assert_eq!(
            error(&["a", "b"], &[vec!["a"], vec![]]),
            "item 1 (counted from 0) has no reference: give it at least one"
        );
    }
}
