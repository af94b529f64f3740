use att_core::{Result, check};
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Slots, WindowInput};

/// Configuration of [`Chunked`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChunkedConfig {
    /// States of a chunk; 64 unless told.
    pub size: usize,
    /// Source tokens a target token, by which the position moves; 1 unless told.
    pub ratio: f64,
}

impl Default for ChunkedConfig {
    fn default() -> Self {
        Self {
            size: 64,
            ratio: 1.0,
        }
    }
}

impl ChunkedConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("size", self.size)?;
        check::positive("ratio", self.ratio)
    }

    /// The window; it has no weights.
    pub fn init(&self) -> Chunked {
        Chunked {
            size: self.size,
            ratio: self.ratio,
        }
    }
}

/// The chunk of the source that a position lies in which moves along it: the states from `k size` to
/// `(k + 1) size - 1`, where `k = floor(c[t] / size)` and `c[t] = min(round(ratio t), src_len - 1)` as in
/// [`LocalM`](super::LocalM). Of the last chunk, what is there.
///
/// ```
/// use att_attention::{ChunkedConfig, WindowInput};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let window = ChunkedConfig { size: 4, ratio: 1.0 }.init();
/// let slots = window.slots(&WindowInput {
///     query: &Tensor::zeros([1, 2, 3], &device),
///     steps: &[0, 5], // two steps of one source
///     ends: &Tensor::from_data([20.0], &device),
///     src_len: 20,
/// });
/// let indices: Vec<i64> = slots.indices.into_data().iter().collect();
/// assert_eq!(indices, [0, 1, 2, 3, 4, 5, 6, 7]);
/// ```
#[derive(Module, Debug)]
pub struct Chunked {
    /// States of a chunk.
    pub size: usize,
    /// Source tokens a target token.
    pub ratio: f64,
}

impl Chunked {
    /// Which states each query sees.
    pub fn slots(&self, input: &WindowInput) -> Slots {
        let position: Tensor<2> = input.along(|step| (step as f64 * self.ratio).round());
        let size = self.size as f64;
        // Half a state aside, lest a rounded quotient fall below a whole number.
        let first = ((position + 0.5) / size).floor() * size;
        input.slots(first, self.size)
    }
}
