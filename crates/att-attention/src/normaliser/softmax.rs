use att_core::ops::masked_softmax;
use att_core::{Result, check};
use burn::module::Module;
use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`Softmax`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftmaxConfig {
    /// What scores are divided by: below 1 weights are sharper, above it flatter; 1 unless told.
    pub temperature: f64,
}

impl Default for SoftmaxConfig {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

impl SoftmaxConfig {
    /// # Errors
    ///
    /// If `temperature` is not positive.
    pub fn validate(&self) -> Result<()> {
        check::positive("temperature", self.temperature)
    }

    /// The normaliser; it has no weights.
    pub fn init(&self) -> Softmax {
        Softmax {
            temperature: self.temperature,
        }
    }
}

/// `weights[s] = exp(scores[s] / temperature) / sum_j exp(scores[j] / temperature)` (Bahdanau et al.
/// 2015, eq. 6): every real state has some weight.
///
/// ```
/// use att_attention::SoftmaxConfig;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let scores = Tensor::from_data([[[0.0, 1.0, 9.0]]], &device);
/// let mask = Tensor::from_data([[[false, false, true]]], &device);
/// let weights = att_core::host_vec(SoftmaxConfig { temperature: 0.5 }.init().weights(scores, mask));
/// assert!((weights[1] / weights[0] - 2f32.exp()).abs() < 1e-4);
/// assert_eq!(weights[2], 0.0);
/// ```
#[derive(Module, Debug)]
pub struct Softmax {
    /// What scores are divided by.
    pub temperature: f64,
}

impl Softmax {
    /// The scores over the temperature.
    pub fn scaled(&self, scores: Tensor<3>) -> Tensor<3> {
        if self.temperature == 1.0 {
            scores
        } else {
            scores / self.temperature
        }
    }

    /// - `scores`: `[batch, tgt_len, src_len]`
    /// - `mask`: true where masked, `[batch, 1, src_len]`
    pub fn weights(&self, scores: Tensor<3>, mask: Tensor<3, Bool>) -> Tensor<3> {
        masked_softmax(self.scaled(scores), mask)
    }
}
