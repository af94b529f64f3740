//! BLEU over a corpus or a sentence, equal to sacreBLEU's.

mod smoothing;
pub(crate) mod tokenizer;

pub use smoothing::Smoothing;
pub use tokenizer::BleuTokenizer;

use crate::ngram::{Counts, count};
use crate::segment::Segment;
use crate::signature::{case, yes_no};
use crate::text::{fold_case, is_space, words};
use crate::{CorpusMetric, Result, Statistics};
use std::fmt;

/// The longest n-grams that BLEU looks at.
const MAX_ORDER: usize = 4;

/// How to compute BLEU (Papineni et al. 2002); the defaults are sacreBLEU's (Post 2018).
///
/// With `m_n` the n-grams of order n that hypotheses share with their references, each counted at
/// most as often as in one reference, `t_n` all n-grams of the hypotheses, `c` the length of the
/// hypotheses and `r` that of the references,
///
/// ```text
/// p_n  = 100 * m_n / t_n                      for n = 1 to 4
/// BP   = min(1, exp(1 - r / c))
/// BLEU = BP * exp((ln p_1 + ... + ln p_4) / 4)
/// ```
///
/// Of several references the length counts that is closest to the hypothesis's, and the shorter one
/// of two equally close. The counts are summed over the corpus before anything is divided, so this
/// is not a mean of sentence scores.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bleu {
    /// How text falls into tokens. Default: [`BleuTokenizer::V13a`].
    pub tokenizer: BleuTokenizer,
    /// What an order without matches counts. Default: [`Smoothing::Exp`].
    pub smoothing: Smoothing,
    /// Whether to leave out the orders that are longer than every hypothesis, as scores of single
    /// sentences want it. Default: no.
    pub effective_order: bool,
    /// Whether to ignore case. Default: no.
    pub lowercase: bool,
}

/// BLEU and what it is made of. Its `Display` is sacreBLEU's line.
#[derive(Debug, Clone, PartialEq)]
pub struct BleuScore {
    /// BLEU, from 0 to 100.
    pub score: f64,
    /// The smoothed precision of each order, in percent.
    pub precisions: [f64; MAX_ORDER],
    /// The shared n-grams of each order, before smoothing.
    pub matches: [usize; MAX_ORDER],
    /// The hypotheses' n-grams of each order, before smoothing.
    pub totals: [usize; MAX_ORDER],
    /// The brevity penalty, from 0 to 1.
    pub brevity_penalty: f64,
    /// Tokens in the hypotheses.
    pub hyp_len: usize,
    /// Tokens in the references, the one of closest length for each item.
    pub ref_len: usize,
    /// What to report beside the score, such as
    /// `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0`.
    pub signature: String,
}

impl Bleu {
    /// Scores hypotheses against one or several references each.
    ///
    /// # Errors
    ///
    /// If there are no hypotheses, if hypotheses and reference lists differ in number, or if an
    /// item has no reference.
    pub fn score<H, R, S>(&self, hypotheses: &[H], references: &[R]) -> Result<BleuScore>
    where
        H: AsRef<str>,
        R: AsRef<[S]>,
        S: AsRef<str>,
    {
        let statistics = Statistics::new(self, hypotheses, references)?;
        Ok(BleuScore {
            signature: statistics.signature(),
            ..self.score_of_sums(&Sums::from_row(&statistics.sums()))
        })
    }

    fn score_of_sums(&self, sums: &Sums) -> BleuScore {
        let brevity_penalty = brevity_penalty(sums.hyp_len, sums.ref_len);
        let (precisions, orders) = self.precisions(&sums.matches, &sums.totals);
        let log_sum: f64 = precisions[..orders].iter().map(|p| p.ln()).sum();
        BleuScore {
            score: brevity_penalty * (log_sum / orders as f64).exp(),
            precisions,
            matches: sums.matches,
            totals: sums.totals,
            brevity_penalty,
            hyp_len: sums.hyp_len,
            ref_len: sums.ref_len,
            signature: String::new(),
        }
    }

