use att_core::ops::attention_read;
use att_core::{EncoderOutput, Result};
use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor, assert_shape};
use serde::{Deserialize, Serialize};

use crate::{Scorer, ScorerConfig};

/// Configuration of [`Attention`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionConfig {
    /// How a query scores a state; additive unless told.
    pub scorer: ScorerConfig,
}

impl AttentionConfig {
    /// # Errors
    ///
    /// If queries of `d_query` and states of `d_memory` do not fit.
    pub fn validate(&self, d_query: usize, d_memory: usize) -> Result<()> {
        self.scorer
            .validate(d_query, d_memory)
            .map_err(|error| error.within("scorer"))
    }

    /// # Panics
    ///
    /// If [`validate`](Self::validate) would have refused.
    pub fn init(&self, d_query: usize, d_memory: usize, device: &Device) -> Attention {
        if let Err(error) = self.validate(d_query, d_memory) {
            panic!("{error}");
        }
        Attention {
            scorer: self.scorer.init(d_query, d_memory, device),
        }
    }
}

/// Attention of a decoder over an encoder's states.
#[derive(Module, Debug)]
pub struct Attention {
    /// Scores each state against a query.
    pub scorer: Scorer,
}

/// An encoder's output made ready for [`Attention::forward`]: the keys projected once.
#[derive(Clone, Debug)]
pub struct AttentionMemory {
    /// What queries are scored against, `[batch, src_len, d_key]`.
    pub keys: Tensor<3>,
    /// What is averaged, `[batch, src_len, d_memory]`.
    pub values: Tensor<3>,
    /// True at padding, `[batch, src_len]`.
    pub src_pad_mask: Tensor<2, Bool>,
}

impl AttentionMemory {
    /// Number of sources.
    pub fn batch(&self) -> usize {
        self.values.dims()[0]
    }

    /// The sources named by `indices` (`[rows]`), in that order.
    pub fn select(self, indices: Tensor<1, Int>) -> Self {
        Self {
            keys: self.keys.select(0, indices.clone()),
            values: self.values.select(0, indices.clone()),
            src_pad_mask: self.src_pad_mask.select(0, indices),
        }
    }
}

/// What [`Attention`] computes.
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// The weighted sum of the values, `[batch, tgt_len, d_memory]`.
    pub context: Tensor<3>,
    /// The weights: each row sums to one over real tokens and is zero at padding,
    /// `[batch, tgt_len, src_len]`.
    pub weights: Tensor<3>,
}

impl Attention {
    /// Projects the keys: once a source, whatever the number of steps.
    pub fn prepare(&self, source: &EncoderOutput) -> AttentionMemory {
        AttentionMemory {
            keys: self.scorer.keys(source.memory.clone()),
            values: source.memory.clone(),
            src_pad_mask: source.src_pad_mask.clone(),
        }
    }

    /// `weights = masked_softmax(score(query, keys))`, `context = weights values`
    /// ([`attention_read()`]).
    ///
    /// - `query`: `[batch, tgt_len, d_query]`; one row a step, all steps at once if they are known
    ///
    /// # Panics
    ///
    /// If the shapes disagree, or a size is 0.
    pub fn forward(&self, query: Tensor<3>, memory: &AttentionMemory) -> AttentionOutput {
        let [batch, tgt_len, _] = query.dims();
        let [_, src_len, _] = memory.values.dims();
        assert_shape!(memory.values, [batch, src_len, _]);
        assert_shape!(memory.src_pad_mask, [batch, src_len]);
        let scores = self.scorer.score(query, memory.keys.clone());
        assert_shape!(scores, [batch, tgt_len, src_len]);
        let read = attention_read(scores, memory.values.clone(), memory.src_pad_mask.clone());
        AttentionOutput {
            context: read.context,
            weights: read.weights,
        }
    }
}

/// What every scorer must hold: a new arm of [`ScorerConfig`] joins by [`ScorerConfig::all`].
#[cfg(test)]
mod contract {
    use super::*;
    use att_core::{DeviceSpec, mask::src_pad_mask, random};
    use burn::tensor::TensorData;

    const D: usize = 4;
    const LENGTHS: [usize; 4] = [5, 2, 0, 1];

    fn tensor(shape: [usize; 3], device: &Device) -> Tensor<3> {
        let data = random::normal(shape.iter().product(), 1.0);
        Tensor::from_data(TensorData::new(data, shape), device)
    }

    /// Attention, a padded batch of sources and queries of three steps.
    fn setup(scorer: &ScorerConfig, device: &Device) -> (Attention, EncoderOutput, Tensor<3>) {
        random::seed(11);
        let config = AttentionConfig {
            scorer: scorer.clone(),
        };
        let source = EncoderOutput {
            memory: tensor([4, 5, D], device),
            src_pad_mask: src_pad_mask(&LENGTHS, 5, device),
            final_states: Vec::new(),
        };
        (config.init(D, D, device), source, tensor([4, 3, D], device))
    }

    fn each_scorer(test: impl Fn(&ScorerConfig, &Device)) {
        for spec in [DeviceSpec::Flex, DeviceSpec::NdArray] {
            for scorer in ScorerConfig::all() {
                test(&scorer, &spec.init().unwrap());
            }
        }
    }

    fn values<const N: usize>(tensor: Tensor<N>) -> Vec<f32> {
        tensor.into_data().iter().collect()
    }

