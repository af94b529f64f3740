use att_core::{Error, Result, check};
use att_layers::{Linear, init};
use burn::module::{Module, Param};
use burn::tensor::module::conv1d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of [`LocationSensitive`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocationSensitiveConfig {
    /// How many filters; 10 unless told, as in the paper.
    pub filters: usize,
    /// States that a filter sees, an odd number; 31 unless told.
    pub width: usize,
    /// Whether the filters read the sum of all weights so far (Shen et al. 2018) rather than those of
    /// the last step; false unless told.
    pub cumulative: bool,
}

impl Default for LocationSensitiveConfig {
    fn default() -> Self {
        Self {
            filters: 10,
            width: 31,
            cumulative: false,
        }
    }
}

impl LocationSensitiveConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("filters", self.filters)?;
        check::size("width", self.width)?;
        if self.width.is_multiple_of(2) {
            let reason = format!("{} has no middle: use an odd number", self.width);
            return Err(Error::config("width", reason));
        }
        Ok(())
    }

    /// Fresh weights.
    pub fn init(&self, d_attn: usize, device: &Device) -> LocationSensitive {
        let bound = (6.0 / (self.width * (1 + self.filters)) as f64).sqrt();
        LocationSensitive {
            filters: init::uniform([self.filters, 1, self.width], bound, device),
            projection: init::linear(self.filters, d_attn, false, device),
            cumulative: self.cumulative,
        }
    }
}

/// Where the last step looked enters the scores (Chorowski et al. 2015, eq. 8 and 9):
///
/// ```text
/// f[t]  = F * weights[t-1]                      a convolution along the source; zero before the first step
/// score = v . tanh(W q + V m[s] + U f[t, s] + b)
/// ```
///
/// ```
/// use att_attention::{AttentionConfig, HistoryConfig};
/// use att_core::{EncoderOutput, mask::src_pad_mask};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let config = AttentionConfig {
///     history: HistoryConfig::LocationSensitive(Default::default()),
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
/// assert_eq!(step.state.weights.unwrap().dims(), [1, 4]);
/// ```
#[derive(Module, Debug)]
pub struct LocationSensitive {
    /// F, `[filters, 1, width]`.
    pub filters: Param<Tensor<3>>,
    /// U, stored as `[filters, d_attn]`.
    pub projection: Linear,
    /// Whether the filters read the sum of all weights so far.
    pub cumulative: bool,
}

impl LocationSensitive {
    /// Of weights, `[rows, src_len]`: `[rows, src_len, filters]`.
    pub fn signals(&self, weights: Tensor<2>) -> Tensor<3> {
        let filters = self.filters.val();
        let [_, _, width] = filters.dims();
        let options = ConvOptions::new([1], [width / 2], [1], 1);
        conv1d(weights.unsqueeze_dim(1), filters, None, options).swap_dims(1, 2)
    }
}
