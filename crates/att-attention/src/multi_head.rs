use att_core::ops::{MultiHeadInputs, multi_head_read};
use att_core::{EncoderOutput, Error, Result, check, rows};
use att_layers::{Dropout, Linear, init};
use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::AttentionMemory;

/// Configuration of [`MultiHeadAttention`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiHeadConfig {
    /// Heads of queries; 4 unless told.
    pub n_heads: usize,
    /// Heads of keys and values, each shared by as many heads of queries (Ainslie et al. 2023); as
    /// many as `n_heads` unless told, 1 is multi-query attention (Shazeer 2019).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_kv_heads: Option<usize>,
    /// Dropout on the weights; 0 unless told.
    pub dropout: f64,
}

impl Default for MultiHeadConfig {
    fn default() -> Self {
        Self {
            n_heads: 4,
            n_kv_heads: None,
            dropout: 0.0,
        }
    }
}

impl MultiHeadConfig {
    /// # Errors
    ///
    /// If a value is out of its range, or heads do not divide `d_query`.
    pub fn validate(&self, d_query: usize) -> Result<()> {
        check::size("n_heads", self.n_heads)?;
        if !d_query.is_multiple_of(self.n_heads) {
            let reason = format!("{} heads do not divide vectors of {d_query}", self.n_heads);
            return Err(Error::config("n_heads", reason));
        }
        let n_kv_heads = self.n_kv_heads();
        check::size("n_kv_heads", n_kv_heads)?;
        if !self.n_heads.is_multiple_of(n_kv_heads) {
            let reason = format!(
                "{n_kv_heads} heads of keys and values do not divide {} heads of queries",
                self.n_heads
            );
            return Err(Error::config("n_kv_heads", reason));
        }
        check::probability("dropout", self.dropout)
    }

    fn n_kv_heads(&self) -> usize {
        self.n_kv_heads.unwrap_or(self.n_heads)
    }

    /// Attention of queries of `d_query` over states of `d_memory`, with fresh weights.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) would have refused.
    pub fn init(&self, d_query: usize, d_memory: usize, device: &Device) -> MultiHeadAttention {
        if let Err(error) = self.validate(d_query) {
            panic!("{error}");
        }
        let d_key = d_query / self.n_heads * self.n_kv_heads();
        MultiHeadAttention {
            query: init::linear(d_query, d_query, true, device),
            key: init::linear(d_memory, d_key, false, device),
            value: init::linear(d_memory, d_key, true, device),
            output: init::linear(d_query, d_query, true, device),
            dropout: Dropout::new(self.dropout),
            n_heads: self.n_heads,
        }
    }
}

/// Several scaled dot products side by side (Vaswani et al. 2017, sec. 3.2.2):
///
/// ```text
/// q = W_q x + b_q        k = W_k m        v = W_v m + b_v        cut into heads
/// weights[h]  = masked_softmax(q[h] . k[h] / sqrt(d_head))       eq. 1, see multi_head_read
/// output      = W_o [sum_s weights[1] v[1]; ..; sum_s weights[n] v[n]] + b_o
/// ```
///
/// The keys have no bias: it would add the same to all scores of a query.
#[derive(Module, Debug)]
pub struct MultiHeadAttention {
    /// W_q and b_q, `[d_query, n_heads * d_head]`, where `n_heads * d_head = d_query`.
    pub query: Linear,
    /// W_k, `[d_memory, n_kv_heads * d_head]`.
    pub key: Linear,
    /// W_v and b_v, `[d_memory, n_kv_heads * d_head]`.
    pub value: Linear,
    /// W_o and b_o, `[n_heads * d_head, d_query]`.
    pub output: Linear,
    /// On the weights, in training.
    pub dropout: Dropout,
    /// Heads of queries.
    pub n_heads: usize,
}

/// What [`MultiHeadAttention`] computes.
#[derive(Clone, Debug)]
pub struct MultiHeadOutput {
    /// The projected contexts of the heads, `[batch, tgt_len, d_query]`.
    pub output: Tensor<3>,
    /// The weights of each head, before dropout: each row sums to one over what it may read and is
    /// zero elsewhere, `[batch, n_heads, tgt_len, src_len]`.
    pub weights: Tensor<4>,
}

