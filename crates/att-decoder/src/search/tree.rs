use serde::{Deserialize, Serialize};

/// All continuations that a search weighed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchTree {
    /// Parents before their children; the root, BOS, is not among them.
    pub nodes: Vec<TreeNode>,
}

/// A hypothesis that was weighed: a token behind another hypothesis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeNode {
    /// The node that it continues; none at the first step.
    pub parent: Option<usize>,
    /// How many tokens it has.
    pub step: usize,
    /// Which beam of diverse search, or which sample; 0 of one beam.
    pub group: usize,
    /// The last token.
    pub token: u32,
    /// Its log-probability.
    pub log_prob: f32,
    /// What the tokens up to here add up to, by which beams are cut: log-probabilities with the
    /// repetition penalty, without diversity.
    pub total: f64,
    /// The score of the whole, where it ended.
    pub score: Option<f64>,
    /// What became of it.
    pub fate: Fate,
    /// Its place among the hypotheses that came back, 0 the best.
    pub rank: Option<usize>,
}

/// What became of a [`TreeNode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It stayed in the beam, or search was over before it could be continued.
    Kept,
    /// Others were better.
    Pruned,
    /// It ended with EOS and kept its place.
    Ended,
}
