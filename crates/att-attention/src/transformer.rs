use att_core::{MemorySpec, Result, check};
use att_layers::{
    ActivationKind, FeedForward, LayerNorm, NormPlace, PositionsConfig, Residual, TransformerInput,
};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::{CausalSelfAttention, MultiHeadAttention, MultiHeadConfig, SelfAttention};

/// The settings that encoder and decoder of a Transformer share (Vaswani et al. 2017), and the parts
/// made of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerConfig {
    /// Size of a state; 256 unless told.
    pub d_model: usize,
    /// Number of layers; 4 unless told.
    pub layers: usize,
    /// Heads of queries; 4 unless told.
    pub n_heads: usize,
    /// Heads of keys and values (Ainslie et al. 2023); as many as `n_heads` unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_kv_heads: Option<usize>,
    /// Size of the feed-forward network between its products; 1024 unless told.
    pub d_ff: usize,
    /// `"relu"` (unless told), `"gelu"` or `"swiglu"`.
    pub activation: ActivationKind,
    /// Whether sublayers normalise what they read, `"pre"` (unless told), or the sum, `"post"`.
    pub norm: NormPlace,
    /// How a layer knows where a token stands; sinusoidal unless told.
    pub positions: PositionsConfig,
    /// Whether tokens' vectors are multiplied by the root of their size before positions are added;
    /// true unless told.
    pub scale_embedding: bool,
    /// Dropout on the output of each sublayer, and on the sum of tokens' and positions' vectors
    /// (Vaswani et al. 2017, sec. 5.4); 0.1 unless told.
    pub dropout: f64,
    /// Dropout on the attention weights; 0 unless told.
    pub attention_dropout: f64,
    /// Dropout between the products of the feed-forward network; 0 unless told.
    pub activation_dropout: f64,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self {
            d_model: 256,
            layers: 4,
            n_heads: 4,
            n_kv_heads: None,
            d_ff: 1024,
            activation: ActivationKind::default(),
            norm: NormPlace::default(),
            positions: PositionsConfig::default(),
            scale_embedding: true,
            dropout: 0.1,
            attention_dropout: 0.0,
            activation_dropout: 0.0,
        }
    }
}

impl TransformerConfig {
    /// # Errors
    ///
    /// If a value is out of its range, or heads do not divide `d_model`.
    pub fn validate(&self) -> Result<()> {
        check::size("d_model", self.d_model)?;
        check::size("layers", self.layers)?;
        check::size("d_ff", self.d_ff)?;
        check::probability("dropout", self.dropout)?;
        check::probability("attention_dropout", self.attention_dropout)?;
        check::probability("activation_dropout", self.activation_dropout)?;
        self.multi_head().validate(self.d_model)?;
        self.positions
            .validate(self.d_model / self.n_heads)
            .map_err(|error| error.within("positions"))
    }

    /// What an encoder of these settings gives: no final states.
    pub fn memory_spec(&self) -> MemorySpec {
        MemorySpec {
            d_memory: self.d_model,
            n_final_states: 0,
            d_final: 0,
            final_cells: false,
        }
    }

    /// A lower bound on the number of weights: the square products of attention with their queries
    /// and outputs, and the two of the feed-forward network.
    pub fn least_weights(&self) -> u64 {
        let [layers, d, d_ff] = [self.layers, self.d_model, self.d_ff].map(|n| n as u64);
        layers * 2 * d * (d + d_ff)
    }

    fn multi_head(&self) -> MultiHeadConfig {
        MultiHeadConfig {
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            dropout: self.attention_dropout,
        }
    }

    /// What the lowest layer reads, made of vectors of `d_embed`.
    pub fn input(&self, d_embed: usize, device: &Device) -> TransformerInput {
        let sizes = [d_embed, self.d_model];
        let scale = self.scale_embedding;
        TransformerInput::new(sizes, &self.positions, scale, self.dropout, device)
    }

    /// Attention of a layer of an encoder.
    pub fn self_attention(&self, device: &Device) -> SelfAttention {
        SelfAttention::new(&self.multi_head(), &self.positions, self.d_model, device)
    }

    /// Attention of a layer of a decoder over its past.
    pub fn causal_self_attention(&self, device: &Device) -> CausalSelfAttention {
        CausalSelfAttention::new(&self.multi_head(), &self.positions, self.d_model, device)
    }

    /// Attention of a layer of a decoder over states of `d_memory`.
    pub fn cross_attention(&self, d_memory: usize, device: &Device) -> MultiHeadAttention {
        self.multi_head().init(self.d_model, d_memory, device)
    }

    /// The feed-forward network of a layer.
    pub fn feed_forward(&self, device: &Device) -> FeedForward {
        let (activation, dropout) = (self.activation, self.activation_dropout);
        FeedForward::new(self.d_model, self.d_ff, activation, dropout, device)
    }

    /// The connection around a sublayer.
    pub fn residual(&self, device: &Device) -> Residual {
        Residual::new(self.d_model, self.norm, self.dropout, device)
    }

    /// The norm on top of all layers, which the sums of pre-norm layers need.
    pub fn final_norm(&self, device: &Device) -> Option<LayerNorm> {
        (self.norm == NormPlace::Pre).then(|| LayerNorm::new(self.d_model, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_layers::RotaryPositionsConfig;

    #[test]
    fn errors_name_the_key() {
        let refused = |config: TransformerConfig, key: &str| {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        };
        let default = TransformerConfig::default;
        assert!(default().validate().is_ok());
        refused(
            TransformerConfig {
                d_model: 250,
                ..default()
            },
            "n_heads: 4 heads do not divide vectors of 250",
        );
        refused(
            TransformerConfig {
                n_heads: 0,
                ..default()
            },
            "n_heads: 0",
        );
        refused(
            TransformerConfig {
                n_kv_heads: Some(3),
                ..default()
            },
            "n_kv_heads: ",
        );
        refused(
            TransformerConfig {
                d_ff: 0,
                ..default()
            },
            "d_ff: ",
        );
        refused(
            TransformerConfig {
                attention_dropout: 1.0,
                ..default()
            },
            "attention_dropout: ",
        );
        refused(
            TransformerConfig {
                d_model: 36,
                positions: PositionsConfig::Rotary(RotaryPositionsConfig::default()),
                ..default()
            },
            "positions.kind: ",
        );
    }
}