    #[test]
    fn weights_sum_to_one_over_real_tokens_and_are_zero_on_padding() {
        each_scorer(|scorer, device| {
            let (attention, source, query) = setup(scorer, device);
            let out = attention.forward(query, &attention.prepare(&source));
            let weights = values(out.weights);
            for (row, weights) in weights.chunks(5).enumerate() {
                let length = LENGTHS[row / 3];
                let sum: f32 = weights.iter().sum();
                let expected = if length == 0 { 0.0 } else { 1.0 };
                assert!((sum - expected).abs() < 1e-6, "{scorer:?}: {weights:?}");
                assert!(weights[length..].iter().all(|&w| w == 0.0), "{scorer:?}");
            }
            assert!(values(out.context).iter().all(|x| x.is_finite()));
        });
    }

    #[test]
    fn neither_padding_nor_other_rows_matter() {
        each_scorer(|scorer, device| {
            let (attention, source, query) = setup(scorer, device);
            let batch = attention.forward(query.clone(), &attention.prepare(&source));
            for (row, length) in LENGTHS.into_iter().enumerate().filter(|(_, l)| *l > 0) {
                let alone = EncoderOutput {
                    memory: source.memory.clone().narrow(0, row, 1).narrow(1, 0, length),
                    src_pad_mask: src_pad_mask(&[length], length, device),
                    final_states: Vec::new(),
                };
                let out =
                    attention.forward(query.clone().narrow(0, row, 1), &attention.prepare(&alone));
                let context = batch.context.clone().narrow(0, row, 1);
                assert!(
                    out.context.all_close(context, Some(1e-5), Some(1e-6)),
                    "{scorer:?}"
                );
            }
        });
    }

    #[test]
    fn step_by_step_equals_the_whole_pass() {
        each_scorer(|scorer, device| {
            let (attention, source, query) = setup(scorer, device);
            let memory = attention.prepare(&source);
            let whole = attention.forward(query.clone(), &memory);
            for t in 0..3 {
                let step = attention.forward(query.clone().narrow(1, t, 1), &memory);
                let weights = whole.weights.clone().narrow(1, t, 1);
                assert!(
                    step.weights.all_close(weights, Some(1e-5), Some(1e-6)),
                    "{scorer:?}"
                );
            }
        });
    }

    #[test]
    fn selected_sources_give_the_selected_rows() {
        each_scorer(|scorer, device| {
            let (attention, source, query) = setup(scorer, device);
            let order = Tensor::from_data([3, 0], device);
            let whole = attention.forward(query.clone(), &attention.prepare(&source));
            let some = attention.forward(
                query.select(0, order.clone()),
                &attention.prepare(&source).select(order.clone()),
            );
            let expected = whole.context.select(0, order);
            assert!(
                some.context.all_close(expected, Some(1e-5), Some(1e-6)),
                "{scorer:?}"
            );
        });
    }

    #[test]
    fn gradients_equal_finite_differences() {
        each_scorer(|scorer, device| {
            let (attention, source, query) = setup(scorer, device);
            let mix = tensor([4, 3, D], device);
            let loss = |memory: Tensor<3>, query: Tensor<3>, device: &Device| {
                let source = EncoderOutput {
                    memory,
                    src_pad_mask: src_pad_mask(&LENGTHS, 5, device),
                    final_states: Vec::new(),
                };
                // Parameters go where the data is: on the tape, or off it.
                let attention = attention.clone().fork(device);
                let mix = mix.clone().to_device(device);
                let mix = if device.is_autodiff() {
                    mix.autodiff()
                } else {
                    mix
                };
                let out = attention.forward(query, &attention.prepare(&source));
                (out.context * mix).sum()
            };
            let tape = device.clone().autodiff();
            let (m, q) = (
                source.memory.clone().autodiff().require_grad(),
                query.clone().autodiff().require_grad(),
            );
            let grads = loss(m.clone(), q.clone(), &tape).backward();
            let d_memory = values(m.grad(&grads).unwrap());
            let d_query = values(q.grad(&grads).unwrap());

            let (memory, query) = (values(source.memory), values(query));
            let at = |memory: &[f32], query: &[f32]| {
                let memory = TensorData::new(memory.to_vec(), [4, 5, D]);
                let query = TensorData::new(query.to_vec(), [4, 3, D]);
                loss(
                    Tensor::from_data(memory, device),
                    Tensor::from_data(query, device),
                    device,
                )
                .into_scalar::<f32>()
            };
            let h = 1e-2;
            for i in (0..memory.len()).step_by(3) {
                let (mut up, mut down) = (memory.clone(), memory.clone());
                up[i] += h;
                down[i] -= h;
                let slope = (at(&up, &query) - at(&down, &query)) / (2.0 * h);
                let error = (slope - d_memory[i]).abs();
                assert!(
                    error < 5e-3,
                    "{scorer:?} memory {i}: {slope} {}",
                    d_memory[i]
                );
            }
            for i in 0..query.len() {
                let (mut up, mut down) = (query.clone(), query.clone());
                up[i] += h;
                down[i] -= h;
                let slope = (at(&memory, &up) - at(&memory, &down)) / (2.0 * h);
                let error = (slope - d_query[i]).abs();
                assert!(error < 5e-3, "{scorer:?} query {i}: {slope} {}", d_query[i]);
            }
        });
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        for scorer in [
            ScorerConfig::Dot(Default::default()),
            ScorerConfig::ScaledDot(Default::default()),
            ScorerConfig::Cosine(Default::default()),
        ] {
            let config = AttentionConfig { scorer };
            let reason = config.validate(3, 4).unwrap_err().to_string();
            assert!(reason.contains('3') && reason.contains('4'), "{reason}");
        }
    }
}
