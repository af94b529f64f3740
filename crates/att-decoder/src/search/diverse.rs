use att_core::{Error, Result, check};
use serde::{Deserialize, Serialize};

/// Diverse beam search (Vijayakumar et al. 2018, algorithm 1): the beam is divided into groups, which
/// take turns at each step. A group chooses by
///
/// ```text
/// log p(y_1 .. y_t) - strength * |{hypotheses of earlier groups whose token of this step is y_t}|
/// ```
///
/// the Hamming diversity of their sec. "Hamming diversity". What is taken off counts in the choice of
/// that step alone: scores, by which the hypotheses of all groups are ranked in the end, are without it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiverseConfig {
    /// How many beams share `beam_size`, which is a multiple of it; 5 unless told.
    pub groups: usize,
    /// What a repeated token costs; 0.5 unless told.
    pub strength: f64,
}

impl Default for DiverseConfig {
    fn default() -> Self {
        Self {
            groups: 5,
            strength: 0.5,
        }
    }
}

impl DiverseConfig {
    pub(super) fn validate(&self, beam_size: usize) -> Result<()> {
        check::size("groups", self.groups)?;
        if !beam_size.is_multiple_of(self.groups) {
            let reason = format!(
                "{} groups of one size can't share a beam of {beam_size}: make beam_size a multiple",
                self.groups
            );
            return Err(Error::config("groups", reason));
        }
        check::not_negative("strength", self.strength)
    }
}
