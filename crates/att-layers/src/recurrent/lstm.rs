use att_core::ops::LstmArguments;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::bias_of_all_rows;
use crate::{Linear, init};

/// Long short-term memory; see [`att_core::ops::lstm()`] for the equations.
#[derive(Module, Debug)]
pub struct Lstm {
    /// Input projection with the bias of all gates (i, f, g, o), `[d_input, 4 * d_hidden]`.
    pub input: Linear,
    /// Recurrent weights, `[d_hidden, 4 * d_hidden]`.
    pub recurrent: Param<Tensor<2>>,
}

impl Lstm {
    /// Weights uniform within `1 / sqrt(d_hidden)`; biases zero, but one for the forget gate, so
    /// that a new network remembers (Jozefowicz et al. 2015).
    pub fn new(d_input: usize, d_hidden: usize, device: &Device) -> Self {
        let bound = 1.0 / (d_hidden as f64).sqrt();
        let mut bias = vec![0.0; 4 * d_hidden];
        bias[d_hidden..2 * d_hidden].fill(1.0);
        Self {
            input: Linear {
                weight: init::uniform([d_input, 4 * d_hidden], bound, device),
                bias: Some(init::param(bias, [4 * d_hidden], device)),
            },
            recurrent: init::uniform([d_hidden, 4 * d_hidden], bound, device),
        }
    }

    /// What [`lstm`](att_core::ops::lstm()) takes, for these weights.
    ///
    /// - `input`: `[batch, len, d_input]`
    /// - `hidden`, `cell`: where it starts, `[batch, d_hidden]`
    pub fn arguments(&self, input: Tensor<3>, hidden: Tensor<2>, cell: Tensor<2>) -> LstmArguments {
        LstmArguments {
            input,
            input_weight: self.input.weight.val(),
            input_bias: bias_of_all_rows(&self.input),
            recurrent_weight: self.recurrent.val(),
            hidden,
            cell,
        }
    }
}
