use att_core::ops::batched_dot;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Configuration of [`Dot`]: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DotConfig {}

/// `score(q, m) = q . m` (Luong et al. 2015, eq. 8, "dot"); needs `d_query == d_memory`.
#[derive(Module, Debug)]
pub struct Dot {}

impl Dot {
    /// - `query`: `[batch, tgt_len, d]`, `keys`: `[batch, src_len, d]`
    /// - returns `[batch, tgt_len, src_len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn score(&self, query: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
        batched_dot(query, keys)
    }
}
