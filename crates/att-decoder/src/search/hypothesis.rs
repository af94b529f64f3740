use serde::{Deserialize, Serialize};

/// A target sequence that a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hypothesis {
    /// The tokens, without BOS and EOS.
    pub tokens: Vec<u32>,
    /// What hypotheses are ranked by: the log-probability with all that search adds to it.
    pub score: f64,
    /// Natural logarithm of the probability of the tokens and EOS, given the source.
    pub log_prob: f64,
    /// That of each token, EOS the last.
    pub token_log_probs: Vec<f32>,
    /// What makes the score of the log-probability.
    pub terms: ScoreTerms,
    /// The attention weights of each step, EOS the last, over the states of the memory (padding
    /// left out): one a source token, or fewer; none without attention.
    pub weights: Option<Vec<Vec<f32>>>,
}

/// What search adds to a log-probability; all zero unless asked for:
///
/// ```text
/// score = log_prob + repetition + length + coverage
///       = (log_prob + repetition) / length_penalty + coverage
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreTerms {
    /// What the repetition penalty makes the tokens less (or, of rivals, more) probable.
    pub repetition: f64,
    /// What dividing by the length penalty adds.
    pub length: f64,
    /// The coverage penalty.
    pub coverage: f64,
}

impl ScoreTerms {
    /// The sum of the terms.
    pub fn sum(&self) -> f64 {
        self.repetition + self.length + self.coverage
    }
}
