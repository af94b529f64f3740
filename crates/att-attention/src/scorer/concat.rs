use att_core::ops::{additive_score, linear};
use att_core::{Result, check};
use att_layers::init;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`Concat`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConcatConfig {
    /// Size of the hidden layer; 256 unless told.
    pub d_attn: usize,
}

impl Default for ConcatConfig {
    fn default() -> Self {
        Self { d_attn: 256 }
    }
}

impl ConcatConfig {
    /// # Errors
    ///
    /// If `d_attn` is not a size.
    pub fn validate(&self) -> Result<()> {
        check::size("d_attn", self.d_attn)
    }

    /// Fresh weights.
    pub fn init(&self, d_query: usize, d_memory: usize, device: &Device) -> Concat {
        let d_input = d_query + d_memory;
        Concat {
            weight: init::linear(d_input, self.d_attn, false, device).weight,
            v: init::uniform([self.d_attn], super::additive::bound(self.d_attn), device),
            d_query,
        }
    }
}

/// `score(q, m) = v . tanh(W [q; m])` (Luong et al. 2015, eq. 8, "concat").
///
/// The rows of W that meet q and those that meet m are multiplied apart, so the keys are made once a
/// source: it is [`Additive`](super::Additive) without a bias, its weights in one matrix.
///
/// ```
/// use att_attention::ConcatConfig;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let concat = ConcatConfig { d_attn: 8 }.init(2, 3, &device);
/// let keys = concat.keys(Tensor::ones([1, 5, 3], &device)); // once a source
/// let scores = concat.score(Tensor::ones([1, 4, 2], &device), keys);
/// assert_eq!(scores.dims(), [1, 4, 5]);
/// ```
#[derive(Module, Debug)]
pub struct Concat {
    /// W, stored as `[d_query + d_memory, d_attn]`.
    pub weight: Param<Tensor<2>>,
    /// v, `[d_attn]`.
    pub v: Param<Tensor<1>>,
    d_query: usize,
}

impl Concat {
    /// The rows of W that meet q, `[d_query, d_attn]`.
    pub fn query_weight(&self) -> Tensor<2> {
        self.weight.val().narrow(0, 0, self.d_query)
    }

    /// `[batch, src_len, d_memory]` to `[batch, src_len, d_attn]`.
    pub fn keys(&self, memory: Tensor<3>) -> Tensor<3> {
        let [_, _, d_memory] = memory.dims();
        let weight = self.weight.val().narrow(0, self.d_query, d_memory);
        linear(memory, weight, None)
    }

    /// - `query`: `[batch, tgt_len, d_query]`, `keys`: `[batch, src_len, d_attn]`
    /// - returns `[batch, tgt_len, src_len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn score(&self, query: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
        let query = linear(query, self.query_weight(), None);
        additive_score(query, keys, self.v.val())
    }
}