    /// One item's n-grams and lengths.
    fn sums(&self, segment: &Segment) -> Sums {
        let hypothesis = self.tokenize(segment.hypothesis);
        let hypothesis = words(&hypothesis);
        let references: Vec<String> = segment
            .references
            .iter()
            .map(|text| self.tokenize(text))
            .collect();
        let references: Vec<Vec<&str>> = references.iter().map(|text| words(text)).collect();

        let hyp_len = hypothesis.len();
        let ref_lens = references.iter().map(Vec::len);
        let closest = ref_lens.min_by_key(|&len| (len.abs_diff(hyp_len), len));
        let mut sums = Sums {
            hyp_len,
            ref_len: closest.unwrap_or(0),
            ..Sums::default()
        };
        for order in 1..=MAX_ORDER {
            let references: Vec<Counts<&str>> =
                references.iter().map(|words| count(words, order)).collect();
            for (ngram, occurrences) in count(&hypothesis, order) {
                let in_references = references.iter().filter_map(|counts| counts.get(ngram));
                let most = in_references.max().copied().unwrap_or(0);
                sums.totals[order - 1] += occurrences;
                sums.matches[order - 1] += occurrences.min(most);
            }
        }
        sums
    }

    fn tokenize(&self, text: &str) -> String {
        let text = fold_case(text, self.lowercase);
        self.tokenizer.tokenize(text.trim_end_matches(is_space))
    }

    /// The smoothed precisions, and how many of them count.
    fn precisions(
        &self,
        matches: &[usize; MAX_ORDER],
        totals: &[usize; MAX_ORDER],
    ) -> ([f64; MAX_ORDER], usize) {
        let mut precisions = [0.0; MAX_ORDER];
        let mut orders = MAX_ORDER;
        // Without a single match smoothing would invent a score.
        if matches.iter().all(|&count| count == 0) {
            return (precisions, orders);
        }
        let mut halved = 1.0;
        for (n, precision) in precisions.iter_mut().enumerate() {
            let (mut matches, mut total) = (matches[n] as f64, totals[n] as f64);
            if let Smoothing::AddK(k) = self.smoothing
                && n > 0
            {
                matches += k;
                total += k;
            }
            if total == 0.0 {
                break;
            }
            if self.effective_order {
                orders = n + 1;
            }
            *precision = if matches > 0.0 {
                100.0 * matches / total
            } else {
                match self.smoothing {
                    Smoothing::Exp => {
                        halved *= 2.0;
                        100.0 / (halved * total)
                    }
                    Smoothing::Floor(value) => 100.0 * value / total,
                    Smoothing::AddK(_) | Smoothing::None => 0.0,
                }
            };
        }
        (precisions, orders)
    }
}

impl CorpusMetric for Bleu {
    fn name(&self) -> String {
        "BLEU".to_owned()
    }

    fn options(&self) -> String {
        format!(
            "case:{}|eff:{}|tok:{}|smooth:{}",
            case(self.lowercase),
            yes_no(self.effective_order),
            self.tokenizer,
            self.smoothing,
        )
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn statistics(&self, segment: &Segment) -> Result<Vec<f64>> {
        Ok(self.sums(segment).to_row())
    }

    fn score_of(&self, sums: &[f64]) -> f64 {
        self.score_of_sums(&Sums::from_row(sums)).score
    }

    fn detail(&self, sums: &[f64]) -> Option<String> {
        Some(self.score_of_sums(&Sums::from_row(sums)).detail())
    }
}

impl BleuScore {
    /// What sacreBLEU prints behind the score.
    fn detail(&self) -> String {
        let ratio = if self.ref_len == 0 {
            0.0
        } else {
            self.hyp_len as f64 / self.ref_len as f64
        };
        let [p1, p2, p3, p4] = self.precisions;
        format!(
            "{p1:.1}/{p2:.1}/{p3:.1}/{p4:.1} (BP = {:.3} ratio = {ratio:.3} hyp_len = {} ref_len = {})",
            self.brevity_penalty, self.hyp_len, self.ref_len,
        )
    }
}

impl fmt::Display for BleuScore {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "BLEU = {:.2} {}", self.score, self.detail())
    }
}

