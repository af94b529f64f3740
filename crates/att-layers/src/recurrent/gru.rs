use att_core::ops::GruArguments;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::bias_of_all_rows;
use crate::{Linear, init};

/// Gated recurrent unit; see [`att_core::ops::gru()`] for the equations.
#[derive(Module, Debug)]
pub struct Gru {
    /// Input projection with the bias of all gates (r, z, n), `[d_input, 3 * d_hidden]`.
    pub input: Linear,
    /// Recurrent weights, `[d_hidden, 3 * d_hidden]`.
    pub recurrent: Param<Tensor<2>>,
    /// Bias of the recurrent part of n, inside the reset gate, `[d_hidden]`.
    pub recurrent_bias: Param<Tensor<1>>,
}

impl Gru {
    /// Weights uniform within `1 / sqrt(d_hidden)`, biases zero.
    pub fn new(d_input: usize, d_hidden: usize, device: &Device) -> Self {
        let bound = 1.0 / (d_hidden as f64).sqrt();
        Self {
            input: Linear {
                weight: init::uniform([d_input, 3 * d_hidden], bound, device),
                bias: Some(init::constant([3 * d_hidden], 0.0, device)),
            },
            recurrent: init::uniform([d_hidden, 3 * d_hidden], bound, device),
            recurrent_bias: init::constant([d_hidden], 0.0, device),
        }
    }

    /// What [`gru`](att_core::ops::gru()) takes, for these weights.
    ///
    /// - `input`: `[batch, len, d_input]`
    /// - `hidden`: where it starts, `[batch, d_hidden]`
    pub fn arguments(&self, input: Tensor<3>, hidden: Tensor<2>) -> GruArguments {
        GruArguments {
            input,
            input_weight: self.input.weight.val(),
            input_bias: bias_of_all_rows(&self.input),
            recurrent_weight: self.recurrent.val(),
            recurrent_bias: self.recurrent_bias.val(),
            hidden,
        }
    }
}
