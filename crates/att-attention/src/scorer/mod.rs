//! Scorers: how well a query and a state fit. One file each.

mod additive;
mod bilinear;
mod concat;
mod cosine;
mod dot;
mod general;
mod location;
mod scaled_dot;

use att_core::{Error, Result};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use additive::{Additive, AdditiveConfig};
pub use bilinear::{Bilinear, BilinearConfig};
pub use concat::{Concat, ConcatConfig};
pub use cosine::{Cosine, CosineConfig};
pub use dot::{Dot, DotConfig};
pub use general::{General, GeneralConfig};
pub use location::{Location, LocationConfig};
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
    /// [`Bilinear`].
    Bilinear(BilinearConfig),
    /// [`Cosine`].
    Cosine(CosineConfig),
    /// [`Additive`].
    Additive(AdditiveConfig),
    /// [`Concat`].
    Concat(ConcatConfig),
    /// [`Location`].
    Location(LocationConfig),
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
            Self::Bilinear(BilinearConfig {}),
            Self::Cosine(CosineConfig::default()),
            Self::Additive(AdditiveConfig::default()),
            Self::Concat(ConcatConfig::default()),
            Self::Location(LocationConfig::default()),
        ]
    }

    /// # Errors
    ///
    /// If queries of `d_query` and states of `d_memory` do not fit.
    pub fn validate(&self, d_query: usize, d_memory: usize) -> Result<()> {
        match self {
            Self::Dot(_) | Self::ScaledDot(_) | Self::Cosine(_) if d_query != d_memory => {
                let reason = format!(
                    "a dot product needs queries and memory of one size, not {d_query} and \
                     {d_memory}: use the kind 'general' or 'additive', or make the sizes equal"
                );
                Err(Error::config("kind", reason))
            }
            Self::Cosine(config) => config.validate(),
            Self::Additive(config) => config.validate(),
            Self::Concat(config) => config.validate(),
            Self::Location(config) => config.validate(),
            Self::Dot(_) | Self::ScaledDot(_) | Self::General(_) | Self::Bilinear(_) => Ok(()),
        }
    }

    /// Size of the hidden layer that keys enter; none of a scorer without one.
    pub fn d_attn(&self) -> Option<usize> {
        match self {
            Self::Additive(config) => Some(config.d_attn),
            Self::Concat(config) => Some(config.d_attn),
            _ => None,
        }
    }

    /// A scorer with fresh weights.
    pub fn init(&self, d_query: usize, d_memory: usize, device: &Device) -> Scorer {
        match self {
            Self::Dot(_) => Scorer::Dot(Dot {}),
            Self::ScaledDot(_) => Scorer::ScaledDot(ScaledDot {}),
            Self::General(_) => Scorer::General(General::new(d_query, d_memory, device)),
            Self::Bilinear(_) => Scorer::Bilinear(Bilinear::new(d_query, d_memory, device)),
            Self::Cosine(config) => Scorer::Cosine(config.init(device)),
            Self::Additive(config) => Scorer::Additive(config.init(d_query, d_memory, device)),
            Self::Concat(config) => Scorer::Concat(config.init(d_query, d_memory, device)),
            Self::Location(config) => Scorer::Location(config.init(d_query, device)),
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
    /// q W m + u . m
    Bilinear(Bilinear),
    /// q . m / (|q| |m| temperature)
    Cosine(Cosine),
    /// v . tanh(W q + U m)
    Additive(Additive),
    /// `v . tanh(W [q; m])`
    Concat(Concat),
    /// `(W q)[s]`
    Location(Location),
}

/// The weights of a scorer of the form `v . tanh(W q + b + key)`, for operations that have it within.
#[derive(Clone, Debug)]
pub struct AdditiveParts {
    /// W, `[d_query, d_attn]`.
    pub query_weight: Tensor<2>,
    /// b, `[d_attn]`.
    pub query_bias: Tensor<1>,
    /// v, `[d_attn]`.
    pub v: Tensor<1>,
}

impl Scorer {
    /// The part of the score that depends on the memory alone.
    ///
    /// - `memory`: `[batch, src_len, d_memory]`
    /// - returns the keys, `[batch, src_len, d_key]`
    pub fn keys(&self, memory: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Dot(_) | Self::ScaledDot(_) | Self::Bilinear(_) => memory,
            Self::General(general) => general.keys(memory),
            Self::Cosine(cosine) => cosine.keys(memory),
            Self::Additive(additive) => additive.keys(memory),
            Self::Concat(concat) => concat.keys(memory),
            Self::Location(location) => location.keys(memory),
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
            Self::Bilinear(bilinear) => bilinear.score(query, keys),
            Self::Cosine(cosine) => cosine.score(query, keys),
            Self::Additive(additive) => additive.score(query, keys),
            Self::Concat(concat) => concat.score(query, keys),
            Self::Location(location) => location.score(query, keys),
        }
    }

    /// The weights of an additive or concat scorer; none of the others.
    pub fn additive_parts(&self) -> Option<AdditiveParts> {
        match self {
            Self::Additive(additive) => Some(AdditiveParts {
                query_weight: additive.query.weight.val(),
                query_bias: additive.query.bias.as_ref()?.val(),
                v: additive.v.val(),
            }),
            Self::Concat(concat) => {
                let v = concat.v.val();
                Some(AdditiveParts {
                    query_weight: concat.query_weight(),
                    query_bias: v.zeros_like(),
                    v,
                })
            }
            _ => None,
        }
    }
}
