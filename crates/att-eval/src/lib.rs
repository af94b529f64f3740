//! Scores for generated text: BLEU, chrF, TER, ROUGE, error rates and exact match, with confidence
//! intervals and tests of significance.
//!
//! Everything here takes hypotheses and, for each of them, one or several references, as plain
//! text. All scores are percentages. BLEU, chrF and TER equal sacreBLEU's
//! ([version](SACREBLEU_VERSION) in their signatures) to the printed digits, for corpora and for
//! single segments, and so do its confidence intervals and p-values; ROUGE equals that of Google's
//! `rouge_score` ([version](ROUGE_SCORE_VERSION)).
//!
//! ```
//! use att_eval::{Bleu, Metric, error_rates};
//!
//! let hypotheses = ["The cat sat on the mat."];
//! let references = [["The cat sat on a mat.", "A cat was sitting on the mat."]];
//! let bleu = Bleu::default().score(&hypotheses, &references)?;
//! assert_eq!(
//!     bleu.to_string(),
//!     "BLEU = 79.53 100.0/100.0/80.0/50.0 (BP = 1.000 ratio = 1.000 hyp_len = 7 ref_len = 7)"
//! );
//! assert_eq!(
//!     bleu.signature,
//!     "nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
//! );
//!
//! // Pronunciations: an item is a word, a token is a phone.
//! let rates = error_rates(&["t ah m ey t ow"], &[["t ah m aa t ow", "t ah m ey t ow"]])?;
//! assert_eq!(rates.item_error_rate(), 0.0);
//!
//! // A metric by name, for a configuration file or a command line.
//! let metric: Metric = "chrf".parse()?;
//! assert!(metric.higher_is_better());
//! assert!(metric.score(&hypotheses, &references)? > 70.0);
//! # Ok::<(), att_eval::Error>(())
//! ```
//!
//! Is one system better than another, or was it chance? Each segment is read once, and then a
//! thousand corpora are drawn from what it adds to the sums:
//!
//! ```
//! use att_eval::{Resampling, Statistics, Ter, paired_bootstrap};
//!
//! let references: Vec<[String; 1]> = (0..40).map(|i| [format!("line {i} of the text")]).collect();
//! let bad: Vec<String> = (0..40).map(|i| format!("line {} of text", i / 2)).collect();
//! let good: Vec<String> = (0..40).map(|i| format!("line {i} of text")).collect();
//! let metric = Ter::default();
//! let baseline = Statistics::new(&metric, &bad, &references)?;
//! let system = Statistics::new(&metric, &good, &references)?;
//! let found = paired_bootstrap(&baseline, &system, Resampling::BOOTSTRAP)?;
//! assert!(found.system < found.baseline && found.p_value < 0.05);
//! assert_eq!(
//!     found.signature,
//!     "nrefs:1|bs:1000|seed:12345|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0"
//! );
//! # Ok::<(), att_eval::Error>(())
//! ```
//!
//! | call | gives | source |
//! | --- | --- | --- |
//! | [`Bleu::score`] | [`BleuScore`]: BLEU, precisions, brevity penalty, lengths, signature | Papineni et al. 2002, Post 2018 |
//! | [`Chrf::score`] | [`ChrfScore`]: chrF and chrF++, signature | Popović 2015, 2017 |
//! | [`Ter::score`] | [`TerScore`]: TER, edits, signature | Snover et al. 2006 |
//! | [`Rouge::score`] | [`RougeScore`]: ROUGE-1, -2 or -L, signature | Lin 2004 |
//! | [`ErrorRate`] | SER, WER, CER, position-independent PER | Tillmann et al. 1997 |
//! | [`error_rates`] | [`ErrorRates`]: item and token error rate, kinds of edits | |
//! | [`exact_match`] | [`ExactMatch`]: the share of outputs that are right as a whole | |
//! | [`AlignmentErrorRate`] | AER of word alignments, with sure and possible links ([`PharaohLink`]) | Och and Ney 2003 |
//! | [`edit_distance`] | [`EditCounts`]: substitutions, insertions, deletions | Levenshtein 1966 |
//! | [`Statistics`] | a metric's scores of segments, of buckets, confidence intervals | Koehn 2004 |
//! | [`paired_bootstrap`], [`paired_randomisation`] | [`Comparison`]: whether two systems differ | Koehn 2004, Riezler and Maxwell 2005 |
//! | [`by_bucket`] | any score for each bucket of items, such as each source length | |
//! | [`word_f1_by_frequency`] | F1 of words by how often training has seen them | Neubig et al. 2019 |
//! | [`Metric`] | a metric chosen by name | |

mod alignment;
mod bleu;
mod bucket;
mod chrf;
mod corpus_metric;
mod edit;
mod error;
mod error_rate;
mod exact_match;
mod frequency;
mod metric;
mod ngram;
mod resample;
mod rouge;
mod segment;
mod signature;
mod statistics;
mod ter;
mod text;

pub use alignment::{AlignmentErrorRate, PharaohLink};
pub use bleu::{Bleu, BleuScore, BleuTokenizer, Smoothing};
pub use bucket::{Cutoffs, by_bucket};
pub use chrf::{Chrf, ChrfScore};
pub use corpus_metric::CorpusMetric;
pub use edit::{EditCounts, edit_distance};
pub use error::{Error, Result};
pub use error_rate::{ErrorRate, ErrorRates, ErrorUnit, error_rates};
pub use exact_match::{ExactMatch, ExactMatchRate, exact_match};
pub use frequency::{WordF1, WordFrequencies, word_f1_by_frequency};
pub use metric::Metric;
pub use resample::{Comparison, Confidence, Resampling, paired_bootstrap, paired_randomisation};
pub use rouge::{ROUGE_SCORE_VERSION, Rouge, RougeScore, RougeUnit};
pub use segment::Segment;
pub use signature::SACREBLEU_VERSION;
pub use statistics::{BucketScore, Statistics};
pub use ter::{Ter, TerScore};
