use std::fmt;

use serde::{Deserialize, Serialize};

use crate::TrainingConfig;
use crate::checkpoint::exact;

/// Why a step was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The loss or the norm of the gradient is no finite number.
    NotFinite,
    /// The norm of the gradient is a spike: see [`TrainingConfig::spike_factor`].
    Spike,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFinite => "not finite",
            Self::Spike => "a spike of the gradient",
        })
    }
}

/// Says which steps are skipped.
#[derive(Debug)]
pub(crate) struct Guard {
    spike_factor: f64,
    pub(crate) state: GuardState,
}

/// What a [`Guard`] has seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuardState {
    /// Steps that were skipped, up to now without a break.
    pub(crate) in_a_row: usize,
    /// Steps that were not skipped.
    taken: usize,
    /// Mean norm of the gradients of these, the last weighted most.
    #[serde(with = "exact")]
    mean_norm: f64,
}

/// Steps before a norm can be a spike: the first ones are large and differ.
const CALM_AFTER: usize = 50;
/// How much of the mean norm is kept in a step.
const DECAY: f64 = 0.99;

impl Guard {
    pub(crate) fn new(training: &TrainingConfig) -> Self {
        Self {
            spike_factor: training.spike_factor,
            state: GuardState::default(),
        }
    }

    /// Whether to skip the step with this loss and norm of the gradient; takes it into account.
    pub(crate) fn judge(&mut self, loss: f32, grad_norm: f32) -> Option<SkipReason> {
        let (norm, state) = (f64::from(grad_norm), &mut self.state);
        let limit = self.spike_factor * state.mean_norm;
        let reason = if !loss.is_finite() || !grad_norm.is_finite() {
            SkipReason::NotFinite
        } else if self.spike_factor > 0.0 && state.taken >= CALM_AFTER && norm > limit {
            SkipReason::Spike
        } else {
            state.in_a_row = 0;
            state.taken += 1;
            // A plain mean in the beginning.
            let decay = DECAY.min(1.0 - 1.0 / state.taken as f64);
            state.mean_norm = decay * state.mean_norm + (1.0 - decay) * norm;
            return None;
        };
        state.in_a_row += 1;
        Some(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_and_spikes_are_skipped_and_counted() {
        let mut guard = Guard::new(&TrainingConfig {
            spike_factor: 10.0,
            ..Default::default()
        });
        assert_eq!(guard.judge(1.0, 1e6), None, "the beginning is not calm");
        for _ in 0..2000 {
            assert_eq!(guard.judge(1.0, 2.0), None);
        }
        assert_eq!(guard.judge(1.0, 19.9), None);
        assert_eq!(guard.judge(1.0, 30.0), Some(SkipReason::Spike));
        assert_eq!(guard.judge(f32::NAN, 2.0), Some(SkipReason::NotFinite));
        assert_eq!(guard.judge(1.0, f32::INFINITY), Some(SkipReason::NotFinite));
        assert_eq!(guard.state.in_a_row, 3);
        assert_eq!(guard.judge(1.0, 2.0), None, "a spike raises no mean");
        assert_eq!(guard.state.in_a_row, 0);
    }

    #[test]
    fn spikes_are_taken_unless_told() {
        let mut guard = Guard::new(&TrainingConfig::default());
        for norm in [[1.0; 100], [1e9; 100]].concat() {
            assert_eq!(guard.judge(1.0, norm), None);
        }
    }
}
