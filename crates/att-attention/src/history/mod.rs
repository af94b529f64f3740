//! Histories: what the scores of a step know of earlier weights. One file each.

mod coverage;
mod location_sensitive;

use att_core::Result;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use coverage::{Coverage, CoverageConfig};
pub use location_sensitive::{LocationSensitive, LocationSensitiveConfig};

use crate::AttentionState;

/// Which [`History`], and its settings; in TOML `history = { kind = "coverage" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HistoryConfig {
    /// Scores know nothing of earlier steps.
    None {},
    /// [`Coverage`].
    Coverage(CoverageConfig),
    /// [`LocationSensitive`].
    LocationSensitive(LocationSensitiveConfig),
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self::None {}
    }
}

impl HistoryConfig {
    /// One of each kind with its default settings.
    pub fn all() -> Vec<Self> {
        vec![
            Self::None {},
            Self::Coverage(CoverageConfig {}),
            Self::LocationSensitive(LocationSensitiveConfig::default()),
        ]
    }

    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::None {} | Self::Coverage(_) => Ok(()),
            Self::LocationSensitive(config) => config.validate(),
        }
    }

    /// A history with fresh weights for a scorer with a hidden layer of `d_attn`; none where scores
    /// know nothing.
    pub fn init(&self, d_attn: usize, device: &Device) -> Option<History> {
        match self {
            Self::None {} => None,
            Self::Coverage(_) => Some(History::Coverage(Coverage::new(d_attn, device))),
            Self::LocationSensitive(config) => {
                Some(History::LocationSensitive(config.init(d_attn, device)))
            }
        }
    }
}

/// A history of any kind. It joins the keys of a step: few signals of each state, projected to the size
/// of a key.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a model holds one
pub enum History {
    /// how much has been seen of each state
    Coverage(Coverage),
    /// where the last step looked
    LocationSensitive(LocationSensitive),
}

impl History {
    /// Whether it reads [`AttentionState::weights`].
    pub fn reads_weights(&self) -> bool {
        matches!(self, Self::LocationSensitive(history) if !history.cumulative)
    }

    /// Whether it reads [`AttentionState::coverage`].
    pub fn reads_coverage(&self) -> bool {
        !self.reads_weights()
    }

    /// The signals of each state, `[rows, src_len, signals]`.
    ///
    /// # Panics
    ///
    /// If the state was not made for this kind.
    pub fn signals(&self, state: &AttentionState) -> Tensor<3> {
        let read = if self.reads_weights() {
            &state.weights
        } else {
            &state.coverage
        };
        let read = read.clone().expect("carried from step to step");
        match self {
            Self::Coverage(history) => history.signals(read),
            Self::LocationSensitive(history) => history.signals(read),
        }
    }

    /// What is added to the keys: of signals `[rows, src_len, d_attn]`.
    pub fn project(&self, signals: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Coverage(history) => history.projection.forward(signals),
            Self::LocationSensitive(history) => history.projection.forward(signals),
        }
    }
}
