use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::average::flat;

/// A pull of weights towards those that a model began with (L2-SP, Li et al. 2018):
///
/// ```text
/// loss = loss + strength/2 ||weights - first weights||^2
/// ```
///
/// It is added to the gradient, so reported losses are without it.
#[derive(Debug)]
pub(crate) struct Anchor {
    strength: f64,
    /// Of each weight that is trained, its elements in a row.
    first: HashMap<ParamId, Tensor<1>>,
}

impl Anchor {
    /// - `model`: as it begins, on a device with autodiff
    pub(crate) fn new<M: Module>(strength: f64, model: &M) -> Self {
        struct Collect(HashMap<ParamId, Tensor<1>>);
        impl ModuleVisitor for Collect {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if param.val().is_require_grad() {
                    // A copy, since the optimiser writes to weights that nothing else holds.
                    self.0.insert(param.id, flat(param.val().inner()) * 1.0);
                }
            }
        }
        let mut collect = Collect(HashMap::new());
        model.visit(&mut collect);
        Self {
            strength,
            first: collect.0,
        }
    }

    /// Adds its gradient to those of a step.
    pub(crate) fn add<M: Module>(&self, gradients: &mut GradientsParams, model: &M) {
        struct Add<'a> {
            anchor: &'a Anchor,
            gradients: &'a mut GradientsParams,
        }
        impl ModuleVisitor for Add<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let Some(first) = self.anchor.first.get(&param.id) else {
                    return;
                };
                let weight = param.val().inner();
                let pull =
                    (weight.clone() - first.clone().reshape(weight.dims())) * self.anchor.strength;
                let sum = match self.gradients.remove::<D>(param.id) {
                    Some(gradient) => gradient + pull,
                    None => pull,
                };
                self.gradients.register(param.id, sum);
            }
        }
        model.visit(&mut Add {
            anchor: self,
            gradients,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::{host_vec, random};
    use att_layers::init::linear;
    use burn::tensor::Device;

    #[test]
    fn the_gradient_is_that_of_the_distance() {
        let device = Device::flex().autodiff();
        random::seed(1);
        let (first, now) = (linear(3, 2, true, &device), linear(3, 2, true, &device));
        let mut anchor = Anchor::new(0.5, &first);
        let weight = anchor.first.remove(&first.weight.id).unwrap();
        anchor.first.insert(now.weight.id, weight);
        let loss = || now.forward(Tensor::<2>::ones([1, 3], &device)).sum();
        let difference = now.weight.val() - Tensor::from_inner(first.weight.val().inner());
        let whole = loss() + difference.square().sum() * 0.25;
        let expected = GradientsParams::from_grads(whole.backward(), &now);
        let mut found = GradientsParams::from_grads(loss().backward(), &now);
        anchor.add(&mut found, &now);
        let [found, expected] = [found, expected].map(|gradients| {
            let weight = gradients.get::<2>(now.weight.id).unwrap();
            host_vec(weight)
        });
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
