//! A step of decoding as one operation.

mod composed;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(test)]
mod tests;

use burn::tensor::{Bool, Tensor, assert_shape};

pub use composed::luong_step_composed;

use super::LuongScore;
use crate::RecurrentState;

/// What [`luong_step`] works on. `rows` is `batch * beam`, the rows of a source side by side.
#[derive(Clone, Debug)]
pub struct LuongStepInputs {
    /// y, or `[y; f[t-1]]` with input feeding: what the recurrent layer reads, `[rows, d_input]`.
    pub input: Tensor<2>,
    /// The state before the step, `[rows, d_hidden]`; with the cell of an LSTM.
    pub state: RecurrentState,
    /// k: the projected memory, `[batch, src_len, d_key]`.
    pub keys: Tensor<3>,
    /// m as W_a makes it, `m W_c` with the last rows of W_a, `[batch, src_len, d_attentional]`.
    pub projected: Tensor<3>,
    /// True at padding, `[batch, src_len]`.
    pub src_pad_mask: Tensor<2, Bool>,
    /// How a state scores a key.
    pub score: LuongScore,
    /// W of the recurrent layer's input, `[d_input, gates * d_hidden]`; four gates (i, f, g, o) of an LSTM,
    /// three (r, z, n) of a GRU.
    pub input_weight: Tensor<2>,
    /// b of the recurrent layer's input, `[gates * d_hidden]`.
    pub input_bias: Tensor<1>,
    /// The recurrent weights, `[d_hidden, gates * d_hidden]`.
    pub recurrent_weight: Tensor<2>,
    /// The bias inside a GRU's reset gate, `[d_hidden]`; none for an LSTM.
    pub recurrent_bias: Option<Tensor<1>>,
    /// W_a, `[d_hidden + d_memory, d_attentional]`.
    pub attentional_weight: Tensor<2>,
    /// b_a, `[d_attentional]`.
    pub attentional_bias: Tensor<1>,
}

/// What [`luong_step`] computes.
#[derive(Clone, Debug)]
pub struct LuongStep {
    /// f: the attentional vectors, `[rows, d_attentional]`.
    pub attentional: Tensor<2>,
    /// a: the attention weights, `[rows, src_len]`.
    pub weights: Tensor<2>,
    /// The state after the step.
    pub state: RecurrentState,
}

/// A step of the decoder of Luong et al. 2015 (sec. 3), up to the output layer:
///
/// ```text
/// s[t] = cell(x W + b, s[t-1])                      LSTM or GRU
/// e[j] = score(s[t], k[j])
/// a    = softmax over the real tokens of e
/// c    = sum_j a[j] m[j]
/// f[t] = tanh([s[t]; c] W_a + b_a)
/// ```
///
/// The product with c is taken from the memory before it is averaged: `c W_c = sum_j a[j] (m[j] W_c)`.
///
/// Where [`steps_are_one`](crate::ops::steps_are_one) it is one pass over slices. Elsewhere, and on the tape,
/// it is composed of the fused operations of its parts.
///
/// # Panics
///
/// If shapes disagree, a size is 0, or one of cell and recurrent bias is missing or too many.
pub fn luong_step(inputs: LuongStepInputs) -> LuongStep {
    let [rows, d_input] = inputs.input.dims();
    let [batch, src_len, d_attentional] = inputs.projected.dims();
    let [_, d_hidden] = inputs.state.hidden.dims();
    let [d_joined, _] = inputs.attentional_weight.dims();
    let [_, _, d_key] = inputs.keys.dims();
    let gates = if inputs.state.cell.is_some() { 4 } else { 3 };
    assert!(
        batch > 0 && rows.is_multiple_of(batch),
        "as many rows of each source: {rows} rows of {batch} sources"
    );
    assert!(d_joined > d_hidden, "an attentional vector over a context");
    assert_shape!(inputs.state.hidden, [rows, d_hidden]);
    assert_shape!(inputs.keys, [batch, src_len, d_key]);
    assert_shape!(inputs.src_pad_mask, [batch, src_len]);
    match &inputs.score {
        LuongScore::Dot { .. } => assert_eq!(d_key, d_hidden, "a dot product"),
        LuongScore::Additive {
            query_weight,
            query_bias,
            v,
        } => {
            assert_shape!(query_weight, [d_hidden, d_key]);
            assert_shape!(query_bias, [d_key]);
            assert_shape!(v, [d_key]);
        }
    }
    assert_shape!(inputs.input_weight, [d_input, gates * d_hidden]);
    assert_shape!(inputs.input_bias, [gates * d_hidden]);
    assert_shape!(inputs.recurrent_weight, [d_hidden, gates * d_hidden]);
    assert_shape!(inputs.attentional_weight, [d_joined, d_attentional]);
    assert_shape!(inputs.attentional_bias, [d_attentional]);
    crate::ops::assert_some("luong_step", &inputs.input);
    crate::ops::assert_some("luong_step", &inputs.keys);
    crate::ops::assert_some("luong_step", &inputs.projected);
    crate::ops::assert_some("luong_step", &inputs.state.hidden);
    if let Some(cell) = &inputs.state.cell {
        assert_shape!(cell, [rows, d_hidden]);
    }
    if let Some(bias) = &inputs.recurrent_bias {
        assert_shape!(bias, [d_hidden]);
    }
    assert_eq!(
        inputs.state.cell.is_some(),
        inputs.recurrent_bias.is_none(),
        "an LSTM has a cell and no recurrent bias, a GRU the reverse"
    );
    #[cfg(feature = "cpu")]
    if crate::ops::steps_are_one(&inputs.input) {
        return cpu::luong_step(inputs);
    }
    luong_step_composed(inputs)
}