/// Keys and values of the positions so far: the cache of [`CausalSelfAttention`], a value that goes
/// in and comes out.
///
/// [`CausalSelfAttention`]: crate::CausalSelfAttention
#[derive(Clone, Debug)]
pub struct KeyValues {
    /// `[rows, len, n_kv_heads * d_head]`
    pub keys: Tensor<3>,
    /// `[rows, len, n_kv_heads * d_head]`
    pub values: Tensor<3>,
}

impl KeyValues {
    /// How many positions they are of.
    pub fn positions(&self) -> usize {
        self.keys.dims()[1]
    }

    /// The rows named by `indices` (`[rows]`), in that order: how a beam follows its hypotheses.
    pub fn select(self, indices: Tensor<1, Int>) -> Self {
        Self {
            keys: self.keys.select(0, indices.clone()),
            values: self.values.select(0, indices),
        }
    }

    /// The last `len` positions; where there are fewer, with zeros before them.
    pub fn last(self, len: usize) -> Self {
        let [rows, now, d_key] = self.keys.dims();
        let last = |tensor: Tensor<3>| {
            if len <= now {
                return tensor.narrow(1, now - len, len);
            }
            let zeros = Tensor::zeros([rows, len - now, d_key], (&tensor.device(), tensor.dtype()));
            Tensor::cat(vec![zeros, tensor], 1)
        };
        Self {
            keys: last(self.keys),
            values: last(self.values),
        }
    }

    /// The [last](Self::last) `len` positions of these rows, and those of `more` behind them.
    ///
    /// # Panics
    ///
    /// If they are not of one attention.
    pub fn join(self, more: Self, len: usize) -> Self {
        let (first, more) = (self.last(len), more.last(len));
        Self {
            keys: rows::join(first.keys, more.keys),
            values: rows::join(first.values, more.values),
        }
    }

    /// As many rows without a position.
    pub fn none_of(&self, rows: usize) -> Self {
        let [_, _, d_key] = self.keys.dims();
        let none = || Tensor::zeros([rows, 0, d_key], (&self.keys.device(), self.keys.dtype()));
        Self {
            keys: none(),
            values: none(),
        }
    }

    /// These, and `more` positions behind them.
    pub(crate) fn followed_by(self, more: Self) -> Self {
        Self {
            keys: Tensor::cat(vec![self.keys, more.keys], 1),
            values: Tensor::cat(vec![self.values, more.values], 1),
        }
    }
}

impl MultiHeadAttention {
    /// Projects keys and values: once a source, whatever the number of steps.
    pub fn prepare(&self, source: &EncoderOutput) -> AttentionMemory {
        let KeyValues { keys, values } = self.key_values(source.memory.clone());
        AttentionMemory {
            keys,
            normaliser_keys: None,
            values,
            src_pad_mask: source.src_pad_mask.clone(),
            ends: None,
            intervention: None,
        }
    }

    /// Attention over an encoder's states.
    ///
    /// - `query`: `[batch, tgt_len, d_query]`; one row a step, all steps at once if they are known
    ///
    /// # Panics
    ///
    /// If the shapes disagree, or a size is 0.
    pub fn forward(&self, query: Tensor<3>, memory: &AttentionMemory) -> MultiHeadOutput {
        let key_values = KeyValues {
            keys: memory.keys.clone(),
            values: memory.values.clone(),
        };
        let mask = Some(memory.src_pad_mask.clone());
        let read = self.read(self.query.forward(query), key_values, mask, false);
        let Some(intervention) = &memory.intervention else {
            return read;
        };
        let weights = intervention.weights(read.weights, &memory.src_pad_mask, true);
        let context = self.context(weights.clone(), memory.values.clone());
        MultiHeadOutput {
            output: self.output.forward(context),
            weights,
        }
    }

    /// What heads with these weights read, side by side, `[batch, n, n_heads * d_head]`.
    ///
    /// - `weights`: `[batch, n_heads, n, src_len]`
    /// - `values`: `[batch, src_len, n_kv_heads * d_head]`
    fn context(&self, weights: Tensor<4>, values: Tensor<3>) -> Tensor<3> {
        let [batch, n_heads, n, src_len] = weights.dims();
        let n_kv_heads = self.n_kv_heads();
        let d_head = values.dims()[2] / n_kv_heads;
        let values = values.reshape([batch, src_len, n_kv_heads, d_head]);
        // Heads that share values are neighbours: so many more rows of theirs.
        let weights = weights.reshape([batch, n_kv_heads, n_heads / n_kv_heads * n, src_len]);
        let context = weights.matmul(values.swap_dims(1, 2));
        let context = context.reshape([batch, n_heads, n, d_head]);
        context
            .swap_dims(1, 2)
            .reshape([batch, n, n_heads * d_head])
    }

