//! The gradient of all weights as one vector: its norm, and clipping.

use burn::module::{Module, ModuleVisitor, Param};
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
                let square = gradient.square().sum();
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

/// Multiplies all gradients by a factor.
pub(crate) fn scale<M: Module>(gradients: &mut GradientsParams, module: &M, factor: f32) {
    struct Scale<'a> {
        gradients: &'a mut GradientsParams,
        factor: f32,
    }
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.remove::<D>(param.id) {
                self.gradients.register(param.id, gradient * self.factor);
            }
        }
    }
    module.visit(&mut Scale { gradients, factor });
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_layers::init::linear;
    use burn::tensor::Device;

    #[test]
    fn scaling_scales_the_norm() {
        let device = Device::flex().autodiff();
        let layer = linear(2, 1, true, &device);
        let input = Tensor::<2>::from_data([[3.0, 4.0]], &device);
        let grads = layer.forward(input).sum().backward();
        let mut gradients = GradientsParams::from_grads(grads, &layer);
        // 3 and 4 for the weights, 1 for the bias.
        let before = norm(&gradients, &layer);
        assert!((before - 26f32.sqrt()).abs() < 1e-6);
        scale(&mut gradients, &layer, 0.5);
        assert!((norm(&gradients, &layer) - before / 2.0).abs() < 1e-6);
    }
}
