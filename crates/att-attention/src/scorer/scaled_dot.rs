use att_core::ops::dot_score;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Configuration of [`ScaledDot`]: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaledDotConfig {}

/// `score(q, m) = q . m / sqrt(d)` (Vaswani et al. 2017, eq. 1); needs `d_query == d_memory`.
#[derive(Module, Debug)]
pub struct ScaledDot {}

impl ScaledDot {
    /// `1 / sqrt(d)`.
    pub fn scale(&self, d: usize) -> f64 {
        1.0 / (d as f64).sqrt()
    }

    /// - `query`: `[batch, tgt_len, d]`, `keys`: `[batch, src_len, d]`
    /// - returns `[batch, tgt_len, src_len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn score(&self, query: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
        let [_, _, d] = query.dims();
        dot_score(query, keys, self.scale(d))
    }
}
