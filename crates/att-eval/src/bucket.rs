//! Scores broken down by a property of the items, such as the source's length.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// Scores the items of each bucket by themselves.
///
/// Item `i` falls in the bucket `keys[i]`; `score` is called once a bucket with its hypotheses and
/// references, in their order.
///
/// ```
/// use att_eval::{by_bucket, error_rates};
///
/// let hypotheses = ["a", "b c", "d"];
/// let references = [["a"], ["b c"], ["e"]];
/// let source_lengths = [1, 2, 1];
/// let rates = by_bucket(&hypotheses, &references, &source_lengths, error_rates)?;
/// assert_eq!(rates[&1].item_error_rate(), 50.0);
/// assert_eq!(rates[&2].item_error_rate(), 0.0);
/// # Ok::<(), att_eval::Error>(())
/// ```
///
/// # Errors
///
/// If hypotheses, references and keys differ in number, or what `score` returns.
pub fn by_bucket<'a, K, H, R, T>(
    hypotheses: &'a [H],
    references: &'a [R],
    keys: &[K],
    score: impl Fn(&[&'a H], &[&'a R]) -> Result<T>,
) -> Result<BTreeMap<K, T>>
where
    K: Ord + Clone,
{
    for (what, others) in [
        ("reference lists", references.len()),
        ("bucket keys", keys.len()),
    ] {
        if others != hypotheses.len() {
            return Err(Error::UnequalCounts {
                hypotheses: hypotheses.len(),
                what,
                others,
            });
        }
    }
    let mut buckets = BTreeMap::<K, (Vec<&H>, Vec<&R>)>::new();
    for ((hypothesis, references), key) in hypotheses.iter().zip(references).zip(keys) {
        let bucket = buckets.entry(key.clone()).or_default();
        bucket.0.push(hypothesis);
        bucket.1.push(references);
    }
    buckets
        .into_iter()
        .map(|(key, (hypotheses, references))| Ok((key, score(&hypotheses, &references)?)))
        .collect()
}

/// Ranges of whole numbers, such as lengths or frequencies: below the first cutoff, from there to
/// below the second, ..., from the last on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs<'a>(
    /// Ascending.
    pub &'a [usize],
);

impl Cutoffs<'static> {
    /// compare-mt's for the lengths of sentences.
    pub const LENGTHS: Self = Self(&[10, 20, 30, 40, 50, 60]);

    /// compare-mt's for the frequencies of words.
    pub const FREQUENCIES: Self = Self(&[1, 2, 3, 4, 5, 10, 100, 1000]);
}

impl Cutoffs<'_> {
    /// How many ranges there are.
    pub fn count(self) -> usize {
        self.0.len() + 1
    }

    /// Which range a value falls in, from 0.
    pub fn bucket(self, value: usize) -> usize {
        self.0.partition_point(|&cutoff| cutoff <= value)
    }

    /// The range's name, as compare-mt has it: `<10`, `[10,20)`, `>=60`, or a single value.
    pub fn name(self, bucket: usize) -> String {
        let (from, to) = (bucket.checked_sub(1).map(|i| self.0[i]), self.0.get(bucket));
        match (from, to) {
            (None, None) => "all".to_owned(),
            (None, Some(to)) => format!("<{to}"),
            (Some(from), None) => format!(">={from}"),
            (Some(from), Some(&to)) if to == from + 1 => from.to_string(),
            (Some(from), Some(to)) => format!("[{from},{to})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutoffs_part_the_numbers() {
        let cutoffs = Cutoffs(&[1, 2, 5]);
        let names: Vec<_> = (0..cutoffs.count()).map(|i| cutoffs.name(i)).collect();
        assert_eq!(names, ["<1", "1", "[2,5)", ">=5"]);
        let buckets = [0, 1, 2, 4, 5, 9].map(|value| cutoffs.bucket(value));
        assert_eq!(buckets, [0, 1, 2, 2, 3, 3]);
    }
    use crate::{Bleu, exact_match};

    #[test]
    fn each_bucket_is_scored_by_itself() {
        let hypotheses = ["a", "x", "b", "c"];
        let references = [["a"], ["y"], ["b"], ["c"]];
        let keys = ["short", "long", "short", "long"];
        let scores = by_bucket(&hypotheses, &references, &keys, exact_match).unwrap();
        assert_eq!(
            scores.keys().copied().collect::<Vec<_>>(),
            ["long", "short"]
        );
        assert_eq!(scores["short"].percent(), 100.0);
        assert_eq!(scores["long"].percent(), 50.0);
    }

    #[test]
    fn owned_strings_and_other_metrics_work_alike() {
        let hypotheses = vec!["one two three four".to_owned()];
        let references = vec![hypotheses.clone()];
        let bleu = Bleu::default();
        let scores = by_bucket(&hypotheses, &references, &[4], |h, r| bleu.score(h, r)).unwrap();
        assert!((scores[&4].score - 100.0).abs() < 1e-9);
    }

    #[test]
    fn missing_keys_are_counted() {
        let error = by_bucket(&["a", "b"], &[["a"], ["b"]], &[1], exact_match);
        assert_eq!(
            error.unwrap_err().to_string(),
            "counts differ (hypotheses: 2, bucket keys: 1): give one of each per item"
        );
    }
}
