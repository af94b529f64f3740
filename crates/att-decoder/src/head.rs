use att_core::ops::{self, CrossEntropy};
use att_core::special::UNK;
use att_layers::Embedding;
use burn::tensor::{Int, Tensor};

use crate::copy::{extended_cross_entropy, extended_scores, known};
use crate::{Copies, CopyGate, DecoderMemory, Features, OutputColumns, OutputLayer};

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
    /// The vectors of tokens, `[batch, len]`, as `[batch, len, d_embed]`; a copied one that the
    /// vocabulary lacks has that of UNK.
    pub fn embed(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let tokens = match self.output.copy {
            Some(_) => {
                let is_extra = tokens.clone().greater_equal_elem(self.vocab() as i64);
                tokens.mask_fill(is_extra, i64::from(UNK))
            }
            None => tokens,
        };
        self.embedding.forward(tokens)
    }

    /// Raw scores of the next token, `[n, vocab]`; of a decoder that copies, those of the extended
    /// vocabulary, `[n, vocab + n_extra]`: see [`CopyGate`].
    ///
    /// # Panics
    ///
    /// If a decoder that copies is not told what.
    pub fn logits(&self, features: Features) -> Tensor<2> {
        let (weight, bias) = self.output.weights(self.embedding);
        let scores = ops::linear(features.vectors.clone(), weight, bias);
        match self.copies(features) {
            Some((gate, copies)) => extended_scores(scores, gate, copies),
            None => scores,
        }
    }

    /// The output layer's columns of the tokens that each source may have: see
    /// [`DecoderMemory::with_allowed`].
    ///
    /// # Panics
    ///
    /// Of a decoder that copies, whose scores are not those of columns.
    pub fn columns(&self, allowed: &[Vec<u32>]) -> OutputColumns {
        assert!(
            self.output.copy.is_none(),
            "a decoder that copies has no shortlist"
        );
        self.output.columns(self.embedding, allowed)
    }

    /// What a step of search needs: all scores, or those of the memory's
    /// [columns](DecoderMemory::columns).
    ///
    /// - `vectors`: what the output layer reads, `[rows, 1, d_features]`
    /// - `weights`: over the source, `[rows, src_len]`; none without attention
    pub(crate) fn step(
        &self,
        vectors: Tensor<3>,
        weights: Option<&Tensor<2>>,
        memory: &DecoderMemory,
    ) -> Tensor<2> {
        let [rows, _, _] = vectors.dims();
        let vectors = vectors.squeeze_dim(1);
        if let Some(columns) = &memory.columns {
            return columns.forward(vectors);
        }
        let copies = memory.copy_ids.as_ref().zip(weights);
        let copies = copies.map(|(ids, weights)| Copies {
            weights: weights.clone(),
            ids: ids.repeat(rows / memory.batch),
        });
        self.logits(Features { vectors, copies })
    }

    /// How well the scores predict `gold`; see [`ops::linear_cross_entropy()`]. Of a decoder that
    /// copies the same of the extended vocabulary: see [`CopyGate`].
    ///
    /// # Panics
    ///
    /// If there is not one gold token a row or no row, a gold token is not in the vocabulary, or a
    /// decoder that copies is not told what.
    pub fn cross_entropy(&self, features: Features, gold: &[u32], smoothing: f64) -> CrossEntropy {
        let (weight, bias) = self.output.weights(self.embedding);
        let vectors = features.vectors.clone();
        match self.copies(features) {
            Some((gate, copies)) => {
                let vocab = self.vocab();
                let known: Vec<u32> = gold.iter().map(|&id| known(id, vocab)).collect();
                let terms = ops::linear_log_probs(vectors, weight, bias, &known);
                extended_cross_entropy(terms, gate, copies, gold, vocab, smoothing)
            }
            None => ops::linear_cross_entropy(vectors, weight, bias, gold, smoothing),
        }
    }

    /// The log-probability of each of `n` tokens, `[n]`, in nats: [`ops::linear_log_probs()`].
    ///
    /// # Panics
    ///
    /// As of [`cross_entropy`](Self::cross_entropy), and of a decoder that copies.
    pub fn log_probs(&self, features: Features, tokens: &[u32]) -> Tensor<1> {
        assert!(self.output.copy.is_none(), "of the vocabulary alone");
        let (weight, bias) = self.output.weights(self.embedding);
        ops::linear_log_probs(features.vectors, weight, bias, tokens).of_gold
    }

    /// Number of tokens.
    pub fn vocab(&self) -> usize {
        self.embedding.vocab()
    }

    /// What may be copied, and z of [`CopyGate`], `[n, 1]`; none of a decoder that does not copy.
    fn copies(&self, features: Features) -> Option<(Tensor<2>, Copies)> {
        let gate: &CopyGate = self.output.copy.as_ref()?;
        let copies = features.copies;
        let copies = copies.expect("a decoder that copies needs to know what: see `Copying`");
        Some((gate.forward(features.vectors), copies))
    }
}
