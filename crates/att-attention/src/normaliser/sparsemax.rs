use att_core::ops::{Alpha, entmax};
use burn::module::Module;
use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`Sparsemax`]: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparsemaxConfig {}

/// `weights[s] = max(scores[s] - tau, 0)` with the tau that makes them sum to one (Martins and
/// Astudillo 2016, eq. 4): most states have no weight at all. See [`entmax()`].
///
/// ```
/// use att_attention::Sparsemax;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let scores = Tensor::from_data([[[0.0, 2.0, 9.0]]], &device);
/// let mask = Tensor::from_data([[[false, false, true]]], &device);
/// let weights = att_core::host_vec(Sparsemax {}.weights(scores, mask));
/// assert_eq!(weights, [0.0, 1.0, 0.0]);
/// ```
#[derive(Module, Debug)]
pub struct Sparsemax {}

impl Sparsemax {
    /// - `scores`: `[batch, tgt_len, src_len]`
    /// - `mask`: true where masked, `[batch, 1, src_len]`
    pub fn weights(&self, scores: Tensor<3>, mask: Tensor<3, Bool>) -> Tensor<3> {
        entmax(scores, mask, Alpha::Two)
    }
}
