use std::collections::HashMap;

use att_core::ops::{AdamStep, adam_step};
use att_core::{Error, Result};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
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

    pub(crate) fn init(&self) -> Optimizer {
        let (beta_1, beta_2, epsilon, weight_decay) = match self {
            Self::Adam(config) => (config.beta_1, config.beta_2, config.epsilon, 0.0),
            Self::AdamW(config) => (
                config.beta_1,
                config.beta_2,
                config.epsilon,
                config.weight_decay,
            ),
        };
        Optimizer {
            rates: AdamStep {
                lr: 0.0,
                beta_1,
                beta_2,
                epsilon,
                weight_decay,
                scale: 1.0,
                time: 0,
            },
            states: HashMap::new(),
        }
    }
}

/// Adam or AdamW with its state of each weight; one pass over these a step
/// ([`adam_step`](att_core::ops::adam_step())).
#[derive(Debug)]
pub(crate) struct Optimizer {
    /// `lr`, `scale` and `time` are set in each step.
    rates: AdamStep,
    states: HashMap<ParamId, State>,
}

/// Of one weight.
#[derive(Debug)]
struct State {
    /// Steps done.
    time: usize,
    /// Of the weight's elements in a row, so that weights of all dimensions have one type.
    moments: [Tensor<1>; 2],
}

impl Optimizer {
    /// Steps done on a weight, and its moments, `[n]` each; none before the first.
    pub(crate) fn state(&self, id: ParamId) -> Option<(usize, &[Tensor<1>; 2])> {
        let state = self.states.get(&id)?;
        Some((state.time, &state.moments))
    }

    /// Goes on with a weight from this state.
    pub(crate) fn restore(&mut self, id: ParamId, time: usize, moments: [Tensor<1>; 2]) {
        self.states.insert(id, State { time, moments });
    }

    /// One step, with the gradients times `scale`. Weights that have no gradient stay as they are.
    ///
    /// The weights are written where they lie if nothing else holds them: a clone of the model
    /// costs a copy.
    pub(crate) fn step<M: Module>(
        &mut self,
        lr: f64,
        scale: f32,
        model: M,
        gradients: GradientsParams,
    ) -> M {
        (self.rates.lr, self.rates.scale) = (lr, scale);
        model.map(&mut Step {
            optimizer: self,
            gradients,
        })
    }
}

struct Step<'a> {
    optimizer: &'a mut Optimizer,
    gradients: GradientsParams,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let Some(gradient) = self.gradients.remove::<D>(id) else {
            return param;
        };
        let Optimizer { rates, states } = &mut *self.optimizer;
        param.map(|weight| {
            let weight = weight.inner();
            let shape = weight.dims();
            let elements = shape.iter().product::<usize>();
            let zeros = || Tensor::zeros([elements], &weight.device());
            let state = states.remove(&id).unwrap_or_else(|| State {
                time: 0,
                moments: [zeros(), zeros()],
            });
            let step = AdamStep {
                time: state.time + 1,
                ..rates.clone()
            };
            let moments = state.moments.map(|moment| moment.reshape(shape));
            let (weight, moments) = adam_step(weight, gradient, moments, &step);
            let state = State {
                time: step.time,
                moments: moments.map(|moment| moment.reshape([elements])),
            };
            states.insert(id, state);
            Tensor::from_inner(weight).require_grad()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::random;
    use att_layers::{Linear, init};
    use burn::optim::AdamWConfig as BurnAdamW;
    use burn::tensor::Device;

    fn gradients(layer: &Linear, input: &Tensor<2>) -> GradientsParams {
        let loss = (layer.forward(input.clone()) - 1.0).square().mean();
        GradientsParams::from_grads(loss.backward(), layer)
    }

    #[test]
    fn steps_equal_those_of_burn() {
        let device = Device::flex().autodiff();
        random::seed(12);
        let layer = init::linear(3, 2, true, &device);
        let input = Tensor::<2>::from_data([[1.0, -2.0, 0.5], [0.3, 0.1, 2.0]], &device);
        let mut optimizer = OptimizerConfig::AdamW(AdamWConfig::default()).init();
        let mut burn = BurnAdamW::new()
            .with_beta_1(0.9)
            .with_beta_2(0.98)
            .with_epsilon(1e-8)
            .with_weight_decay(0.01)
            .init();
        let (mut ours, mut theirs) = (layer.clone(), layer);
        for _ in 0..3 {
            let of_ours = gradients(&ours, &input);
            ours = optimizer.step(0.05, 1.0, ours, of_ours);
            let of_theirs = gradients(&theirs, &input);
            theirs = burn.step(0.05, theirs, of_theirs);
            let (a, b) = (ours.weight.val(), theirs.weight.val());
            assert!(a.inner().all_close(b.inner(), Some(1e-6), Some(1e-6)));
        }
    }
}
