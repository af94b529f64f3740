use att_core::ops::dot_score;
use att_layers::{Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`Bilinear`]: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BilinearConfig {}

/// `score(q, m) = q W m + u . m` (Dozat and Manning 2017, eq. 6): how well both fit, and how much the
/// state is worth to any query.
///
/// A term of the query alone, or a constant, would raise all scores of a query alike, which changes no
/// weight. The keys are the memory itself, so a source costs no product of its own; the terms are
/// computed as `(q W + u) . m`.
///
/// ```
/// use att_attention::Bilinear;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let bilinear = Bilinear::new(2, 3, &device);
/// let memory = Tensor::ones([1, 5, 3], &device);
/// let scores = bilinear.score(Tensor::ones([1, 4, 2], &device), memory);
/// assert_eq!(scores.dims(), [1, 4, 5]);
/// ```
#[derive(Module, Debug)]
pub struct Bilinear {
    /// W, stored as `[d_query, d_memory]`, and u as its bias.
    pub query: Linear,
}

impl Bilinear {
    /// Fresh weights.
    pub fn new(d_query: usize, d_memory: usize, device: &Device) -> Self {
        Self {
            query: init::linear(d_query, d_memory, true, device),
        }
    }

    /// - `query`: `[batch, tgt_len, d_query]`, `keys`: the memory, `[batch, src_len, d_memory]`
    /// - returns `[batch, tgt_len, src_len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn score(&self, query: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
        dot_score(self.query.forward(query), keys, 1.0)
    }
}
