use att_core::{Error, Result};
use burn::optim::{AdamConfig as BurnAdam, AdamWConfig as BurnAdamW, ModuleOptimizer};
use serde::{Deserialize, Serialize};

/// What makes steps of gradients; in TOML `optimizer = { kind = "adamw", weight_decay = 0.01 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OptimizerConfig {
    /// Adam (Kingma and Ba 2015).
    Adam(AdamConfig),
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    #[serde(rename = "adamw")]
    AdamW(AdamWConfig),
}

/// Configuration of Adam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
    /// Decay of the first moment; 0.9 unless told.
    pub beta_1: f32,
    /// Decay of the second moment; 0.98 unless told.
    pub beta_2: f32,
    /// Added to the root of the second moment; 1e-8 unless told.
    pub epsilon: f32,
}

/// Configuration of AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the first moment; 0.9 unless told.
    pub beta_1: f32,
    /// Decay of the second moment; 0.98 unless told.
    pub beta_2: f32,
    /// Added to the root of the second moment; 1e-8 unless told.
    pub epsilon: f32,
    /// Share of each weight taken off in a step, times the learning rate; 0.01 unless told.
    pub weight_decay: f32,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.98,
            epsilon: 1e-8,
        }
    }
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Adam(AdamConfig::default())
    }
}

impl OptimizerConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        let (beta_1, beta_2, epsilon, weight_decay) = match self {
            Self::Adam(config) => (config.beta_1, config.beta_2, config.epsilon, 0.0),
            Self::AdamW(config) => (
                config.beta_1,
                config.beta_2,
                config.epsilon,
                config.weight_decay,
            ),
        };
        for (key, beta) in [("beta_1", beta_1), ("beta_2", beta_2)] {
            if !(0.0..1.0).contains(&beta) {
                let reason = format!("{beta} is not a decay: use a number from 0 to below 1");
                return Err(Error::config(key, reason));
            }
        }
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return Err(Error::config(
                "epsilon",
                format!("{epsilon} must lie between 0 and 1"),
            ));
        }
        if !(0.0..1.0).contains(&weight_decay) {
            let reason = format!("{weight_decay} must be from 0 to below 1");
            return Err(Error::config("weight_decay", reason));
        }
        Ok(())
    }

    pub(crate) fn init(&self) -> ModuleOptimizer {
        match self {
            Self::Adam(config) => BurnAdam::new()
                .with_beta_1(config.beta_1)
                .with_beta_2(config.beta_2)
                .with_epsilon(config.epsilon)
                .init(),
            Self::AdamW(config) => BurnAdamW::new()
                .with_beta_1(config.beta_1)
                .with_beta_2(config.beta_2)
                .with_epsilon(config.epsilon)
                .with_weight_decay(config.weight_decay)
                .init(),
        }
    }
}