    /// Keys and values of `[batch, len, d_memory]`.
    pub(crate) fn key_values(&self, memory: Tensor<3>) -> KeyValues {
        KeyValues {
            keys: self.key.forward(memory.clone()),
            values: self.value.forward(memory),
        }
    }

    /// From projected queries to the output; see [`MultiHeadInputs`].
    pub(crate) fn read(
        &self,
        query: Tensor<3>,
        key_values: KeyValues,
        mask: Option<Tensor<2, Bool>>,
        causal: bool,
    ) -> MultiHeadOutput {
        let [batch, tgt_len, _] = query.dims();
        let shape = [batch, self.n_heads, tgt_len, key_values.positions()];
        let read = multi_head_read(MultiHeadInputs {
            dropout: self.dropout.factors(shape, &query.device()),
            query,
            keys: key_values.keys,
            values: key_values.values,
            n_heads: self.n_heads,
            mask,
            causal,
        });
        MultiHeadOutput {
            output: self.output.forward(read.context),
            weights: read.weights,
        }
    }

    /// Heads of keys and values.
    pub(crate) fn n_kv_heads(&self) -> usize {
        let [d_query, _] = self.output.weight.dims();
        let [_, d_key] = self.key.weight.dims();
        d_key / (d_query / self.n_heads)
    }
}

/// What multi-head attention of every kind must hold.
#[cfg(test)]
mod contract {
    use super::*;
    use crate::{CausalSelfAttention, Intervention, SelfAttention};
    use att_core::{DeviceSpec, mask::src_pad_mask, random};
    use att_layers::{PositionsConfig, RotaryPositionsConfig};
    use burn::tensor::TensorData;

    const D: usize = 8;
    const LENGTHS: [usize; 4] = [5, 2, 0, 1];

    fn tensor(shape: [usize; 3], device: &Device) -> Tensor<3> {
        let data = random::normal(shape.iter().product(), 1.0);
        Tensor::from_data(TensorData::new(data, shape), device)
    }

    fn each(test: impl Fn(&MultiHeadConfig, &Device)) {
        for spec in [DeviceSpec::Flex, DeviceSpec::NdArray] {
            for (n_heads, n_kv_heads) in [(1, None), (4, None), (4, Some(2)), (2, Some(1))] {
                let config = MultiHeadConfig {
                    n_heads,
                    n_kv_heads,
                    dropout: 0.0,
                };
                random::seed(11);
                test(&config, &spec.init().unwrap());
            }
        }
    }

    fn source(device: &Device) -> EncoderOutput {
        EncoderOutput {
            memory: tensor([4, 5, 6], device),
            src_pad_mask: src_pad_mask(&LENGTHS, 5, device),
            final_states: Vec::new(),
        }
    }

    fn values<const N: usize>(tensor: Tensor<N>) -> Vec<f32> {
        tensor.into_data().iter().collect()
    }

    fn close<const N: usize>(a: Tensor<N>, b: Tensor<N>) -> bool {
        a.all_close(b, Some(1e-5), Some(1e-6))
    }

    /// The formula with loops, for one query of one source.
    fn expected(
        attention: &MultiHeadAttention,
        query: Vec<f32>,
        memory: &[Vec<f32>],
    ) -> (Vec<f32>, Vec<Vec<f32>>) {
        let map = |linear: &Linear, x: &[f32]| -> Vec<f32> {
            let row = Tensor::<1>::from_data(x, &linear.weight.device()).unsqueeze();
            values(linear.forward::<2>(row))
        };
        let d_head = D / attention.n_heads;
        let group = attention.n_heads / attention.n_kv_heads();
        let query = map(&attention.query, &query);
        let mut context = Vec::new();
        let mut weights = Vec::new();
        for head in 0..attention.n_heads {
            let part = |x: Vec<f32>, head: usize| x[head * d_head..][..d_head].to_vec();
            let query = part(query.clone(), head);
            let scores: Vec<f32> = memory
                .iter()
                .map(|state| part(map(&attention.key, state), head / group))
                .map(|key| query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>())
                .map(|product| (product / (d_head as f32).sqrt()).exp())
                .collect();
            let sum: f32 = scores.iter().sum();
            let of_head: Vec<f32> = scores.iter().map(|score| score / sum).collect();
            let mut read = vec![0.0; d_head];
            for (weight, state) in of_head.iter().zip(memory) {
                let value = part(map(&attention.value, state), head / group);
                for (read, value) in read.iter_mut().zip(value) {
                    *read += weight * value;
                }
            }
            context.extend(read);
            weights.push(of_head);
        }
        (map(&attention.output, &context), weights)
    }

