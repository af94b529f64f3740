use att_layers::{Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`Coverage`]: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoverageConfig {}

/// How much has been seen of a state enters its score (Tu et al. 2016, eq. 9, with the linguistic
/// coverage of eq. 6 without fertility; See et al. 2017, eq. 10 and 11):
///
/// ```text
/// coverage[t, s] = sum over the steps before t of their weights at s
/// score          = v . tanh(W q + U m[s] + w coverage[t, s])
/// ```
#[derive(Module, Debug)]
pub struct Coverage {
    /// w, stored as `[1, d_attn]`.
    pub projection: Linear,
}

impl Coverage {
    /// Fresh weights.
    pub fn new(d_attn: usize, device: &Device) -> Self {
        Self {
            projection: init::linear(1, d_attn, false, device),
        }
    }

    /// Of the coverage, `[rows, src_len]`, one signal: `[rows, src_len, 1]`.
    pub fn signals(&self, coverage: Tensor<2>) -> Tensor<3> {
        coverage.unsqueeze_dim(2)
    }
}
