use att_attention::TransformerConfig;
use att_core::{EncoderOutput, MemorySpec, Result};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{RecurrentEncoder, RecurrentEncoderConfig, TransformerEncoder};

/// Which [`Encoder`], and its settings; in TOML `kind = "recurrent"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EncoderConfig {
    /// [`RecurrentEncoder`].
    Recurrent(RecurrentEncoderConfig),
    /// [`TransformerEncoder`].
    Transformer(TransformerConfig),
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self::Recurrent(RecurrentEncoderConfig::default())
    }
}

impl EncoderConfig {
    /// One of each kind with its default settings.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Recurrent(RecurrentEncoderConfig::default()),
            Self::Transformer(TransformerConfig::default()),
        ]
    }

    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Recurrent(config) => config.validate(),
            Self::Transformer(config) => config.validate(),
        }
    }

    /// The sizes in the output of the encoder that [`init`](Self::init) makes.
    pub fn memory_spec(&self) -> MemorySpec {
        match self {
            Self::Recurrent(config) => config.memory_spec(),
            Self::Transformer(config) => config.memory_spec(),
        }
    }

    /// A lower bound on the number of weights: the greatest products alone.
    pub fn least_weights(&self) -> u64 {
        match self {
            Self::Recurrent(config) => config.layers as u64 * 3 * (config.d_hidden as u64).pow(2),
            Self::Transformer(config) => config.least_weights(),
        }
    }

    /// An encoder of vectors of `d_input`, with fresh weights.
    pub fn init(&self, d_input: usize, device: &Device) -> Encoder {
        match self {
            Self::Recurrent(config) => Encoder::Recurrent(config.init(d_input, device)),
            Self::Transformer(config) => {
                Encoder::Transformer(TransformerEncoder::new(config, d_input, device))
            }
        }
    }
}

/// An encoder of any kind.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a model holds one
pub enum Encoder {
    /// LSTM or GRU layers.
    Recurrent(RecurrentEncoder),
    /// Self-attention.
    Transformer(TransformerEncoder),
}

impl Encoder {
    /// - `embedded`: `[batch, src_len, d_input]`
    /// - `lengths`: how many tokens of each row are real, each at least 1
    ///
    /// # Panics
    ///
    /// If `lengths` does not name one length from 1 to `src_len` a row, or sizes disagree.
    pub fn forward(&self, embedded: Tensor<3>, lengths: &[usize]) -> EncoderOutput {
        match self {
            Self::Recurrent(encoder) => encoder.forward(embedded, lengths),
            Self::Transformer(encoder) => encoder.forward(embedded, lengths),
        }
    }
}