/// What a corpus is reduced to before BLEU is computed.
#[derive(Default)]
struct Sums {
    hyp_len: usize,
    ref_len: usize,
    matches: [usize; MAX_ORDER],
    totals: [usize; MAX_ORDER],
}

impl Sums {
    fn to_row(&self) -> Vec<f64> {
        let lengths = [self.hyp_len, self.ref_len];
        let counts = lengths.iter().chain(&self.matches).chain(&self.totals);
        counts.map(|&count| count as f64).collect()
    }

    /// The other way; counts are whole below 2^53.
    fn from_row(row: &[f64]) -> Self {
        let counts = |from: usize| std::array::from_fn(|i| row[from + i] as usize);
        Self {
            hyp_len: row[0] as usize,
            ref_len: row[1] as usize,
            matches: counts(2),
            totals: counts(2 + MAX_ORDER),
        }
    }
}

fn brevity_penalty(hyp_len: usize, ref_len: usize) -> f64 {
    if hyp_len >= ref_len {
        1.0
    } else {
        // An empty hypothesis divides by zero, and exp(-inf) is the 0 that it deserves.
        (1.0 - ref_len as f64 / hyp_len as f64).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bleu(hypothesis: &str, reference: &str) -> BleuScore {
        Bleu::default()
            .score(&[hypothesis], &[[reference]])
            .unwrap()
    }

    #[test]
    fn identical_text_scores_100() {
        let score = bleu("The cat sat on the mat.", "The cat sat on the mat.");
        assert!((score.score - 100.0).abs() < 1e-9);
        assert_eq!(
            score.to_string(),
            "BLEU = 100.00 100.0/100.0/100.0/100.0 (BP = 1.000 ratio = 1.000 hyp_len = 7 ref_len = 7)"
        );
    }

    #[test]
    fn text_without_a_common_word_scores_0() {
        let score = bleu("one two three four five", "six seven eight nine ten");
        assert_eq!(score.score, 0.0);
        assert_eq!(score.precisions, [0.0; 4]);
    }

    #[test]
    fn a_repeated_word_counts_once() {
        // The example of Papineni et al. 2002, section 2.1: 2 of 7.
        let score = bleu("the the the the the the the", "the cat is on the mat");
        assert_eq!(score.matches[0], 2);
        assert_eq!(score.totals[0], 7);
    }

    #[test]
    fn a_short_hypothesis_pays_the_brevity_penalty() {
        let score = bleu("a b c d", "a b c d e f g h");
        assert_eq!(score.brevity_penalty, (-1.0_f64).exp());
        assert!((score.score - 100.0 * score.brevity_penalty).abs() < 1e-9);
        assert_eq!(bleu("", "a").brevity_penalty, 0.0);
    }

    #[test]
    fn the_closest_length_counts_and_the_shorter_of_two() {
        let references = [["a b", "a b c d", "a b c d e f"]];
        let score = Bleu::default().score(&["a b c"], &references).unwrap();
        assert_eq!(score.ref_len, 2);
    }

    #[test]
    fn a_short_sentence_needs_the_effective_order() {
        let effective = Bleu {
            effective_order: true,
            ..Bleu::default()
        };
        let score = |bleu: Bleu| {
            bleu.score(&["hello world"], &[["hello world"]])
                .unwrap()
                .score
        };
        assert_eq!(score(Bleu::default()), 0.0);
        assert!((score(effective) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn the_order_of_the_items_does_not_matter() {
        let hypotheses = ["the cat sat on a mat", "dogs bark at night"];
        let references = [["the cat sat on the mat"], ["dogs often bark at night"]];
        let forward = Bleu::default().score(&hypotheses, &references).unwrap();
        let backward = Bleu::default()
            .score(
                &[hypotheses[1], hypotheses[0]],
                &[references[1], references[0]],
            )
            .unwrap();
        assert_eq!(forward, backward);
    }
}
