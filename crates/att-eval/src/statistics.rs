//! Each segment's part in a score, kept so that any selection of segments can be scored.

use std::collections::BTreeMap;

use crate::segment::{Segment, segments};
use crate::signature::{nrefs, signature};
use crate::{CorpusMetric, Error, Result};

/// The sufficient statistics of a metric for each segment of a corpus.
///
/// ```
/// use att_eval::{Bleu, Chrf, CorpusMetric, Statistics};
///
/// let hypotheses = ["The cat sat on the mat.", "It rains."];
/// let references = [["The cat sat on a mat."], ["It rains."]];
/// let metrics: [&dyn CorpusMetric; 2] = [&Bleu::default(), &Chrf::plus_plus()];
/// for metric in metrics {
///     let statistics = Statistics::new(metric, &hypotheses, &references)?;
///     assert!(statistics.score() > 50.0);
///     assert_eq!(statistics.segment_scores().len(), 2);
///     println!("{}|{} = {:.2}", metric.name(), statistics.signature(), statistics.score());
/// }
/// # Ok::<(), att_eval::Error>(())
/// ```
pub struct Statistics<'m> {
    metric: &'m dyn CorpusMetric,
    nrefs: String,
    segments: usize,
    /// A row of `width` numbers a segment.
    rows: Vec<f64>,
    width: usize,
}

/// The score of some of a corpus's segments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BucketScore {
    /// How many segments these are.
    pub segments: usize,
    /// Their score by themselves.
    pub score: f64,
}

impl<'m> Statistics<'m> {
    /// Reads hypotheses and one or several references each.
    ///
    /// # Errors
    ///
    /// If there are no hypotheses, if hypotheses and reference lists differ in number, if an item
    /// has no reference, or if the metric can't read a segment.
    pub fn new<H, R, S>(
        metric: &'m dyn CorpusMetric,
        hypotheses: &[H],
        references: &[R],
    ) -> Result<Self>
    where
        H: AsRef<str>,
        R: AsRef<[S]>,
        S: AsRef<str>,
    {
        Self::of_segments(metric, &segments(hypotheses, references)?)
    }

    fn of_segments(metric: &'m dyn CorpusMetric, segments: &[Segment]) -> Result<Self> {
        let (mut rows, mut width) = (Vec::new(), 0);
        for segment in segments {
            let row = metric.statistics(segment)?;
            width = row.len();
            rows.extend(row);
        }
        Ok(Self {
            metric,
            nrefs: nrefs(segments),
            segments: segments.len(),
            rows,
            width,
        })
    }

    /// The metric.
    pub fn metric(&self) -> &'m dyn CorpusMetric {
        self.metric
    }

    /// How many segments there are; at least one.
    pub fn segments(&self) -> usize {
        self.segments
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The numbers of segment `i`.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * self.width..][..self.width]
    }

    /// The sums over all segments.
    pub fn sums(&self) -> Vec<f64> {
        self.sums_of(0..self.segments())
    }

    /// The sums over some segments, each as often as it is named.
    pub(crate) fn sums_of(&self, segments: impl IntoIterator<Item = usize>) -> Vec<f64> {
        let mut sums = vec![0.0; self.width];
        for i in segments {
            for (sum, number) in sums.iter_mut().zip(self.row(i)) {
                *sum += number;
            }
        }
        sums
    }

    /// The score of the corpus.
    pub fn score(&self) -> f64 {
        self.metric.score_of(&self.sums())
    }

    /// What the score is made of, in a line; none where there is nothing more to say.
    pub fn detail(&self) -> Option<String> {
        self.metric.detail(&self.sums())
    }

    /// The score of each segment by itself, as sacreBLEU's `sentence_score`.
    ///
    /// BLEU wants [`effective_order`](crate::Bleu::effective_order) for these.
    pub fn segment_scores(&self) -> Vec<f64> {
        let scores = (0..self.segments).map(|i| self.metric.score_of(self.row(i)));
        scores.collect()
    }

    /// The score of each bucket of segments by itself; segment `i` falls in the bucket `keys[i]`.
    ///
    /// # Errors
    ///
    /// If there is not one key a segment.
    pub fn by_bucket<K: Ord + Clone>(&self, keys: &[K]) -> Result<BTreeMap<K, BucketScore>> {
        if keys.len() != self.segments() {
            return Err(Error::UnequalCounts {
                hypotheses: self.segments(),
                what: "bucket keys",
                others: keys.len(),
            });
        }
        let mut buckets = BTreeMap::<&K, Vec<usize>>::new();
        for (i, key) in keys.iter().enumerate() {
            buckets.entry(key).or_default().push(i);
        }
        let scored = buckets.into_iter().map(|(key, members)| {
            let score = BucketScore {
                segments: members.len(),
                score: self.metric.score_of(&self.sums_of(members)),
            };
            (key.clone(), score)
        });
        Ok(scored.collect())
    }

    /// What to report beside the score, such as
    /// `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0`.
    pub fn signature(&self) -> String {
        self.signature_with("")
    }

    pub(crate) fn signature_with(&self, resampling: &str) -> String {
        signature(self.metric, &self.nrefs, resampling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bleu, Metric, Rouge};

    #[test]
    fn buckets_and_segments_are_scored_by_themselves() {
        let hypotheses = ["a b", "a", "c d e"];
        let references = [["a b"], ["x"], ["c d f"]];
        let metric = Rouge::default();
        let statistics = Statistics::new(&metric, &hypotheses, &references).unwrap();
        let scores = statistics.segment_scores();
        assert_eq!((scores[0], scores[1]), (100.0, 0.0));
        let buckets = statistics.by_bucket(&[1, 1, 2]).unwrap();
        assert_eq!((buckets[&1].segments, buckets[&1].score), (2, 50.0));
        assert_eq!(buckets[&2].score, scores[2]);
        assert!(statistics.by_bucket(&[1, 2]).is_err());
    }

    #[test]
    fn each_metric_has_the_same_score_by_either_way() {
        let hypotheses = ["the cat sat on a mat", "dogs bark at night"];
        let references = [["the cat sat on the mat"], ["dogs often bark at night"]];
        for metric in Metric::ALL {
            let boxed = metric.corpus_metric();
            let statistics = Statistics::new(boxed.as_ref(), &hypotheses, &references).unwrap();
            let score = metric.score(&hypotheses, &references).unwrap();
            assert_eq!(statistics.score(), score, "{metric}");
        }
    }

    #[test]
    fn a_signature_has_all_its_parts() {
        let bleu = Bleu::default();
        let statistics = Statistics::new(&bleu, &["a"], &[["a", "b"]]).unwrap();
        assert_eq!(
            statistics.signature_with("bs:9|seed:1"),
            "nrefs:2|bs:9|seed:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
        );
    }
}
