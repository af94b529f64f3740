use att_core::ops::CrossEntropy;
use att_core::special::PAD;
use att_core::{EncoderOutput, rows};
use att_data::{Batch, Padded};
use att_decoder::search::{Found, Hypothesis, Request, SearchConfig};
use att_decoder::{AnyDecoder, CopyIds, Decoder, Features};
use att_encoder::Encoder;
use att_layers::Embedding;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::together::Together;

/// An encoder, a decoder, and the tables of tokens they read.
#[derive(Module, Debug)]
pub struct Seq2Seq {
    /// The table of source tokens; the decoder's where tied.
    pub src_embedding: Option<Embedding>,
    /// Makes one state of each source token.
    pub encoder: Encoder,
    /// Predicts the target; has the table of target tokens.
    pub decoder: AnyDecoder,
}

/// What [`Seq2Seq::forward`] computes.
#[derive(Clone, Debug)]
pub struct ForcedOutput {
    /// What the scores at each real target position are made of, row after row, `n` of them.
    /// [`Seq2Seq::logits`] and [`Seq2Seq::cross_entropy`] go on from there.
    pub features: Features,
    /// The token that stands there, `n` of them; where the model copies, of the extended vocabulary.
    pub gold: Vec<u32>,
    /// Attention weights over the states of the memory, `[batch, tgt_len, src_len]`: one a source
    /// token, or fewer ([`Encoder::tokens_per_state`]); none without attention.
    pub weights: Option<Tensor<3>>,
    /// Those of all heads, `[batch, n_heads, tgt_len, src_len]`, one for each layer of a Transformer or
    /// block of a convolutional decoder; empty of other decoders.
    pub head_weights: Vec<Tensor<4>>,
    /// What training adds to the cross-entropy, `[1]`: the mean over the real target positions of what
    /// the decoder's parts ask for, such as a coverage loss; none where nothing is added.
    pub auxiliary_loss: Option<Tensor<1>>,
}

