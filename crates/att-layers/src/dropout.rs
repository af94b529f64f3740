use att_core::random;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

/// Inverted dropout (Srivastava et al. 2014): in training each element is zero with probability
/// `prob` and else divided by `1 - prob`; in inference nothing changes.
///
/// Training is when the tensor's device has autodiff. The mask comes from [`att_core::random`],
/// so a seed gives the same masks on every backend.
#[derive(Module, Debug)]
pub struct Dropout {
    prob: f64,
}

impl Dropout {
    /// # Panics
    ///
    /// If `prob` is not in `[0, 1)`.
    pub fn new(prob: f64) -> Self {
        assert!(
            (0.0..1.0).contains(&prob),
            "dropout of {prob} is not in [0, 1)"
        );
        Self { prob }
    }

    /// Returns a tensor of the same shape.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        match self.factors(input.dims(), &input.device()) {
            Some(factors) => input * factors,
            None => input,
        }
    }

    /// What [`forward`](Self::forward) multiplies a tensor of that shape with; none where that
    /// changes nothing. For operations that have dropout within.
    pub fn factors<const D: usize>(&self, shape: [usize; D], device: &Device) -> Option<Tensor<D>> {
        if self.prob == 0.0 || !device.is_autodiff() {
            return None;
        }
        let factors = random::dropout_mask(shape.iter().product(), self.prob);
        Some(Tensor::from_data(TensorData::new(factors, shape), device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_training_drops() {
        let dropout = Dropout::new(0.5);
        let plain = Tensor::<2>::ones([10, 10], &Device::flex());
        let kept = dropout.forward(plain.clone());
        kept.into_data().assert_eq(&plain.clone().into_data(), true);

        let dropped = dropout.forward(plain.autodiff());
        let values: Vec<f32> = dropped.into_data().iter().collect();
        assert!(values.iter().all(|&x| x == 0.0 || x == 2.0));
        assert!(values.contains(&0.0) && values.contains(&2.0));
    }
}
