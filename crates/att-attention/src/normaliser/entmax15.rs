use att_core::ops::{Alpha, entmax};
use burn::module::Module;
use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`Entmax15`]: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entmax15Config {}

/// `weights[s] = max(scores[s] / 2 - tau, 0)^2` with the tau that makes them sum to one (Peters et al.
/// 2019, eq. 10 with alpha 1.5): sparse, and smoother than [`Sparsemax`](super::Sparsemax). See
/// [`entmax()`].
///
/// ```
/// use att_attention::Entmax15;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let scores = Tensor::from_data([[[0.0, 2.0, 9.0]]], &device);
/// let mask = Tensor::from_data([[[false, false, true]]], &device);
/// let weights = att_core::host_vec(Entmax15 {}.weights(scores, mask));
/// assert_eq!(weights, [0.0, 1.0, 0.0]);
/// ```
#[derive(Module, Debug)]
pub struct Entmax15 {}

impl Entmax15 {
    /// - `scores`: `[batch, tgt_len, src_len]`
    /// - `mask`: true where masked, `[batch, 1, src_len]`
    pub fn weights(&self, scores: Tensor<3>, mask: Tensor<3, Bool>) -> Tensor<3> {
        entmax(scores, mask, Alpha::OneAndHalf)
    }
}
