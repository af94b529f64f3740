use att_core::ops::monotonic_alignment;
use att_core::{Error, Result, check, is_training, random};
use att_layers::init;
use burn::module::{Module, Param};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Bool, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Configuration of [`Monotonic`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonotonicConfig {
    /// r before training: below 0 the head does not stop at the first state that it sees; -1 unless
    /// told.
    pub offset: f64,
    /// Deviation of the noise on the scores in training, which makes the probabilities go towards 0
    /// and 1; 1 unless told.
    pub noise: f64,
}

impl Default for MonotonicConfig {
    fn default() -> Self {
        Self {
            offset: -1.0,
            noise: 1.0,
        }
    }
}

impl MonotonicConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        if !self.offset.is_finite() {
            let reason = format!("{} is not a number", self.offset);
            return Err(Error::config("offset", reason));
        }
        check::not_negative("noise", self.noise)
    }

    /// Fresh weights.
    pub fn init(&self, device: &Device) -> Monotonic {
        Monotonic {
            offset: init::constant([1], self.offset as f32, device),
            noise: self.noise,
        }
    }
}

/// Hard monotonic attention (Raffel et al. 2017): a head goes over the source from left to right, and
/// looks at the one state where it stops.
///
/// ```text
/// p[t, s] = sigmoid(scores[t, s] + r + noise)                  that the head stops at s (eq. 14)
/// weights = monotonic_alignment(p[t], weights[t-1])            eq. 11 to 13
/// ```
///
/// On a device with autodiff the weights are those that are expected, and in training noise is added;
/// else p is rounded to 0 or 1, so a step looks at one state, or at none once the head has left the
/// source. The first step starts at the first state. Weights sum to at most one. The paper's gain g
/// is left to the scorer.
///
/// All scores of a step are computed, also of states behind the head.
///
/// ```
/// use att_attention::MonotonicConfig;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex(); // no autodiff: hard
/// let monotonic = MonotonicConfig::default().init(&device);
/// let scores = Tensor::from_data([[[9.0, -9.0, 9.0, 9.0]]], &device);
/// let mask = Tensor::from_data([[[false; 4]]], &device);
/// let second = Tensor::from_data([[[0.0, 1.0, 0.0, 0.0]]], &device);
/// let weights = att_core::host_vec(monotonic.alignment(scores, mask, second));
/// assert_eq!(weights, [0.0, 0.0, 1.0, 0.0]); // from the second on, the first that stops it
/// ```
#[derive(Module, Debug)]
pub struct Monotonic {
    /// r, `[1]`.
    pub offset: Param<Tensor<1>>,
    noise: f64,
}

impl Monotonic {
    /// - `scores`: `[batch, tgt_len, src_len]`
    /// - `mask`: true where masked, `[batch, 1, src_len]`
    /// - `previous`: the alignment of each row's last step, `[batch, tgt_len, src_len]`
    pub fn alignment(
        &self,
        scores: Tensor<3>,
        mask: Tensor<3, Bool>,
        previous: Tensor<3>,
    ) -> Tensor<3> {
        let (shape, device) = (scores.dims(), scores.device());
        let scores = scores + self.offset.val().unsqueeze();
        let p = if device.is_autodiff() {
            sigmoid(match self.noise {
                noise if noise > 0.0 && is_training(&device) => {
                    let noise = random::normal(shape.iter().product(), noise as f32);
                    scores + Tensor::from_data(TensorData::new(noise, shape), &device)
                }
                _ => scores,
            })
        } else {
            scores.greater_equal_elem(0.0).float()
        };
        monotonic_alignment(p.mask_fill(mask.expand(shape), 0.0), previous)
    }
}
