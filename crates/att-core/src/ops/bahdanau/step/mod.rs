//! A step of decoding as one operation.

mod composed;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(test)]
mod tests;

use burn::tensor::{Bool, Tensor, assert_shape};

pub use composed::bahdanau_step_composed;

use crate::RecurrentState;

/// What [`bahdanau_step`] works on. `rows` is `batch * beam`, the rows of a source side by side.
#[derive(Clone, Debug)]
pub struct BahdanauStepInputs {
    /// y: the vectors of the previous target tokens, `[rows, d_embed]`.
    pub embedded: Tensor<2>,
    /// The state before the step, `[rows, d_hidden]`; with the cell of an LSTM.
    pub state: RecurrentState,
    /// U m: the projected memory, `[batch, src_len, d_attn]`.
    pub keys: Tensor<3>,
    /// m as the products that read a context make it, side by side, `[batch, src_len, gates * d_hidden +
    /// d_output]`: `m W_c`, where W_c are the rows of W behind the first `d_embed`, and `m D_c`, where D_c
    /// are the rows of D between the first `d_hidden` and the last `d_embed`.
    pub projected: Tensor<3>,
    /// True at padding, `[batch, src_len]`.
    pub src_pad_mask: Tensor<2, Bool>,
    /// W_q, `[d_hidden, d_attn]`.
    pub query_weight: Tensor<2>,
    /// b_q, `[d_attn]`.
    pub query_bias: Tensor<1>,
    /// v, `[d_attn]`.
    pub v: Tensor<1>,
    /// W of the recurrent layer's input `[y; c]`, `[d_embed + d_memory, gates * d_hidden]`; four
    /// gates (i, f, g, o) of an LSTM, three (r, z, n) of a GRU.
    pub input_weight: Tensor<2>,
    /// b of the recurrent layer's input, `[gates * d_hidden]`.
    pub input_bias: Tensor<1>,
    /// The recurrent weights, `[d_hidden, gates * d_hidden]`.
    pub recurrent_weight: Tensor<2>,
    /// The bias inside a GRU's reset gate, `[d_hidden]`; none for an LSTM.
    pub recurrent_bias: Option<Tensor<1>>,
    /// D of the deep output over `[s; c; y]`, `[d_hidden + d_memory + d_embed, d_output]`.
    pub deep_weight: Tensor<2>,
    /// b_d, `[d_output]`.
    pub deep_bias: Tensor<1>,
}

/// What [`bahdanau_step`] computes.
#[derive(Clone, Debug)]
pub struct BahdanauStep {
    /// o: what the output layer reads, `[rows, d_output]`.
    pub features: Tensor<2>,
    /// a: the attention weights, `[rows, src_len]`.
    pub weights: Tensor<2>,
    /// The state after the step.
    pub state: RecurrentState,
}

/// A step of the decoder of Bahdanau et al. 2015 (A.2.2), up to the output layer:
///
/// ```text
/// e[j] = v . tanh(W_q s[t-1] + b_q + U m[j])
/// a    = softmax over the real tokens of e
/// c    = sum_j a[j] m[j]
/// s[t] = cell([y; c] W + b, s[t-1])                 GRU or LSTM
/// o    = tanh([s[t]; c; y] D + b_d)
/// ```
///
/// The products with c are taken from the memory before it is averaged: `c W_c = sum_j a[j] (m[j] W_c)`.
///
/// Where [`steps_are_one`](crate::ops::steps_are_one) it is one pass over slices. Elsewhere, and on the tape, it is composed
/// of the fused operations of its parts.
///
/// # Panics
///
/// If shapes disagree, a size is 0, or one of cell and recurrent bias is missing or too many.
pub fn bahdanau_step(inputs: BahdanauStepInputs) -> BahdanauStep {
    let [rows, d_embed] = inputs.embedded.dims();
    let [batch, src_len, d_projected] = inputs.projected.dims();
    let [d_hidden, d_attn] = inputs.query_weight.dims();
    let [d_deep, d_output] = inputs.deep_weight.dims();
    let gates = if inputs.state.cell.is_some() { 4 } else { 3 };
    assert!(
        batch > 0 && rows.is_multiple_of(batch),
        "as many rows of each source: {rows} rows of {batch} sources"
    );
    assert!(d_deep > d_hidden + d_embed, "a deep output over a context");
    let d_memory = d_deep - d_hidden - d_embed;
    assert_eq!(d_projected, gates * d_hidden + d_output);
    assert_shape!(inputs.state.hidden, [rows, d_hidden]);
    assert_shape!(inputs.keys, [batch, src_len, d_attn]);
    assert_shape!(inputs.src_pad_mask, [batch, src_len]);
    assert_shape!(inputs.query_bias, [d_attn]);
    assert_shape!(inputs.v, [d_attn]);
    assert_shape!(inputs.input_weight, [d_embed + d_memory, gates * d_hidden]);
    assert_shape!(inputs.input_bias, [gates * d_hidden]);
    assert_shape!(inputs.recurrent_weight, [d_hidden, gates * d_hidden]);
    assert_shape!(inputs.deep_bias, [d_output]);
    crate::ops::assert_some("bahdanau_step", &inputs.embedded);
    crate::ops::assert_some("bahdanau_step", &inputs.projected);
    crate::ops::assert_some("bahdanau_step", &inputs.query_weight);
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
    if crate::ops::steps_are_one(&inputs.embedded) {
        return cpu::bahdanau_step(inputs);
    }
    bahdanau_step_composed(inputs)
}
