use att_core::ops::batched_dot;
use att_layers::{Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`General`]: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneralConfig {}

/// `score(q, m) = q . (W m)` (Luong et al. 2015, eq. 8, "general").
#[derive(Module, Debug)]
pub struct General {
    /// W, stored as `[d_memory, d_query]`.
    pub key: Linear,
}

impl General {
    /// Fresh weights.
    pub fn new(d_query: usize, d_memory: usize, device: &Device) -> Self {
        Self {
            key: init::linear(d_memory, d_query, false, device),
        }
    }

    /// W m: `[batch, src_len, d_memory]` to `[batch, src_len, d_query]`.
    pub fn keys(&self, memory: Tensor<3>) -> Tensor<3> {
        self.key.forward(memory)
    }

    /// - `query`: `[batch, tgt_len, d_query]`, `keys`: `[batch, src_len, d_query]`
    /// - returns `[batch, tgt_len, src_len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn score(&self, query: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
        batched_dot(query, keys)
    }
}
