//! Scores for generated text: BLEU, chrF, error rates and exact match.
//!
//! Everything here takes hypotheses and, for each of them, one or several references, as plain
//! text. All scores are percentages. BLEU and chrF equal sacreBLEU's
//! ([version](SACREBLEU_VERSION) in their signatures) to the printed digits.
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
//! | call | gives | source |
//! | --- | --- | --- |
//! | [`Bleu::score`] | [`BleuScore`]: BLEU, precisions, brevity penalty, lengths, signature | Papineni et al. 2002, Post 2018 |
//! | [`Chrf::score`] | [`ChrfScore`]: chrF and chrF++, signature | Popović 2015, 2017 |
//! | [`error_rates`] | [`ErrorRates`]: item and token error rate (WER, PER) | |
//! | [`exact_match`] | [`ExactMatch`]: the share of outputs that are right as a whole | |
//! | [`edit_distance`] | [`EditCounts`]: substitutions, insertions, deletions | Levenshtein 1966 |
//! | [`by_bucket`] | any of these for each bucket of items, such as each source length | |
//! | [`Metric`] | one figure of a metric chosen by name | |

mod bleu;
mod bucket;
mod chrf;
mod edit;
mod error;
mod error_rate;
mod exact_match;
mod metric;
mod ngram;
mod segment;
mod signature;
mod text;

pub use bleu::{Bleu, BleuScore, BleuTokenizer, Smoothing};
pub use bucket::by_bucket;
pub use chrf::{Chrf, ChrfScore};
pub use edit::{EditCounts, edit_distance};
pub use error::{Error, Result};
pub use error_rate::{ErrorRates, error_rates};
pub use exact_match::{ExactMatch, exact_match};
pub use metric::Metric;
pub use signature::SACREBLEU_VERSION;