    #[test]
    fn the_formula_holds() {
        each(|config, device| {
            let attention = config.init(D, 6, device);
            let (source, query) = (source(device), tensor([4, 3, D], device));
            let out = attention.forward(query.clone(), &attention.prepare(&source));
            let (output, weights) = (values(out.output), values(out.weights));
            let (query, memory) = (values(query), values(source.memory));
            for (row, length) in LENGTHS.into_iter().enumerate().filter(|(_, l)| *l > 0) {
                let memory: Vec<Vec<f32>> = memory[row * 30..][..30]
                    .chunks(6)
                    .take(length)
                    .map(<[f32]>::to_vec)
                    .collect();
                for t in 0..3 {
                    let query = query[(row * 3 + t) * D..][..D].to_vec();
                    let (expected_output, expected_weights) = expected(&attention, query, &memory);
                    for (i, expected) in expected_output.iter().enumerate() {
                        let found = output[(row * 3 + t) * D + i];
                        assert!((found - expected).abs() < 1e-5, "{config:?}");
                    }
                    for (head, expected) in expected_weights.iter().enumerate() {
                        let at = ((row * config.n_heads + head) * 3 + t) * 5;
                        for (s, expected) in expected.iter().enumerate() {
                            assert!((weights[at + s] - expected).abs() < 1e-5, "{config:?}");
                        }
                    }
                }
            }
        });
    }

    #[test]
    fn weights_sum_to_one_over_real_tokens_and_are_zero_on_padding() {
        each(|config, device| {
            let attention = config.init(D, 6, device);
            let memory = attention.prepare(&source(device));
            let out = attention.forward(tensor([4, 3, D], device), &memory);
            assert_eq!(out.weights.dims(), [4, config.n_heads, 3, 5]);
            let weights = values(out.weights);
            for (row, weights) in weights.chunks(5).enumerate() {
                let length = LENGTHS[row / (3 * config.n_heads)];
                let sum: f32 = weights.iter().sum();
                let expected = if length == 0 { 0.0 } else { 1.0 };
                assert!((sum - expected).abs() < 1e-6, "{config:?}: {weights:?}");
                assert!(weights[length..].iter().all(|&w| w == 0.0), "{config:?}");
            }
        });
    }

    #[test]
    fn selected_sources_give_the_selected_rows() {
        each(|config, device| {
            let attention = config.init(D, 6, device);
            let (memory, query) = (
                attention.prepare(&source(device)),
                tensor([4, 3, D], device),
            );
            let order = Tensor::from_data([3, 0], device);
            let whole = attention.forward(query.clone(), &memory).output;
            let query = query.select(0, order.clone());
            let some = attention.forward(query, &memory.select(order.clone()));
            assert!(close(some.output, whole.select(0, order)), "{config:?}");
        });
    }

    #[test]
    fn an_intervention_reads_with_other_weights() {
        each(|config, device| {
            let attention = config.init(D, 6, device);
            let (source, query) = (source(device), tensor([4, 3, D], device));
            let plain = attention.prepare(&source);
            let found = attention.forward(query.clone(), &plain);
            let with = |intervention| AttentionMemory {
                intervention: Some(intervention),
                ..plain.clone()
            };
            let by_row = found.weights.clone().swap_dims(1, 2).flatten(0, 1);
            let own = with(Intervention::Given(by_row));
            let same = attention.forward(query.clone(), &own);
            assert!(close(same.output, found.output.clone()), "{config:?}");
            assert!(close(same.weights, found.weights.clone()), "{config:?}");

            // One state for all heads: what they read is its value.
            let second = Tensor::from_data([[[0.0, 2.0, 0.0, 0.0, 0.0]]], device);
            let second = with(Intervention::Given(second.repeat_dim(0, 12)));
            let context = plain.values.clone().narrow(1, 1, 1);
            let group = config.n_heads / attention.n_kv_heads();
            let context = context
                .reshape([4, attention.n_kv_heads(), 1, D / config.n_heads])
                .repeat_dim(2, group)
                .reshape([4, 1, D])
                .repeat_dim(1, 3);
            let expected = attention.output.forward(context);
            let real = |tensor: Tensor<3>| tensor.narrow(0, 0, 2); // of two tokens or more
            let found = attention.forward(query.clone(), &second);
            assert!(close(real(found.output), real(expected)), "{config:?}");
            let sums = values(found.weights.sum_dim(3));
            let empty = 2 * 3 * config.n_heads; // their second state is padding
            assert!(sums[..empty].iter().all(|&sum| sum == 1.0), "{config:?}");
            assert!(sums[empty..].iter().all(|&sum| sum == 0.0), "{config:?}");

            let order = Tensor::from_data([3, 0], device);
            let chosen = second.clone().select(order.clone());
            let some = attention.forward(query.clone().select(0, order.clone()), &chosen);
            let whole = attention.forward(query, &second);
            assert!(
                close(some.output, whole.output.select(0, order)),
                "{config:?}"
            );
        });
    }

