//! What all metrics here have in common: sums over segments, and a score of these sums.

use crate::Result;
use crate::segment::Segment;
use crate::signature::sacrebleu_version;

/// A metric whose score of a corpus is a function of sums over its segments.
///
/// ```text
/// score(corpus) = score_of(sum over segments of statistics(segment))
/// ```
///
/// Whoever has each segment's [`statistics`](Self::statistics) has the score of any selection of
/// segments without a look at the text: of one segment, of those of a length, of a resampled
/// corpus. [`Statistics`](crate::Statistics) holds them.
pub trait CorpusMetric {
    /// The name that is printed with a score, such as `BLEU` or `chrF2++`.
    fn name(&self) -> String;

    /// The options, as the signature has them, such as `case:mixed|eff:no|tok:13a|smooth:exp`.
    fn options(&self) -> String;

    /// Whose numbers these are: what ends the signature.
    fn version(&self) -> String {
        sacrebleu_version()
    }

    /// Whether a better output has the higher score.
    fn higher_is_better(&self) -> bool;

    /// What a segment adds to the sums; as many numbers for each segment.
    ///
    /// # Errors
    ///
    /// If the metric can't read the segment; the metrics of text read any.
    fn statistics(&self, segment: &Segment) -> Result<Vec<f64>>;

    /// The score of these sums, in percent.
    fn score_of(&self, sums: &[f64]) -> f64;

    /// What a score is made of, in a line; none where there is nothing more to say.
    fn detail(&self, _sums: &[f64]) -> Option<String> {
        None
    }
}
