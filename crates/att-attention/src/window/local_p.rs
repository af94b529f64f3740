use att_core::ops::tanh;
use att_core::{Result, check};
use att_layers::{Linear, init};
use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Slots, WindowInput};

/// Configuration of [`LocalP`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalPConfig {
    /// D: how many states are seen on each side of the centre; 10 unless told, as in the paper.
    pub radius: usize,
    /// Size of the hidden layer that predicts the centre; 256 unless told.
    pub d_attn: usize,
}

impl Default for LocalPConfig {
    fn default() -> Self {
        Self {
            radius: 10,
            d_attn: 256,
        }
    }
}

impl LocalPConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("radius", self.radius)?;
        check::size("d_attn", self.d_attn)
    }

    /// Fresh weights.
    pub fn init(&self, d_query: usize, device: &Device) -> LocalP {
        LocalP {
            hidden: init::linear(d_query, self.d_attn, false, device),
            v: init::linear(self.d_attn, 1, false, device),
            radius: self.radius,
        }
    }
}

/// The states within D of a position that the query predicts, those near it preferred (Luong et al.
/// 2015, sec. 3.2, "local-p"):
///
/// ```text
/// p[t]         = src_len sigmoid(v . tanh(W q[t]))                           eq. 9
/// weights[t,s] = normalised[t,s] exp(-(s - p[t])^2 / (2 sigma^2))            eq. 10, sigma = D / 2
/// ```
///
/// Positions count from 0, `src_len` is the row's own, and the window's centre is the state next to p.
/// The weights sum to at most one; it is by the Gaussian that p is learned.
///
/// ```
/// use att_attention::{LocalPConfig, WindowInput};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let window = LocalPConfig { radius: 2, d_attn: 4 }.init(3, &device);
/// let slots = window.slots(&WindowInput {
///     query: &Tensor::zeros([1, 2, 3], &device),
///     steps: &[0, 5], // two steps of one source
///     ends: &Tensor::from_data([20.0], &device),
///     src_len: 20,
/// });
/// assert_eq!(slots.indices.dims(), [1, 2, 5]);
/// // A query of zeros predicts the middle.
/// assert_eq!(att_core::host_vec(slots.prior.unwrap())[2], 1.0);
/// ```
#[derive(Module, Debug)]
pub struct LocalP {
    /// W, stored as `[d_query, d_attn]`.
    pub hidden: Linear,
    /// v, stored as `[d_attn, 1]`.
    pub v: Linear,
    /// D.
    pub radius: usize,
}

impl LocalP {
    /// Which states each query sees, and how much each of them counts.
    pub fn slots(&self, input: &WindowInput) -> Slots {
        let hidden = tanh(self.hidden.forward(input.query.clone()));
        let share = sigmoid(self.v.forward(hidden)).squeeze_dim::<2>(2);
        let position: Tensor<2> = share * input.ends.clone().unsqueeze_dim(1);
        let centre = input.within(position.clone().detach().round());
        let mut slots = input.slots(centre - self.radius as f64, 2 * self.radius + 1);
        let distance = slots.indices.clone().float() - position.unsqueeze_dim(2);
        let sigma = self.radius as f64 / 2.0;
        let exponent = distance.clone() * distance * (-0.5 / (sigma * sigma));
        slots.prior = Some(exponent.exp());
        slots
    }
}