impl Seq2Seq {
    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.decoder.embedding().weight.val().device()
    }

    /// Number of source tokens in the table.
    pub fn src_vocab(&self) -> usize {
        self.src_embedding().vocab()
    }

    /// Number of target tokens in the table.
    pub fn tgt_vocab(&self) -> usize {
        self.decoder.vocab()
    }

    fn src_embedding(&self) -> &Embedding {
        match &self.src_embedding {
            Some(embedding) => embedding,
            None => self.decoder.embedding(),
        }
    }

    /// Encodes a padded batch of sources.
    ///
    /// # Panics
    ///
    /// If a row is empty.
    pub fn encode(&self, src: &Padded) -> EncoderOutput {
        self.encode_embedded(self.embed(src), &src.lengths)
    }

    /// The vectors of a padded batch of sources, `[batch, src_len, d_embed]`.
    pub fn embed(&self, src: &Padded) -> Tensor<3> {
        self.src_embedding().forward(self.ids(src, 0..src.cols))
    }

    /// [`encode`](Self::encode) of vectors at hand, such as [`embed`](Self::embed) gives, of which `lengths`
    /// are real.
    ///
    /// # Panics
    ///
    /// If a row is empty.
    pub fn encode_embedded(&self, embedded: Tensor<3>, lengths: &[usize]) -> EncoderOutput {
        self.encoder.forward(embedded, lengths)
    }

    /// Runs over known targets (teacher forcing), up to the output layer.
    pub fn forward(&self, batch: &Batch) -> ForcedOutput {
        self.forward_reading(batch, batch)
    }

    /// The same, but the encoder and the decoder read the ids of `read` while the gold tokens are those
    /// of `batch`; lengths are the same. Word dropout is of this kind.
    pub fn forward_reading(&self, read: &Batch, batch: &Batch) -> ForcedOutput {
        self.forward_encoded(&self.encode(&read.src), read, batch)
    }

    /// The same of sources that are encoded already.
    pub fn forward_encoded(
        &self,
        source: &EncoderOutput,
        read: &Batch,
        batch: &Batch,
    ) -> ForcedOutput {
        let tgt = &batch.tgt;
        let steps = tgt.cols - 1;
        // The decoder reads each target without its EOS.
        let tgt_lengths: Vec<usize> = tgt.lengths.iter().map(|length| length - 1).collect();
        let output = self
            .decoder
            .forward(self.ids(&read.tgt, 0..steps), &tgt_lengths, source);

        let (mut positions, mut gold) = (Vec::new(), Vec::new());
        for row in 0..tgt.rows {
            for (step, &id) in tgt.ids[row * tgt.cols..][1..=steps].iter().enumerate() {
                if id != PAD {
                    positions.push(row * steps + step);
                    gold.push(id);
                }
            }
        }
        let copy_ids = self.copy_ids(batch);
        let features = output.at(&positions, copy_ids.as_ref());
        let auxiliary_loss = output.auxiliary_loss.map(|loss| {
            let positions = rows::indices(&positions, &self.device());
            loss.flatten::<1>(0, 1).select(0, positions).mean()
        });
        ForcedOutput {
            features,
            gold,
            weights: output.weights,
            head_weights: output.head_weights,
            auxiliary_loss,
        }
    }

    /// Raw scores at each real target position, `[n, vocab]`; of a model that copies
    /// `[n, vocab + n_extra]`, see [`CopyGate`](att_decoder::CopyGate).
    pub fn logits(&self, output: &ForcedOutput) -> Tensor<2> {
        self.decoder.logits(output.features.clone())
    }

    /// How well the gold tokens are predicted; `smoothing` as in
    /// [`linear_cross_entropy`](att_core::ops::linear_cross_entropy()).
    ///
    /// # Panics
    ///
    /// If there is no gold token.
    pub fn cross_entropy(&self, output: &ForcedOutput, smoothing: f64) -> CrossEntropy {
        let features = output.features.clone();
        self.decoder
            .cross_entropy(features, &output.gold, smoothing)
    }

    /// The best hypotheses for each source, with nothing asked of their targets; see
    /// [`search_requests`](Self::search_requests).
    pub fn search(&self, batch: &Batch, config: &SearchConfig) -> Vec<Vec<Hypothesis>> {
        let request = |row| Request::new(batch.src.row(row));
        let found = self.search_requests(batch, (0..batch.src.rows).map(request).collect(), config);
        found.into_iter().map(|found| found.hypotheses).collect()
    }

    /// What is found for each source as it was asked for. The attention weights of hypotheses are over
    /// source tokens: where a state of the memory stands for several ([`Encoder::tokens_per_state`]), its
    /// weight is spread over them evenly. The targets of the batch are not read.
    ///
    /// # Panics
    ///
    /// If there is not one request a source, or the model copies and the batch has no `copy_ids` or a
    /// request has `allowed` tokens.
    pub fn search_requests(
        &self,
        batch: &Batch,
        requests: Vec<Request>,
        config: &SearchConfig,
    ) -> Vec<Found> {
        Together::alone(self).search(vec![batch.clone()], requests, config)
    }

    /// The weights of a step over the states of a source (and padding), as weights over its `length`
    /// tokens: [`over_tokens`].
    pub(crate) fn over_tokens(&self, weights: &[f32], length: usize) -> Vec<f32> {
        let tokens_per_state = self.encoder.tokens_per_state();
        let states = length.div_ceil(tokens_per_state);
        over_tokens(&weights[..states], tokens_per_state, length)
    }

    /// What may be copied, if the model copies and the batch says it: see [`Copying`](att_decoder::Copying).
    pub fn copy_ids(&self, batch: &Batch) -> Option<CopyIds> {
        self.decoder.head().output.copy.as_ref()?;
        let ids = batch.copy_ids.as_ref()?;
        let past_last = ids.ids.iter().max().map_or(0, |&id| id as usize + 1);
        Some(CopyIds {
            ids: self.ids(ids, 0..ids.cols),
            n_extra: past_last.saturating_sub(self.tgt_vocab()),
        })
    }

    /// Some columns of a padded matrix as a tensor, `[rows, cols]`.
    fn ids(&self, padded: &Padded, cols: std::ops::Range<usize>) -> Tensor<2, Int> {
        let shape = [padded.rows, cols.len()];
        let rows = padded.ids.chunks_exact(padded.cols);
        let ids: Vec<i64> = rows
            .flat_map(|row| row[cols.clone()].iter().map(|&id| i64::from(id)))
            .collect();
        Tensor::from_data(TensorData::new(ids, shape), &self.device())
    }
}

/// The weights of states, each spread evenly over the source tokens that it stands for; the last
/// state may stand for fewer, so that there are `length`.
fn over_tokens(weights: &[f32], tokens_per_state: usize, length: usize) -> Vec<f32> {
    let states = weights.iter().enumerate();
    states
        .flat_map(|(state, weight)| {
            let tokens = tokens_per_state.min(length - state * tokens_per_state);
            std::iter::repeat_n(weight / tokens as f32, tokens)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_a_state_is_spread_over_its_tokens() {
        assert_eq!(
            over_tokens(&[0.5, 0.25, 0.25], 4, 10),
            [[0.125; 4], [0.0625; 4]]
                .concat()
                .into_iter()
                .chain([0.125; 2])
                .collect::<Vec<f32>>()
        );
        assert_eq!(over_tokens(&[1.0], 8, 1), [1.0]);
    }
}
