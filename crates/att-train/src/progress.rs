//! How far a run is: all of its state outside of the model and its optimiser.

use std::time::Instant;

use att_eval::Metric;
use serde::{Deserialize, Serialize};

use crate::checkpoint::exact;
use crate::schedule::Reduction;

/// Where a run stands, between two steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// Steps done.
    pub(crate) step: usize,
    /// Epochs done.
    pub(crate) epoch: usize,
    /// Batches of the next epoch that are done.
    pub(crate) batch: usize,
    /// The step of the last validation.
    pub(crate) validated_at: usize,
    pub(crate) best: Option<Validated>,
    /// Validations in a row without a better score.
    pub(crate) without_better: usize,
    pub(crate) reduction: Reduction,
    pub(crate) since: Since,
    pub(crate) trained: Trained,
    /// Seconds over all parts of the run but the one under way.
    #[serde(with = "exact")]
    pub(crate) elapsed_s: f64,
    /// The length of the log.
    pub(crate) log_bytes: u64,
}

/// What a validation found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validated {
    #[serde(with = "exact")]
    pub(crate) score: f64,
    #[serde(with = "exact")]
    pub(crate) loss: f64,
}

impl Validated {
    /// By the metric; a tie, such as between two scores of zero, goes to the lower loss.
    pub(crate) fn is_better_than(&self, other: &Self, metric: Metric) -> bool {
        if self.score == other.score {
            self.loss < other.loss
        } else {
            (self.score > other.score) == metric.higher_is_better()
        }
    }
}

/// Sums over all reports, validation left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trained {
    #[serde(with = "exact")]
    seconds: f64,
    /// Seconds of these in which training waited for data.
    #[serde(default, with = "exact")]
    waited: f64,
    src_tokens: usize,
    tgt_tokens: usize,
}

impl Trained {
    /// Adds what was done in `seconds`, `waited` of which went to waiting for data.
    pub(crate) fn add(&mut self, since: &Since, seconds: f64, waited: f64) {
        self.seconds += seconds;
        self.waited += waited;
        self.src_tokens += since.src_tokens;
        self.tgt_tokens += since.tgt_tokens;
    }

    pub(crate) fn src_tokens_per_s(&self) -> f64 {
        self.src_tokens as f64 / self.seconds
    }

    /// The share of the time in which training waited for data.
    pub(crate) fn waiting(&self) -> f64 {
        self.waited / self.seconds.max(f64::MIN_POSITIVE)
    }

    pub(crate) fn tgt_tokens_per_s(&self) -> f64 {
        self.tgt_tokens as f64 / self.seconds
    }
}

/// Sums since the last report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Since {
    /// Not kept: the speed of a report is that since the run went on.
    #[serde(skip, default = "Instant::now")]
    pub(crate) begun: Instant,
    pub(crate) steps: usize,
    pub(crate) skipped: usize,
    /// Tokens for the speed: since the run went on.
    #[serde(skip)]
    pub(crate) src_tokens: usize,
    #[serde(skip)]
    pub(crate) tgt_tokens: usize,
    /// Target tokens of the steps that were not skipped, as are the sums below.
    pub(crate) loss_tokens: usize,
    #[serde(with = "exact")]
    pub(crate) loss: f64,
    #[serde(with = "exact")]
    pub(crate) nll: f64,
    #[serde(with = "exact")]
    pub(crate) grad_norm: f64,
}

impl Default for Since {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            steps: 0,
            skipped: 0,
            src_tokens: 0,
            tgt_tokens: 0,
            loss_tokens: 0,
            loss: 0.0,
            nll: 0.0,
            grad_norm: 0.0,
        }
    }
}
