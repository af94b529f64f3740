use att_core::ops::dot_score;
use att_core::{Result, check};
use att_layers::init;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`Cosine`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CosineConfig {
    /// The temperature before training; 0.25 unless told.
    pub temperature: f64,
}

impl Default for CosineConfig {
    fn default() -> Self {
        Self { temperature: 0.25 }
    }
}

impl CosineConfig {
    /// # Errors
    ///
    /// If `temperature` is not positive.
    pub fn validate(&self) -> Result<()> {
        check::positive("temperature", self.temperature)
    }

    /// Fresh weights.
    pub fn init(&self, device: &Device) -> Cosine {
        Cosine {
            log_sharpness: init::constant([1], -self.temperature.ln() as f32, device),
        }
    }
}

/// `score(q, m) = q . m / (|q| |m| temperature)` (Graves et al. 2014, eq. 5 and 6); needs
/// `d_query == d_memory`.
///
/// The temperature is learned: cosines lie between -1 and 1, and would hardly prefer one state alone.
///
/// ```
/// use att_attention::CosineConfig;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let cosine = CosineConfig { temperature: 0.5 }.init(&device);
/// let keys = cosine.keys(Tensor::from_data([[[3.0, 0.0], [0.0, 7.0]]], &device));
/// let scores = att_core::host_vec(cosine.score(Tensor::from_data([[[9.0, 0.0]]], &device), keys));
/// assert!((scores[0] - 2.0).abs() < 1e-5); // whatever the lengths
/// assert_eq!(scores[1], 0.0);
/// ```
#[derive(Module, Debug)]
pub struct Cosine {
    /// `-ln(temperature)`, `[1]`: so that the temperature stays positive.
    pub log_sharpness: Param<Tensor<1>>,
}

impl Cosine {
    /// `m / |m|`, `[batch, src_len, d]`.
    pub fn keys(&self, memory: Tensor<3>) -> Tensor<3> {
        unit(memory)
    }

    /// - `query`: `[batch, tgt_len, d]`, `keys`: `[batch, src_len, d]`
    /// - returns `[batch, tgt_len, src_len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn score(&self, query: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
        let sharpness = self.log_sharpness.val().exp().unsqueeze();
        dot_score(unit(query) * sharpness, keys, 1.0)
    }
}

/// Vectors of length one. The memory is zero at padding, where a plain division would give NaN.
fn unit(vectors: Tensor<3>) -> Tensor<3> {
    let squares = (vectors.clone() * vectors.clone()).sum_dim(2);
    vectors / (squares + 1e-12).sqrt()
}
