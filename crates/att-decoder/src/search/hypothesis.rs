/// A target sequence that a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// The tokens, without BOS and EOS.
    pub tokens: Vec<u32>,
    /// What hypotheses are ranked by: the log-probability over the length penalty.
    pub score: f64,
    /// Natural logarithm of the probability of the tokens and EOS, given the source.
    pub log_prob: f64,
    /// That of each token, EOS the last.
    pub token_log_probs: Vec<f32>,
    /// The attention weights of each step, EOS the last, over the states of the memory (padding
    /// left out): one a source token, or fewer; none without attention.
    pub weights: Option<Vec<Vec<f32>>>,
}
