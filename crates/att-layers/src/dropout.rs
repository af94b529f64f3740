use att_core::{is_training, random};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

/// Inverted dropout (Srivastava et al. 2014): in training each element is zero with probability
/// `prob` and else divided by `1 - prob`; in inference nothing changes.
///
/// Training is when the tensor's device has autodiff ([`is_training`]). The mask comes from [`att_core::random`],
/// so a seed gives the same masks on every backend.
///
/// Where it is variational (Gal and Ghahramani 2016), a sequence `[batch, len, d]` has one mask for all of
/// its steps, `[batch, 1, d]`.
#[derive(Module, Debug)]
pub struct Dropout {
    prob: f64,
    variational: bool,
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
        Self {
            prob,
            variational: false,
        }
    }

    /// The same, variational if told.
    pub fn variational(self, variational: bool) -> Self {
        Self {
            variational,
            ..self
        }
    }

    /// The mask for all steps of sequences, `[batch, 1, d]`, for a pass that is made of steps; none where it is
    /// not variational, or changes nothing.
    pub fn sequence_mask(&self, batch: usize, d: usize, device: &Device) -> Option<Tensor<3>> {
        match self.variational {
            true => self.factors([batch, 1, d], device),
            false => None,
        }
    }

    /// Returns a tensor of the same shape.
    ///
    /// # Panics
    ///
    /// If it is variational and `input` is not `[batch, len, d]`.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let mut shape = input.dims();
        if self.variational {
            assert_eq!(D, 3, "a mask for all steps needs [batch, len, d]");
            shape[1] = 1;
        }
        match self.factors(shape, &input.device()) {
            Some(factors) => input * factors,
            None => input,
        }
    }

    /// What [`forward`](Self::forward) multiplies a tensor of that shape with; none where that
    /// changes nothing. For operations that have dropout within.
    pub fn factors<const D: usize>(&self, shape: [usize; D], device: &Device) -> Option<Tensor<D>> {
        if self.prob == 0.0 || !is_training(device) {
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

    #[test]
    fn all_steps_have_one_mask_where_it_is_variational() {
        let dropout = Dropout::new(0.5).variational(true);
        let dropped = dropout.forward(Tensor::<3>::ones([2, 4, 20], &Device::flex().autodiff()));
        let step = |t: usize| dropped.clone().narrow(1, t, 1).into_data();
        for t in 1..4 {
            step(t).assert_eq(&step(0), true);
        }
        let row = |b: usize| dropped.clone().narrow(0, b, 1).into_data();
        assert_ne!(row(0), row(1), "each sequence has its own");
    }
}
