use att_core::ops;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::init;

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// `y = gamma (x - mean) / sqrt(variance + 1e-5) + beta` over the last dimension (Ba et al. 2016,
/// eq. 4), as one operation ([`att_core::ops::layer_norm()`]).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[d]`, ones at first.
    pub gamma: Param<Tensor<1>>,
    /// `[d]`, zeros at first.
    pub beta: Param<Tensor<1>>,
}

impl LayerNorm {
    /// Of vectors of `d`.
    pub fn new(d: usize, device: &Device) -> Self {
        Self {
            gamma: init::constant([d], 1.0, device),
            beta: init::constant([d], 0.0, device),
        }
    }

    /// `[.., d]`, of two dimensions or more, to the same shape.
    ///
    /// # Panics
    ///
    /// If the last dimension is not `d`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::layer_norm(x, self.gamma.val(), self.beta.val(), EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_get_mean_zero_and_variance_one() {
        let device = Device::flex();
        let norm = LayerNorm::new(4, &device);
        let x = Tensor::<2>::from_data([[1.0, 2.0, 3.0, 6.0], [-1.0, -1.0, 1.0, 1.0]], &device);
        let y = norm.forward(x);
        let mean = y.clone().mean_dim(1);
        assert!(mean.abs().max().into_scalar::<f32>() < 1e-6);
        let variance = y.square().mean_dim(1) - 1.0;
        assert!(variance.abs().max().into_scalar::<f32>() < 1e-4);
    }
}
