use att_core::random;
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

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
        if self.prob == 0.0 || !input.device().is_autodiff() {
            return input;
        }
        let shape = input.shape();
        let mask = random::dropout_mask(shape.num_elements(), self.prob);
        let mask = Tensor::from_data(TensorData::new(mask, shape), &input.device());
        input * mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

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
