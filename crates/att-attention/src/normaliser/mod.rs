//! Normalisers: how scores become weights. One file each.

mod entmax15;
mod mocha;
mod monotonic;
mod softmax;
mod sparsemax;

use att_core::Result;
use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

pub use entmax15::{Entmax15, Entmax15Config};
pub use mocha::{Mocha, MochaConfig};
pub use monotonic::{Monotonic, MonotonicConfig};
pub use softmax::{Softmax, SoftmaxConfig};
pub use sparsemax::{Sparsemax, SparsemaxConfig};

/// Which [`Normaliser`], and its settings; in TOML `normaliser = { kind = "softmax", temperature =
/// 0.5 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NormaliserConfig {
    /// [`Softmax`].
    Softmax(SoftmaxConfig),
    /// [`Sparsemax`].
    Sparsemax(SparsemaxConfig),
    /// [`Entmax15`].
    Entmax15(Entmax15Config),
    /// [`Monotonic`].
    Monotonic(MonotonicConfig),
    /// [`Mocha`].
    Mocha(MochaConfig),
}

impl Default for NormaliserConfig {
    fn default() -> Self {
        Self::Softmax(SoftmaxConfig::default())
    }
}

impl NormaliserConfig {
    /// One of each kind with its default settings.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Softmax(SoftmaxConfig::default()),
            Self::Sparsemax(SparsemaxConfig {}),
            Self::Entmax15(Entmax15Config {}),
            Self::Monotonic(MonotonicConfig::default()),
            Self::Mocha(MochaConfig::default()),
        ]
    }

    /// Whether the weights of a query sum to one, where there is a state to look at; else to at most
    /// one.
    pub fn sums_to_one(&self) -> bool {
        !self.is_monotonic()
    }

    /// Whether a head goes over the source from step to step.
    pub fn is_monotonic(&self) -> bool {
        matches!(self, Self::Monotonic(_) | Self::Mocha(_))
    }

    /// # Errors
    ///
    /// If a value is out of its range, or queries of `d_query` and states of `d_memory` do not fit.
    pub fn validate(&self, d_query: usize, d_memory: usize) -> Result<()> {
        match self {
            Self::Softmax(config) => config.validate(),
            Self::Sparsemax(_) | Self::Entmax15(_) => Ok(()),
            Self::Monotonic(config) => config.validate(),
            Self::Mocha(config) => config.validate(d_query, d_memory),
        }
    }

    /// A normaliser with fresh weights, where it has any.
    pub fn init(&self, d_query: usize, d_memory: usize, device: &Device) -> Normaliser {
        match self {
            Self::Softmax(config) => Normaliser::Softmax(config.init()),
            Self::Sparsemax(_) => Normaliser::Sparsemax(Sparsemax {}),
            Self::Entmax15(_) => Normaliser::Entmax15(Entmax15 {}),
            Self::Monotonic(config) => Normaliser::Monotonic(config.init(device)),
            Self::Mocha(config) => Normaliser::Mocha(config.init(d_query, d_memory, device)),
        }
    }
}

/// A normaliser of any kind.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a model holds one
pub enum Normaliser {
    /// exp(score / temperature), over their sum
    Softmax(Softmax),
    /// max(score - tau, 0)
    Sparsemax(Sparsemax),
    /// max(score / 2 - tau, 0)^2
    Entmax15(Entmax15),
    /// one state, from left to right
    Monotonic(Monotonic),
    /// a chunk, from left to right
    Mocha(Mocha),
}

/// What a [`Normaliser`] makes weights of.
#[derive(Clone, Debug)]
pub struct NormaliserInput {
    /// Raw scores, `[batch, tgt_len, src_len]`.
    pub scores: Tensor<3>,
    /// True where masked, `[batch, 1, src_len]`.
    pub mask: Tensor<3, Bool>,
    /// The queries, `[batch, tgt_len, d_query]`.
    pub query: Tensor<3>,
    /// From [`Normaliser::keys`].
    pub keys: Option<Tensor<3>>,
    /// Where the head of each row stood after its last step, `[batch, tgt_len, src_len]`; read by
    /// monotonic kinds alone.
    pub alignment: Option<Tensor<3>>,
}

/// What a [`Normaliser`] makes.
#[derive(Clone, Debug)]
pub struct NormaliserOutput {
    /// The weights, `[batch, tgt_len, src_len]`.
    pub weights: Tensor<3>,
    /// Where the head stands now, `[batch, tgt_len, src_len]`; of monotonic kinds.
    pub alignment: Option<Tensor<3>>,
}

impl Normaliser {
    /// Keys of its own, where it scores states once more.
    ///
    /// - `memory`: `[batch, src_len, d_memory]`
    pub fn keys(&self, memory: Tensor<3>) -> Option<Tensor<3>> {
        match self {
            Self::Mocha(mocha) => Some(mocha.scorer.keys(memory)),
            _ => None,
        }
    }

    /// Whether a head goes over the source from step to step.
    pub fn is_monotonic(&self) -> bool {
        matches!(self, Self::Monotonic(_) | Self::Mocha(_))
    }

    /// Weights of scores: zero where masked, none negative.
    ///
    /// # Panics
    ///
    /// If shapes disagree, or keys or alignment are missing.
    pub fn weights(&self, input: NormaliserInput) -> NormaliserOutput {
        let NormaliserInput {
            scores,
            mask,
            query,
            keys,
            alignment,
        } = input;
        let previous = || alignment.expect("a monotonic kind goes on from its last step");
        let (weights, alignment) = match self {
            Self::Softmax(softmax) => (softmax.weights(scores, mask), None),
            Self::Sparsemax(sparsemax) => (sparsemax.weights(scores, mask), None),
            Self::Entmax15(entmax) => (entmax.weights(scores, mask), None),
            Self::Monotonic(monotonic) => {
                let alignment = monotonic.alignment(scores, mask, previous());
                (alignment.clone(), Some(alignment))
            }
            Self::Mocha(mocha) => {
                let alignment = mocha.monotonic.alignment(scores, mask.clone(), previous());
                let keys = keys.expect("made by `keys`");
                let chunk_scores = mocha.scorer.score(query, keys);
                let weights = mocha.weights(alignment.clone(), chunk_scores, mask);
                (weights, Some(alignment))
            }
        };
        NormaliserOutput { weights, alignment }
    }
}
