//! Scorers: how well a query and a state fit. One file each.

mod additive;
mod dot;
mod general;
mod scaled_dot;

use att_core::{Error, Result};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use additive::{Additive, AdditiveConfig};
pub use dot::{Dot, DotConfig};
pub use general::{General, GeneralConfig};
pub use scaled_dot::{ScaledDot, ScaledDotConfig};

/// Which [`Scorer`], and its settings; in TOML `scorer = { kind = "additive", d_attn = 256 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ScorerConfig {
    /// [`Dot`].
    Dot(DotConfig),
    /// [`ScaledDot`].
    ScaledDot(ScaledDotConfig),
    /// [`General`].
    General(GeneralConfig),
    /// [`Additive`].
    Additive(AdditiveConfig),
}

impl Default for ScorerConfig {
    fn default() -> Self {
        Self::Additive(AdditiveConfig::default())
    }
}

impl ScorerConfig {
    /// One of each kind with its default settings.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Dot(DotConfig {}),
            Self::ScaledDot(ScaledDotConfig {}),
            Self::General(GeneralConfig {}),
            Self::Additive(AdditiveConfig::default()),
        ]
    }

    /// # Errors
    ///
    /// If queries of `d_query` and states of `d_memory` do not fit.
    pub fn validate(&self, d_query: usize, d_memory: usize) -> Result<()> {
        match self {
            Self::Dot(_) | Self::ScaledDot(_) if d_query != d_memory => {
                let reason = format!(
                    "a dot product needs queries and memory of one size, not {d_query} and \
                     {d_memory}: use the kind 'general' or 'additive', or make the sizes equal"
                );
                Err(Error::config("kind", reason))
            }
            Self::Additive(config) => config.validate(),
            _ => Ok(()),
        }
    }

    /// A scorer with fresh weights.
    pub fn init(&self, d_query: usize, d_memory: usize, device: &Device) -> Scorer {
        match self {
            Self::Dot(_) => Scorer::Dot(Dot {}),
            Self::ScaledDot(_) => Scorer::ScaledDot(ScaledDot {}),
            Self::General(_) => Scorer::General(General::new(d_query, d_memory, device)),
            Self::Additive(config) => Scorer::Additive(config.init(d_query, d_memory, device)),
        }
    }
}

/// A scorer of any kind.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a model holds one
pub enum Scorer {
    /// q . m
    Dot(Dot),
    /// q . m / sqrt(d)
    ScaledDot(ScaledDot),
    /// q . (W m)
    General(General),
    /// v . tanh(W q + U m)
    Additive(Additive),
}

impl Scorer {
    /// The part of the score that depends on the memory alone.
    ///
    /// - `memory`: `[batch, src_len, d_memory]`
    /// - returns the keys, `[batch, src_len, d_key]`
    pub fn keys(&self, memory: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Dot(_) | Self::ScaledDot(_) => memory,
            Self::General(general) => general.keys(memory),
            Self::Additive(additive) => additive.keys(memory),
        }
    }

    /// Raw scores, not yet masked.
    ///
    /// - `query`: `[batch, tgt_len, d_query]`
    /// - `keys`: from [`keys`](Self::keys)
    /// - returns `[batch, tgt_len, src_len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn score(&self, query: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Dot(dot) => dot.score(query, keys),
            Self::ScaledDot(dot) => dot.score(query, keys),
            Self::General(general) => general.score(query, keys),
            Self::Additive(additive) => additive.score(query, keys),
        }
    }
}
