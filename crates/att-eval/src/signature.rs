//! The parts that sacreBLEU's signatures share.

use crate::segment::Segment;

/// The version of sacreBLEU that BLEU and chrF here agree with; it ends every signature.
pub const SACREBLEU_VERSION: &str = "2.6.0";

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
