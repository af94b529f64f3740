//! What to report beside a score, so that it can be computed again.

use crate::CorpusMetric;
use crate::segment::Segment;

/// The version of sacreBLEU that BLEU, chrF and TER here agree with; it ends their signatures.
pub const SACREBLEU_VERSION: &str = "2.6.0";

/// How sacreBLEU's signatures end.
pub(crate) fn sacrebleu_version() -> String {
    format!("version:{SACREBLEU_VERSION}")
}

/// How the signatures of this crate's own metrics end.
pub(crate) fn own_version() -> String {
    concat!("version:att-eval-", env!("CARGO_PKG_VERSION")).to_owned()
}

/// The whole signature; `resampling` is empty or such as `bs:1000|seed:12345`.
pub(crate) fn signature(metric: &dyn CorpusMetric, nrefs: &str, resampling: &str) -> String {
    let parts = [
        &format!("nrefs:{nrefs}"),
        resampling,
        &metric.options(),
        &metric.version(),
    ];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("|")
}

/// The number of references an item has, or `var` where items differ.
pub(crate) fn nrefs(segments: &[Segment]) -> String {
    let mut counts = segments.iter().map(|s| s.references.len());
    let first = counts.next().unwrap_or(0);
    if counts.all(|count| count == first) {
        first.to_string()
    } else {
        "var".to_owned()
    }
}

/// `lc` or `mixed`.
pub(crate) fn case(lowercase: bool) -> &'static str {
    if lowercase { "lc" } else { "mixed" }
}

/// `yes` or `no`.
pub(crate) fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
