//! The gradient of all weights as one vector.

use att_core::ops::square_sum;
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
    }
}