    #[test]
    fn dropout_is_on_the_weights_and_in_training_alone() {
        let device = Device::flex();
        random::seed(12);
        let config = MultiHeadConfig {
            dropout: 0.5,
            ..Default::default()
        };
        let attention = config.init(D, 6, &device);
        let (source, query) = (source(&device), tensor([4, 3, D], &device));
        let plain = attention.forward(query.clone(), &attention.prepare(&source));
        let tape = device.autodiff();
        let attention = attention.fork(&tape);
        let source = EncoderOutput {
            memory: source.memory.autodiff(),
            src_pad_mask: source.src_pad_mask,
            final_states: Vec::new(),
        };
        let training = attention.forward(query.autodiff(), &attention.prepare(&source));
        assert!(close(training.weights.inner(), plain.weights));
        assert!(!close(training.output.inner(), plain.output));
    }

    fn positions() -> [Option<RotaryPositionsConfig>; 2] {
        [None, Some(RotaryPositionsConfig::default())]
    }

    fn of(rotary: Option<RotaryPositionsConfig>) -> PositionsConfig {
        rotary.map_or_else(PositionsConfig::default, PositionsConfig::Rotary)
    }

    #[test]
    fn self_attention_reads_real_tokens_alone() {
        each(|config, device| {
            for rotary in positions() {
                let attention = SelfAttention::new(config, &of(rotary), D, device);
                let x = tensor([4, 5, D], device);
                let whole = attention.forward(x.clone(), src_pad_mask(&LENGTHS, 5, device));
                let alone = x.narrow(0, 1, 1).narrow(1, 0, 2);
                let alone = attention.forward(alone, src_pad_mask(&[2], 2, device));
                let expected = whole.output.narrow(0, 1, 1).narrow(1, 0, 2);
                assert!(close(alone.output, expected), "{config:?}");
            }
        });
    }

    #[test]
    fn cached_steps_equal_the_causal_pass_also_after_a_beam_moved() {
        each(|config, device| {
            for rotary in positions() {
                let attention = CausalSelfAttention::new(config, &of(rotary), D, device);
                let x = tensor([3, 5, D], device);
                let whole = attention.forward(x.clone());
                let future = values(whole.weights.clone());
                for (row, weights) in future.chunks(5).enumerate() {
                    assert!(weights[row % 5 + 1..].iter().all(|&w| w == 0.0));
                }
                let order = Tensor::<1, Int>::from_data([2, 0, 0], device);
                let mut past = None;
                for t in 0..5 {
                    let mut now = x.clone().narrow(1, t, 1);
                    let mut expected = whole.output.clone().narrow(1, t, 1);
                    if t >= 3 {
                        now = now.select(0, order.clone());
                        expected = expected.select(0, order.clone());
                    }
                    if t == 3 {
                        past = past.map(|past: KeyValues| past.select(order.clone()));
                    }
                    let step = attention.extend(now, past, &[t]);
                    assert!(close(step.read.output, expected), "{config:?} step {t}");
                    assert_eq!(step.past.positions(), t + 1);
                    past = Some(step.past);
                }
            }
        });
    }

    #[test]
    fn heads_that_do_not_divide_are_refused() {
        let refused = |n_heads, n_kv_heads, key: &str| {
            let config = MultiHeadConfig {
                n_heads,
                n_kv_heads,
                dropout: 0.0,
            };
            let message = config.validate(12).unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        };
        refused(5, None, "n_heads: ");
        refused(0, None, "n_heads: ");
        refused(4, Some(3), "n_kv_heads: ");
        refused(4, Some(0), "n_kv_heads: ");
    }
}
