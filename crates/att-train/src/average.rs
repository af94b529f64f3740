use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// The mean of a model's weights over the steps of its training (Polyak and Juditsky 1992), the last
/// weighted most:
///
/// ```text
/// mean_t = d_t mean_(t-1) + (1 - d_t) weights_t        d_t = min(decay, 1 - 1/t)
/// ```
///
/// So it is the plain mean of the first `1 / (1 - decay)` steps, and from there on exponential
/// (Tarvainen and Valpola 2017, whose teacher starts likewise).
#[derive(Debug)]
pub(crate) struct WeightAverage {
    decay: f64,
    /// Steps that are in it.
    pub(crate) steps: usize,
    /// Of each weight, its elements in a row.
    pub(crate) means: HashMap<ParamId, Tensor<1>>,
}

impl WeightAverage {
    /// None where `decay` is 0.
    pub(crate) fn new(decay: f64) -> Option<Self> {
        (decay > 0.0).then(|| Self {
            decay,
            steps: 0,
            means: HashMap::new(),
        })
    }

    /// Takes in the weights after a step.
    ///
    /// - `model`: on a device with autodiff
    pub(crate) fn update<M: Module>(&mut self, model: &M) {
        struct Update<'a> {
            decay: f64,
            means: &'a mut HashMap<ParamId, Tensor<1>>,
        }
        impl ModuleVisitor for Update<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let weight = flat(param.val().inner());
                let mean = match self.means.remove(&param.id) {
                    Some(mean) => mean * self.decay + weight * (1.0 - self.decay),
                    // A copy, since the optimiser writes to weights that nothing else holds.
                    None => weight * 1.0,
                };
                self.means.insert(param.id, mean);
            }
        }
        self.steps += 1;
        model.visit(&mut Update {
            decay: self.decay.min(1.0 - 1.0 / self.steps as f64),
            means: &mut self.means,
        });
    }

    /// A model with the means as its weights; itself before the first step.
    ///
    /// - `model`: on a device without autodiff
    pub(crate) fn apply<M: Module>(&self, model: M) -> M {
        struct Apply<'a>(&'a HashMap<ParamId, Tensor<1>>);
        impl ModuleMapper for Apply<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let Some(mean) = self.0.get(&param.id) else {
                    return param;
                };
                param.map(|weight| mean.clone().reshape(weight.dims()))
            }
        }
        model.map(&mut Apply(&self.means))
    }
}

/// The elements in a row, `[n]`.
pub(crate) fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let elements = tensor.dims().iter().product::<usize>();
    tensor.reshape([elements])
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_layers::Linear;
    use att_layers::init::linear;
    use burn::tensor::Device;

    fn with_weights(layer: &Linear, numbers: [f32; 2]) -> Linear {
        struct Set([f32; 2]);
        impl ModuleMapper for Set {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|old| {
                    let new = Tensor::<1>::from_data(self.0, &old.device());
                    new.reshape(old.dims()).require_grad()
                })
            }
        }
        layer.clone().map(&mut Set(numbers))
    }

    #[test]
    fn the_mean_is_plain_at_first_and_then_exponential() {
        let layer = linear(1, 2, false, &Device::flex().autodiff());
        let mut average = WeightAverage::new(0.75).unwrap();
        let mean = |average: &WeightAverage| -> Vec<f32> {
            let model = average.apply(layer.valid());
            model.weight.val().into_data().iter().collect()
        };
        assert_eq!(mean(&average), {
            let own: Vec<f32> = layer.weight.val().into_data().iter().collect();
            own
        });
        let mut expected = 0.0;
        for (step, weight) in [1.0, 3.0, 8.0, 4.0, 12.0, -4.0].into_iter().enumerate() {
            average.update(&with_weights(&layer, [weight, -weight]));
            expected = match step {
                0..4 => (expected * step as f32 + weight) / (step + 1) as f32,
                _ => 0.75 * expected + 0.25 * weight,
            };
            let found = mean(&average);
            assert!((found[0] - expected).abs() < 1e-5, "{found:?} {expected}");
            assert_eq!(found[0], -found[1]);
        }
        assert!(WeightAverage::new(0.0).is_none());
    }
}
