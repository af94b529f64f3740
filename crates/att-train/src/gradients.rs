//! The gradient of all weights as one vector.

use std::collections::HashMap;

use att_core::host_vec;
use att_core::ops::square_sum;
use att_model::weights;
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// The Euclidean norm over all weights.
pub(crate) fn norm<M: Module>(gradients: &GradientsParams, module: &M) -> f32 {
    struct Norm<'a> {
        gradients: &'a GradientsParams,
        squares: Option<Tensor<1>>,
    }
    impl ModuleVisitor for Norm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let square = square_sum(gradient);
                self.squares = Some(match self.squares.take() {
                    Some(sum) => sum + square,
                    None => square,
                });
            }
        }
    }
    let mut norm = Norm {
        gradients,
        squares: None,
    };
    module.visit(&mut norm);
    norm.squares
        .map_or(0.0, |squares| squares.sqrt().into_scalar())
}

/// The weights, and the gradients of weights, that have numbers which are not finite, by name.
pub(crate) fn not_finite<M: Module>(gradients: &GradientsParams, module: &M) -> Vec<String> {
    struct Find<'a> {
        gradients: &'a GradientsParams,
        names: HashMap<ParamId, String>,
        found: Vec<String>,
    }
    impl ModuleVisitor for Find<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = &self.names[&param.id];
            let broken = |tensor| host_vec::<D>(tensor).iter().any(|x| !x.is_finite());
            if broken(param.val()) {
                self.found.push(name.clone());
            }
            if self.gradients.get::<D>(param.id).is_some_and(broken) {
                self.found.push(format!("the gradient of {name}"));
            }
        }
    }
    let named = weights::named(module).into_iter();
    let mut find = Find {
        gradients,
        names: named.map(|(name, weight)| (weight.id, name)).collect(),
        found: Vec::new(),
    };
    module.visit(&mut find);
    find.found
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_layers::init::linear;
    use burn::tensor::Device;

    #[test]
    fn the_norm_is_over_all_weights() {
        let device = Device::flex().autodiff();
        let layer = linear(2, 1, true, &device);
        let input = Tensor::<2>::from_data([[3.0, 4.0]], &device);
        let grads = layer.forward(input).sum().backward();
        let gradients = GradientsParams::from_grads(grads, &layer);
        // 3 and 4 for the weights, 1 for the bias.
        assert!((norm(&gradients, &layer) - 26f32.sqrt()).abs() < 1e-6);
        assert!(not_finite(&gradients, &layer).is_empty());
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let device = Device::flex().autodiff();
        let layer = linear(2, 1, true, &device);
        let input = Tensor::<2>::from_data([[f32::INFINITY, 4.0]], &device);
        let grads = layer.forward(input).sum().backward();
        let gradients = GradientsParams::from_grads(grads, &layer);
        assert_eq!(
            not_finite(&gradients, &layer),
            ["the gradient of weight"],
            "that of the bias is 1"
        );
    }
}
