use att_core::ops::{self, CrossEntropy};
use att_layers::Embedding;
use burn::tensor::Tensor;

use crate::OutputLayer;

/// What a decoder knows of the target's tokens, the same of every kind: the table of their vectors
/// and the layer of their scores.
#[derive(Clone, Copy, Debug)]
pub struct TokenHead<'a> {
    /// A vector for each token.
    pub embedding: &'a Embedding,
    /// A score for each token.
    pub output: &'a OutputLayer,
}

impl TokenHead<'_> {
    /// Raw scores of the next token: `features` of `[n, d_features]` to `[n, vocab]`.
    pub fn logits(&self, features: Tensor<2>) -> Tensor<2> {
        let (weight, bias) = self.output.weights(self.embedding);
        ops::linear(features, weight, bias)
    }

    /// How well the scores predict `gold`; see [`ops::linear_cross_entropy()`].
    ///
    /// # Panics
    ///
    /// If there is not one gold token a row or no row, or a gold token is not in the vocabulary.
    pub fn cross_entropy(&self, features: Tensor<2>, gold: &[u32], smoothing: f64) -> CrossEntropy {
        let (weight, bias) = self.output.weights(self.embedding);
        ops::linear_cross_entropy(features, weight, bias, gold, smoothing)
    }
}
