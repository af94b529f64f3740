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
///
/// ```
/// use att_attention::{AttentionConfig, HistoryConfig};
/// use att_core::{EncoderOutput, mask::src_pad_mask};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let config = AttentionConfig {
///     history: HistoryConfig::Coverage(Default::default()),
///     ..Default::default()
/// };
/// let attention = config.init(2, 3, &device);
/// let source = EncoderOutput {
///     memory: Tensor::ones([1, 4, 3], &device),
///     src_pad_mask: src_pad_mask(&[4], 4, &device),
///     final_states: vec![],
/// };
/// let state = attention.initial_state(&source.src_pad_mask);
/// let step = attention.step(Tensor::ones([1, 1, 2], &device), &attention.prepare(&source), state);
/// let coverage = att_core::host_vec(step.state.coverage.unwrap());
/// assert!((coverage.iter().sum::<f32>() - 1.0).abs() < 1e-6); // one step's weights so far
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
