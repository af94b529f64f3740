use att_attention::TransformerConfig;
use att_core::{EncoderOutput, MemorySpec, Result};
use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    ConvolutionalEncoder, ConvolutionalEncoderConfig, PyramidalEncoder, PyramidalEncoderConfig,
    RecurrentEncoder, RecurrentEncoderConfig, TransformerEncoder,
};

/// Which [`Encoder`], and its settings; in TOML `kind = "recurrent"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EncoderConfig {
    /// [`RecurrentEncoder`].
    Recurrent(RecurrentEncoderConfig),
    /// [`PyramidalEncoder`].
    Pyramidal(PyramidalEncoderConfig),
    /// [`ConvolutionalEncoder`].
    Convolutional(ConvolutionalEncoderConfig),
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
            Self::Pyramidal(PyramidalEncoderConfig::default()),
            Self::Convolutional(ConvolutionalEncoderConfig::default()),
            Self::Transformer(TransformerConfig::default()),
        ]
    }

    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Recurrent(config) => config.validate(),
            Self::Pyramidal(config) => config.validate(),
            Self::Convolutional(config) => config.validate(),
            Self::Transformer(config) => config.validate(),
        }
    }

    /// The sizes in the output of the encoder that [`init`](Self::init) makes.
    pub fn memory_spec(&self) -> MemorySpec {
        match self {
            Self::Recurrent(config) => config.memory_spec(),
            Self::Pyramidal(config) => config.memory_spec(),
            Self::Convolutional(config) => config.memory_spec(),
            Self::Transformer(config) => config.memory_spec(),
        }
    }

    /// [`Encoder::tokens_per_state`] of the encoder that [`init`](Self::init) makes.
    pub fn tokens_per_state(&self) -> usize {
        match self {
            Self::Recurrent(_) | Self::Convolutional(_) | Self::Transformer(_) => 1,
            Self::Pyramidal(config) => config.tokens_per_state(),
        }
    }

    /// A lower bound on the number of weights: the greatest products alone.
    pub fn least_weights(&self) -> u64 {
        let (layers, d_hidden, products) = match self {
            Self::Recurrent(config) => (config.layers, config.d_hidden, 3),
            Self::Pyramidal(config) => (config.layers, config.d_hidden, 3),
            Self::Convolutional(config) => (config.layers, config.d_hidden, 2 * config.width),
            Self::Transformer(config) => return config.least_weights(),
        };
        layers as u64 * products as u64 * (d_hidden as u64).pow(2)
    }

    /// An encoder of vectors of `d_input`, with fresh weights.
    pub fn init(&self, d_input: usize, device: &Device) -> Encoder {
        match self {
            Self::Recurrent(config) => Encoder::Recurrent(config.init(d_input, device)),
            Self::Pyramidal(config) => Encoder::Pyramidal(config.init(d_input, device)),
            Self::Convolutional(config) => Encoder::Convolutional(config.init(d_input, device)),
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
    /// Recurrent layers, each with half as many states as the one below.
    Pyramidal(PyramidalEncoder),
    /// Convolutions.
    Convolutional(ConvolutionalEncoder),
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
            Self::Pyramidal(encoder) => encoder.forward(embedded, lengths),
            Self::Convolutional(encoder) => encoder.forward(embedded, lengths),
            Self::Transformer(encoder) => encoder.forward(embedded, lengths),
        }
    }

    /// How many source tokens a state of the memory stands for: state i for those from
    /// `i * tokens_per_state` on, of which the last state of a source may have fewer. 1 for all but
    /// a pyramid.
    pub fn tokens_per_state(&self) -> usize {
        match self {
            Self::Recurrent(_) | Self::Convolutional(_) | Self::Transformer(_) => 1,
            Self::Pyramidal(encoder) => encoder.tokens_per_state(),
        }
    }
}

/// # Panics
///
/// If `lengths` does not name one length from 1 to `src_len` a row of `[batch, src_len, d]`.
pub(crate) fn assert_lengths(embedded: &Tensor<3>, lengths: &[usize]) {
    let [batch, src_len, _] = embedded.dims();
    assert!(
        lengths.len() == batch && lengths.iter().all(|l| (1..=src_len).contains(l)),
        "lengths {lengths:?} of {batch} sources of up to {src_len} tokens"
    );
}

/// `states`, `[batch, src_len, d]`, with zeros where `src_pad_mask` is true.
pub(crate) fn without_padding(states: Tensor<3>, src_pad_mask: &Tensor<2, Bool>) -> Tensor<3> {
    let padding = src_pad_mask.clone().unsqueeze_dim::<3>(2);
    let shape = states.shape();
    states.mask_fill(padding.expand(shape), 0.0)
}
