use att_core::Result;
use serde::{Deserialize, Serialize};

use super::{DiverseConfig, SamplingConfig, SearchConfig};

/// How search chooses among the tokens that may come next; in TOML
/// `strategy = { kind = "sampling", top_p = 0.9 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum StrategyConfig {
    /// The `beam_size` most probable hypotheses are kept at each step (Graves 2012; Sutskever et al.
    /// 2014). A beam of one is greedy search.
    Beam {},
    /// Several beams that avoid each other's tokens.
    Diverse(DiverseConfig),
    /// `n_best` hypotheses are drawn by their probabilities, each on its own; `beam_size` is not read.
    Sampling(SamplingConfig),
}

impl Default for StrategyConfig {
    fn default() -> Self {
        Self::Beam {}
    }
}

impl StrategyConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub(super) fn validate(&self, beam_size: usize) -> Result<()> {
        match self {
            Self::Beam {} => Ok(()),
            Self::Diverse(config) => config.validate(beam_size),
            Self::Sampling(config) => config.validate(),
        }
        .map_err(|error| error.within("strategy"))
    }

    /// The settings of sampling.
    pub(super) fn sampling(&self) -> Option<&SamplingConfig> {
        match self {
            Self::Sampling(config) => Some(config),
            _ => None,
        }
    }

    /// What a hypothesis loses for each earlier group that takes the same token at a step.
    pub(super) fn diversity(&self) -> f64 {
        match self {
            Self::Diverse(config) => config.strength,
            _ => 0.0,
        }
    }
}

impl SearchConfig {
    /// Whether a source has one hypothesis alone at each step, as in greedy search and of a single sample: what
    /// it has of tokens stays.
    pub fn has_one_hypothesis(&self) -> bool {
        self.groups() == (1, 1)
    }

    /// Whether the scores of a row are looked at more closely than for their best tokens.
    pub(super) fn is_special(&self) -> bool {
        let samples = self.strategy.sampling().is_some();
        samples || self.repetition_penalty != 1.0 || self.no_repeat_ngram > 0
    }

    /// How many tokens of a row may enter a beam: with diversity more than a group has places, and the
    /// best of them are among so many.
    pub(super) fn best_of_row(&self) -> usize {
        match self.strategy {
            StrategyConfig::Sampling(_) => 1,
            _ => self.beam_size,
        }
    }

    /// How many beams each source has, and how wide each of them is.
    pub(super) fn groups(&self) -> (usize, usize) {
        match &self.strategy {
            StrategyConfig::Beam {} => (1, self.beam_size),
            StrategyConfig::Diverse(config) => (config.groups, self.beam_size / config.groups),
            StrategyConfig::Sampling(_) => (self.n_best, 1),
        }
    }
}
