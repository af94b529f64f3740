use att_core::{Result, check};
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Slots, WindowInput};

/// Configuration of [`LocalM`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalMConfig {
    /// D: how many states are seen on each side of the centre; 10 unless told, as in the paper.
    pub radius: usize,
    /// Source tokens a target token, by which the centre moves; 1 unless told, as in the paper.
    pub ratio: f64,
}

impl Default for LocalMConfig {
    fn default() -> Self {
        Self {
            radius: 10,
            ratio: 1.0,
        }
    }
}

impl LocalMConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("radius", self.radius)?;
        check::positive("ratio", self.ratio)
    }

    /// The window; it has no weights.
    pub fn init(&self) -> LocalM {
        LocalM {
            radius: self.radius,
            ratio: self.ratio,
        }
    }
}

/// The states from `c - D` to `c + D` around a centre that slides along the source (Luong et al. 2015,
/// sec. 3.2, "local-m", where the ratio is 1): `c[t] = min(round(ratio t), src_len - 1)`, by the row's
/// own length; a step beyond the end of the source stays there.
///
/// ```
/// use att_attention::{LocalMConfig, WindowInput};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let window = LocalMConfig { radius: 1, ratio: 2.0 }.init();
/// let slots = window.slots(&WindowInput {
///     query: &Tensor::zeros([1, 2, 3], &device),
///     steps: &[0, 5], // two steps of one source
///     ends: &Tensor::from_data([20.0], &device),
///     src_len: 20,
/// });
/// let indices: Vec<i64> = slots.indices.into_data().iter().collect();
/// assert_eq!(indices[3..], [9, 10, 11]);
/// ```
#[derive(Module, Debug)]
pub struct LocalM {
    /// D.
    pub radius: usize,
    /// Source tokens a target token.
    pub ratio: f64,
}

impl LocalM {
    /// Which states each query sees.
    pub fn slots(&self, input: &WindowInput) -> Slots {
        let centre: Tensor<2> = input.along(|step| (step as f64 * self.ratio).round());
        input.slots(centre - self.radius as f64, 2 * self.radius + 1)
    }
}
