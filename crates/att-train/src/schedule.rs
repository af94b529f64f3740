use att_core::{Error, Result, check};
use serde::{Deserialize, Serialize};

use crate::checkpoint::exact;

/// The learning rate over time; in TOML `schedule = { kind = "inverse_sqrt", lr = 1e-3 }`.
///
/// Each kind first rises linearly from 0 to `lr` over `warmup` steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ScheduleConfig {
    /// Stays at `lr`.
    Constant(ConstantConfig),
    /// `lr * sqrt(max(1, warmup) / step)` (Vaswani et al. 2017, eq. 3, scaled to peak at `lr`).
    InverseSqrt(ConstantConfig),
    /// Falls to `min_lr`, over the steps that `max_epochs` and `max_steps` allow, along half a cosine (Loshchilov and Hutter 2017, eq.
    /// 5, without restarts).
    Cosine(CosineConfig),
    /// Is multiplied by `factor` after `patience` validations in a row without a better score.
    Plateau(PlateauConfig),
}

/// Of [`ScheduleConfig::Constant`] and [`ScheduleConfig::InverseSqrt`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConstantConfig {
    /// The greatest learning rate; 1e-3 unless told.
    pub lr: f64,
    /// Steps of warm-up; 0 unless told.
    pub warmup: usize,
}

/// Of [`ScheduleConfig::Cosine`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CosineConfig {
    /// The greatest learning rate; 1e-3 unless told.
    pub lr: f64,
    /// Steps of warm-up; 0 unless told.
    pub warmup: usize,
    /// The learning rate at the end; 0 unless told.
    pub min_lr: f64,
}

/// Of [`ScheduleConfig::Plateau`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlateauConfig {
    /// The greatest learning rate; 1e-3 unless told.
    pub lr: f64,
    /// Steps of warm-up; 0 unless told.
    pub warmup: usize,
    /// What the learning rate is multiplied by; 0.5 unless told.
    pub factor: f64,
    /// Validations without a better score before that; 2 unless told.
    pub patience: usize,
    /// The least learning rate; 1e-5 unless told.
    pub min_lr: f64,
}

impl Default for ConstantConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            warmup: 0,
        }
    }
}

impl Default for CosineConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            warmup: 0,
            min_lr: 0.0,
        }
    }
}

impl Default for PlateauConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            warmup: 0,
            factor: 0.5,
            patience: 2,
            min_lr: 1e-5,
        }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Constant(ConstantConfig::default())
    }
}

impl ScheduleConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        let (lr, _) = self.peak();
        if !(lr > 0.0 && lr <= 10.0) {
            let reason =
                format!("{lr} is not a learning rate: use a number above 0, such as 0.001");
            return Err(Error::config("lr", reason));
        }
        let min_lr = match self {
            Self::Plateau(config) => {
                if !(config.factor > 0.0 && config.factor < 1.0) {
                    let reason = format!("{} must lie between 0 and 1", config.factor);
                    return Err(Error::config("factor", reason));
                }
                check::size("patience", config.patience)?;
                config.min_lr
            }
            Self::Cosine(config) => config.min_lr,
            Self::Constant(_) | Self::InverseSqrt(_) => 0.0,
        };
        if !(min_lr >= 0.0 && min_lr <= lr) {
            let reason = format!("{min_lr} must be from 0 to lr = {lr}");
            return Err(Error::config("min_lr", reason));
        }
        Ok(())
    }

    fn peak(&self) -> (f64, usize) {
        match self {
            Self::Constant(config) | Self::InverseSqrt(config) => (config.lr, config.warmup),
            Self::Cosine(config) => (config.lr, config.warmup),
            Self::Plateau(config) => (config.lr, config.warmup),
        }
    }

    /// The schedule of a run of `total_steps`.
    pub fn init(&self, total_steps: usize) -> Schedule {
        Schedule {
            config: self.clone(),
            total_steps,
            reduction: Reduction::default(),
        }
    }
}

/// The learning rate of a run.
#[derive(Clone, Debug)]
pub struct Schedule {
    config: ScheduleConfig,
    total_steps: usize,
    /// All that it remembers.
    pub(crate) reduction: Reduction,
}

/// What plateaus have made of the learning rate so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reduction {
    /// What it is multiplied by.
    #[serde(with = "exact")]
    factor: f64,
    /// Validations in a row without a better score.
    without_better: usize,
}

impl Default for Reduction {
    fn default() -> Self {
        Self {
            factor: 1.0,
            without_better: 0,
        }
    }
}

impl Schedule {
    /// The learning rate of a step; steps count from 1.
    pub fn lr(&self, step: usize) -> f64 {
        let (lr, warmup) = self.config.peak();
        if step < warmup {
            return lr * step as f64 / warmup as f64;
        }
        match &self.config {
            ScheduleConfig::Constant(_) => lr,
            ScheduleConfig::InverseSqrt(_) => {
                lr * (warmup.max(1) as f64 / step.max(1) as f64).sqrt()
            }
            ScheduleConfig::Cosine(config) => {
                let span = self.total_steps.saturating_sub(warmup).max(1);
                let progress = ((step - warmup) as f64 / span as f64).min(1.0);
                let height = (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0;
                config.min_lr + (lr - config.min_lr) * height
            }
            ScheduleConfig::Plateau(config) => (lr * self.reduction.factor).max(config.min_lr),
        }
    }

    /// Tells whether a validation was the best so far.
    pub fn validated(&mut self, better: bool) {
        let ScheduleConfig::Plateau(config) = &self.config else {
            return;
        };
        let Reduction {
            factor,
            without_better,
        } = &mut self.reduction;
        *without_better = if better { 0 } else { *without_better + 1 };
        if *without_better >= config.patience {
            *factor *= config.factor;
            *without_better = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(config: ScheduleConfig, steps: &[usize]) -> Vec<f64> {
        let schedule = config.init(100);
        steps.iter().map(|&step| schedule.lr(step)).collect()
    }

    #[test]
    fn each_kind_warms_up_and_follows_its_formula() {
        let warm = ConstantConfig { lr: 1.0, warmup: 4 };
        let constant = rates(ScheduleConfig::Constant(warm.clone()), &[1, 2, 4, 100]);
        assert_eq!(constant, [0.25, 0.5, 1.0, 1.0]);
        let inverse = rates(ScheduleConfig::InverseSqrt(warm), &[2, 4, 16, 64]);
        assert_eq!(inverse, [0.5, 1.0, 0.5, 0.25]);
        let cosine = CosineConfig {
            lr: 1.0,
            warmup: 0,
            min_lr: 0.2,
        };
        let cosine = rates(ScheduleConfig::Cosine(cosine), &[0, 50, 100, 200]);
        for (rate, expected) in cosine.iter().zip([1.0, 0.6, 0.2, 0.2]) {
            assert!((rate - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_plateau_lowers_the_rate_after_its_patience() {
        let config = PlateauConfig {
            lr: 1.0,
            patience: 2,
            factor: 0.5,
            min_lr: 0.3,
            ..Default::default()
        };
        let mut schedule = ScheduleConfig::Plateau(config).init(100);
        let mut rates = Vec::new();
        for better in [true, false, true, false, false, false, false] {
            schedule.validated(better);
            rates.push(schedule.lr(10));
        }
        assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.3]);
    }
}
