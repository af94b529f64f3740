use att_core::ops::additive_score;
use att_core::{Result, check};
use att_layers::{Linear, init};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`Additive`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdditiveConfig {
    /// Size of the hidden layer; 256 unless told.
    pub d_attn: usize,
}

impl Default for AdditiveConfig {
    fn default() -> Self {
        Self { d_attn: 256 }
    }
}

impl AdditiveConfig {
    /// # Errors
    ///
    /// If `d_attn` is not a size.
    pub fn validate(&self) -> Result<()> {
        check::size("d_attn", self.d_attn)
    }

    /// Fresh weights.
    pub fn init(&self, d_query: usize, d_memory: usize, device: &Device) -> Additive {
        Additive {
            query: init::linear(d_query, self.d_attn, true, device),
            key: init::linear(d_memory, self.d_attn, false, device),
            v: init::uniform([self.d_attn], bound(self.d_attn), device),
        }
    }
}

/// The bound of a fresh v: that of a map from `d_attn` to one number (Glorot and Bengio 2010, eq. 16).
pub(super) fn bound(d_attn: usize) -> f64 {
    (6.0 / (d_attn + 1) as f64).sqrt()
}

/// `score(q, m) = v . tanh(W q + b + U m)` (Bahdanau et al. 2015, A.1.2; they have no bias).
#[derive(Module, Debug)]
pub struct Additive {
    /// W, stored as `[d_query, d_attn]`, and b.
    pub query: Linear,
    /// U, stored as `[d_memory, d_attn]`.
    pub key: Linear,
    /// v, `[d_attn]`.
    pub v: Param<Tensor<1>>,
}

impl Additive {
    /// U m: `[batch, src_len, d_memory]` to `[batch, src_len, d_attn]`.
    pub fn keys(&self, memory: Tensor<3>) -> Tensor<3> {
        self.key.forward(memory)
    }

    /// - `query`: `[batch, tgt_len, d_query]`, `keys`: `[batch, src_len, d_attn]`
    /// - returns `[batch, tgt_len, src_len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn score(&self, query: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
        additive_score(self.query.forward(query), keys, self.v.val())
    }
}
