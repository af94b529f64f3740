//! The pass over known targets, of one model or several.

use std::slice;

use att_core::host_vec;
use att_core::ops::{Choice, mixed_log_probs, top_log_probs};
use att_data::Batch;
use att_decoder::Decoder;
use burn::tensor::Tensor;

use crate::together::Together;
use crate::{HeadWeights, Seq2Seq};

/// The greatest number of logits of a model that exist at a time.
const MAX_LOGITS: usize = 1 << 24;

/// What models say of a row's target: [`force`].
#[derive(Clone, Debug)]
pub struct Forced {
    /// The log-probability of each token, EOS the last, in nats.
    pub token_log_probs: Vec<f32>,
    /// For each of them the attention weights over the source's tokens, EOS included; none without attention.
    pub weights: Option<Vec<Vec<f32>>>,
    /// As those of a [`Candidate`](crate::Candidate); empty unless asked for.
    pub head_weights: HeadWeights,
}

/// Runs over the known targets of a batch (forced decoding), a result a row; `heads` says whether the weights
/// of each layer and head are wanted.
///
/// # Panics
///
/// If the model copies and the batch has no `copy_ids`.
pub fn force(model: &Seq2Seq, batch: &Batch, heads: bool) -> Vec<Forced> {
    Together::alone(model).force(slice::from_ref(batch), heads)
}

impl Together<'_> {
    /// Runs over the known targets of a batch.
    ///
    /// - `batches`: for each model the batch as it reads it; the targets are the same
    /// - `heads`: whether the weights of each layer and head are wanted; of several models there are none
    pub fn force(&self, batches: &[Batch], heads: bool) -> Vec<Forced> {
        let of_models = || self.models.iter().zip(batches);
        let mut outputs: Vec<_> = of_models()
            .map(|(model, batch)| model.forward(batch))
            .collect();
        let gold = outputs[0].gold.clone();
        let at_a_time = (MAX_LOGITS / self.models[0].tgt_vocab()).max(1);
        let mut log_probs = Vec::with_capacity(gold.len());
        for start in (0..gold.len()).step_by(at_a_time) {
            let n = at_a_time.min(gold.len() - start);
            let logits = self.models.iter().zip(&outputs).map(|(model, output)| {
                let features = output.features.narrow(start, n);
                model.decoder.logits(features)
            });
            let gold = &gold[start..start + n];
            let choices: Vec<Choice> = gold.iter().map(|&id| Choice::Only(id)).collect();
            let found = top_log_probs(self.mixed(logits.collect()), 1, &choices);
            log_probs.extend(found.into_iter().map(|best| best[0].log_prob));
        }
        let mut log_probs = log_probs.into_iter();

        let reported = if self.same_sources() {
            outputs.len()
        } else {
            1
        };
        let weights: Vec<(&Seq2Seq, HostRows)> = self
            .models
            .iter()
            .zip(&mut outputs)
            .take(reported)
            .filter_map(|(model, output)| Some((*model, host_rows(output.weights.take()?))))
            .collect();
        let layers: Vec<Vec<HostRows>> = match &mut outputs[..] {
            [alone] if heads => alone.head_weights.drain(..).map(heads_of_layer).collect(),
            _ => Vec::new(),
        };
        let batch = &batches[0];
        (0..batch.tgt.rows)
            .map(|row| {
                let tgt_len = batch.tgt.lengths[row] - 1; // without BOS
                let src_len = batch.src.lengths[row];
                let of_row =
                    |model, weights: &HostRows| weights.of_row(model, row, tgt_len, src_len);
                let of_layer = |heads: &Vec<HostRows>| {
                    heads
                        .iter()
                        .map(|head| of_row(self.models[0], head))
                        .collect()
                };
                let of_models = weights
                    .iter()
                    .map(|(model, weights)| of_row(model, weights));
                Forced {
                    token_log_probs: log_probs.by_ref().take(tgt_len).collect(),
                    weights: mean(of_models.collect()),
                    head_weights: layers.iter().map(of_layer).collect(),
                }
            })
            .collect()
    }

    /// The logits of several models as one's.
    fn mixed(&self, mut logits: Vec<Tensor<2>>) -> Tensor<2> {
        if logits.len() == 1 {
            return logits.remove(0);
        }
        let weights: Vec<f32> = self.weights.iter().map(|&weight| weight as f32).collect();
        mixed_log_probs(logits, &weights, self.mixture)
    }
}

/// None of nothing.
fn mean(mut of_models: Vec<Vec<Vec<f32>>>) -> Option<Vec<Vec<f32>>> {
    let n = of_models.len() as f32;
    let mut mean = of_models.pop()?;
    for (t, row) in mean.iter_mut().enumerate() {
        for (s, weight) in row.iter_mut().enumerate() {
            *weight = of_models.iter().fold(*weight, |sum, of| sum + of[t][s]) / n;
        }
    }
    Some(mean)
}

/// Weights `[batch, tgt_len, n_states]` on the host.
struct HostRows {
    weights: Vec<f32>,
    tgt_len: usize,
    n_states: usize,
}

fn host_rows(weights: Tensor<3>) -> HostRows {
    let [_, tgt_len, n_states] = weights.dims();
    HostRows {
        weights: host_vec(weights),
        tgt_len,
        n_states,
    }
}

/// A layer's weights `[batch, n_heads, tgt_len, n_states]`, head by head.
fn heads_of_layer(weights: Tensor<4>) -> Vec<HostRows> {
    let n_heads = weights.dims()[1];
    let head = |head| host_rows(weights.clone().narrow(1, head, 1).squeeze_dim(1));
    (0..n_heads).map(head).collect()
}

impl HostRows {
    /// The weights of a row of the batch over its source tokens, `[tgt_len][src_len]`.
    fn of_row(&self, model: &Seq2Seq, row: usize, tgt_len: usize, src_len: usize) -> Vec<Vec<f32>> {
        let rows = self.weights[row * self.tgt_len * self.n_states..].chunks_exact(self.n_states);
        let of_step = |weights| model.over_tokens(weights, src_len);
        rows.take(tgt_len).map(of_step).collect()
    }
}
