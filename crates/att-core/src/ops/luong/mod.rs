//! The input-feeding decoder of Luong et al. over a whole target as one operation.

mod composed;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "cpu")]
mod kernel;
mod reference;
mod step;
#[cfg(test)]
mod tests;

use burn::tensor::{Tensor, assert_shape};

pub use reference::luong_reference;
pub use step::{LuongStep, LuongStepInputs, luong_step, luong_step_composed};

/// What [`luong`] works on: the recurrence, and the attention whose result it is fed.
#[derive(Clone, Debug)]
pub struct LuongInputs {
    /// y: the vectors of the previous target tokens, `[batch, tgt_len, d_embed]`.
    pub embedded: Tensor<3>,
    /// s before the first step, `[batch, d_hidden]`.
    pub hidden: Tensor<2>,
    /// The LSTM's cell before the first step, `[batch, d_hidden]`; none for a GRU.
    pub cell: Option<Tensor<2>>,
    /// k: the projected memory, `[batch, src_len, d_key]`.
    pub keys: Tensor<3>,
    /// m: the memory, `[batch, src_len, d_memory]`.
    pub memory: Tensor<3>,
    /// How a state scores a key.
    pub score: LuongScore,
    /// W of the recurrent layer's input `[y; f]`, `[d_embed + d_attentional, gates * d_hidden]`;
    /// four gates (i, f, g, o) of an LSTM, three (r, z, n) of a GRU.
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
    /// p: what the attentional vectors are multiplied by, zero or above,
    /// `[batch, tgt_len, d_attentional]`; not differentiated.
    pub dropout: Option<Tensor<3>>,
}

/// How [`luong`] scores a key with a state.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // a pass has one
pub enum LuongScore {
    /// `scale s . k`, with `d_key = d_hidden`: dot, scaled dot, and general (Luong et al. 2015,
    /// eq. 8).
    Dot {
        /// Of the product.
        scale: f64,
    },
    /// `v . tanh(W_q s + b_q + k)` (Bahdanau et al. 2015, A.1.2).
    Additive {
        /// W_q, `[d_hidden, d_key]`.
        query_weight: Tensor<2>,
        /// b_q, `[d_key]`.
        query_bias: Tensor<1>,
        /// v, `[d_key]`.
        v: Tensor<1>,
    },
}

/// What [`luong`] computes; zero beyond the length of a target.
#[derive(Clone, Debug)]
pub struct LuongStates {
    /// f, `[batch, tgt_len, d_attentional]`.
    pub attentional: Tensor<3>,
    /// The attention weights, `[batch, tgt_len, src_len]`.
    pub weights: Tensor<3>,
}

/// The recurrence of Luong et al. 2015 with input feeding (sec. 3.3), teacher-forced:
///
/// ```text
/// s[t]    = cell([y[t]; f[t-1]] W + b, s[t-1])      LSTM or GRU; f before the first step is 0
/// e[t, j] = score(s[t], k[j])
/// a[t]    = softmax over the real tokens of e[t]
/// c[t]    = sum_j a[t, j] m[j]
/// f[t]    = p[t] tanh([s[t]; c[t]] W_a + b_a)       p is 1 without dropout
/// ```
///
/// - `src_lengths`: the number of real tokens of each source; one of none has zero weights
/// - `tgt_lengths`: that of each target, from 1
///
/// On the CPU backends in f32 this is one node on the tape: each thread takes a share of the batch
/// through all steps, finished rows leave the products, padding of sources is skipped, weights are
/// packed once, and the gradients of the weights are one product each at the end. Elsewhere it is
/// composed of the fused operations of a step.
///
/// # Panics
///
/// If shapes or lengths disagree, a size is 0, or one of cell and recurrent bias is missing or too
/// many.
pub fn luong(inputs: LuongInputs, src_lengths: &[usize], tgt_lengths: &[usize]) -> LuongStates {
    inputs.assert_shapes();
    super::assert_some("luong", &inputs.embedded);
    super::assert_some("luong", &inputs.memory);
    super::assert_some("luong", &inputs.attentional_weight);
    super::assert_some("luong", &inputs.recurrent_weight);
    let [batch, tgt_len, _] = inputs.embedded.dims();
    let [_, src_len, _] = inputs.memory.dims();
    for (lengths, least, most) in [(src_lengths, 0, src_len), (tgt_lengths, 1, tgt_len)] {
        let fit = lengths.iter().all(|length| (least..=most).contains(length));
        assert!(
            lengths.len() == batch && fit,
            "lengths {lengths:?} of {batch} rows of {least} to {most} tokens"
        );
    }
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&inputs.embedded) {
        return cpu::luong(inputs, src_lengths, tgt_lengths);
    }
    composed::luong_composed(inputs, src_lengths, tgt_lengths)
}

impl LuongInputs {
    fn assert_shapes(&self) {
        let [batch, tgt_len, d_embed] = self.embedded.dims();
        let [_, src_len, d_memory] = self.memory.dims();
        let [_, d_hidden] = self.hidden.dims();
        let [_, d_out] = self.attentional_weight.dims();
        let [_, _, d_key] = self.keys.dims();
        let gates = if self.cell.is_some() { 4 } else { 3 };
        assert_shape!(self.hidden, [batch, d_hidden]);
        assert_shape!(self.keys, [batch, src_len, d_key]);
        assert_shape!(self.memory, [batch, src_len, d_memory]);
        match &self.score {
            LuongScore::Dot { .. } => assert_eq!(d_key, d_hidden, "sizes of keys and states"),
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
        assert_shape!(self.input_weight, [d_embed + d_out, gates * d_hidden]);
        assert_shape!(self.input_bias, [gates * d_hidden]);
        assert_shape!(self.recurrent_weight, [d_hidden, gates * d_hidden]);
        assert_shape!(self.attentional_weight, [d_hidden + d_memory, d_out]);
        assert_shape!(self.attentional_bias, [d_out]);
        if let Some(cell) = &self.cell {
            assert_shape!(cell, [batch, d_hidden]);
        }
        if let Some(bias) = &self.recurrent_bias {
            assert_shape!(bias, [d_hidden]);
        }
        assert_eq!(
            self.cell.is_some(),
            self.recurrent_bias.is_none(),
            "an LSTM has a cell and no recurrent bias, a GRU the reverse"
        );
        if let Some(dropout) = &self.dropout {
            assert_shape!(dropout, [batch, tgt_len, d_out]);
        }
    }
}
