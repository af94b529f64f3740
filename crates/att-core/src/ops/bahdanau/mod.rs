//! The decoder of Bahdanau et al. over a whole target as one operation.

mod composed;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "cpu")]
mod kernel;
mod reference;
mod step;

use burn::tensor::{Tensor, assert_shape};

pub use reference::bahdanau_reference;
pub use step::{BahdanauStep, BahdanauStepInputs, bahdanau_step, bahdanau_step_composed};

/// What [`bahdanau`] works on: the recurrence, and the attention that feeds it.
#[derive(Clone, Debug)]
pub struct BahdanauInputs {
    /// y: the vectors of the previous target tokens, `[batch, tgt_len, d_embed]`.
    pub embedded: Tensor<3>,
    /// s[-1], `[batch, d_hidden]`.
    pub hidden: Tensor<2>,
    /// The LSTM's cell before the first step, `[batch, d_hidden]`; none for a GRU.
    pub cell: Option<Tensor<2>>,
    /// U m: the projected memory, `[batch, src_len, d_attn]`.
    pub keys: Tensor<3>,
    /// m: the memory, `[batch, src_len, d_memory]`.
    pub memory: Tensor<3>,
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
}

/// What [`bahdanau`] computes; zero beyond the length of a target.
#[derive(Clone, Debug)]
pub struct BahdanauStates {
    /// s and c side by side, `[batch, tgt_len, d_hidden + d_memory]`.
    pub hidden_and_context: Tensor<3>,
    /// The attention weights, `[batch, tgt_len, src_len]`.
    pub weights: Tensor<3>,
}

/// The recurrence of Bahdanau et al. 2015 (A.2.2), teacher-forced:
///
/// ```text
/// e[t, j] = v . tanh(W_q s[t-1] + b_q + U m[j])
/// a[t]    = softmax over the real tokens of e[t]
/// c[t]    = sum_j a[t, j] m[j]
/// s[t]    = cell([y[t]; c[t]] W + b, s[t-1])        GRU or LSTM
/// ```
///
/// - `src_lengths`, `tgt_lengths`: the number of real tokens of each row, from 1
///
/// On the CPU backends in f32 this is one node on the tape: each thread takes a share of the batch
/// through all steps, finished rows leave the products, weights are packed once, and the gradients
/// of the weights are one product each at the end. On GPUs it is one node, too, of five kernels a step,
/// and as many of its gradient. Elsewhere it is composed of the fused operations of a step.
///
/// # Panics
///
/// If shapes or lengths disagree, a size is 0, or one of cell and recurrent bias is missing or too many.
pub fn bahdanau(
    inputs: BahdanauInputs,
    src_lengths: &[usize],
    tgt_lengths: &[usize],
) -> BahdanauStates {
    let [batch, tgt_len, d_embed] = inputs.embedded.dims();
    let [_, src_len, d_memory] = inputs.memory.dims();
    let [d_hidden, d_attn] = inputs.query_weight.dims();
    let gates = if inputs.cell.is_some() { 4 } else { 3 };
    assert_shape!(inputs.hidden, [batch, d_hidden]);
    assert_shape!(inputs.keys, [batch, src_len, d_attn]);
    assert_shape!(inputs.memory, [batch, src_len, d_memory]);
    assert_shape!(inputs.query_bias, [d_attn]);
    assert_shape!(inputs.v, [d_attn]);
    assert_shape!(inputs.input_weight, [d_embed + d_memory, gates * d_hidden]);
    assert_shape!(inputs.input_bias, [gates * d_hidden]);
    assert_shape!(inputs.recurrent_weight, [d_hidden, gates * d_hidden]);
    super::assert_some("bahdanau", &inputs.embedded);
    super::assert_some("bahdanau", &inputs.memory);
    super::assert_some("bahdanau", &inputs.query_weight);
    if let Some(cell) = &inputs.cell {
        assert_shape!(cell, [batch, d_hidden]);
    }
    if let Some(bias) = &inputs.recurrent_bias {
        assert_shape!(bias, [d_hidden]);
    }
    assert_eq!(
        inputs.cell.is_some(),
        inputs.recurrent_bias.is_none(),
        "an LSTM has a cell and no recurrent bias, a GRU the reverse"
    );
    for (lengths, len) in [(src_lengths, src_len), (tgt_lengths, tgt_len)] {
        assert!(
            lengths.len() == batch && lengths.iter().all(|length| (1..=len).contains(length)),
            "lengths {lengths:?} of {batch} rows of up to {len} tokens"
        );
    }
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&inputs.embedded) {
        return cpu::bahdanau(inputs, src_lengths, tgt_lengths);
    }
    #[cfg(feature = "cube")]
    if super::has_cube_kernels(&inputs.embedded) {
        return cube::bahdanau(inputs, src_lengths, tgt_lengths);
    }
    composed::bahdanau_composed(inputs, src_lengths, tgt_lengths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{assert_close, devices, gradients, random_tensor};
    use burn::tensor::Device;

    /// batch, tgt_len, src_len, d_embed, d_memory, d_attn, d_hidden
    type Sizes = [usize; 7];

    const CASES: [(Sizes, &[usize], &[usize]); 3] = [
        ([1, 1, 1, 1, 1, 1, 1], &[1], &[1]),
        ([3, 4, 5, 2, 6, 7, 3], &[5, 1, 3], &[2, 4, 1]),
        ([5, 6, 3, 7, 10, 33, 17], &[3, 2, 3, 1, 3], &[6, 6, 3, 1, 5]),
    ];

    fn arguments(sizes: Sizes, lstm: bool, device: &Device) -> [Tensor<3>; 11] {
        let [batch, tgt_len, src_len, d_embed, d_memory, d_attn, d_hidden] = sizes;
        let gates = if lstm { 4 } else { 3 };
        let last = if lstm {
            [1, batch, d_hidden]
        } else {
            [1, 1, d_hidden]
        };
        [
            [batch, tgt_len, d_embed],
            [1, batch, d_hidden],
            [batch, src_len, d_attn],
            [batch, src_len, d_memory],
            [1, d_hidden, d_attn],
            [1, 1, d_attn],
            [1, 1, d_attn],
            [1, d_embed + d_memory, gates * d_hidden],
            [1, 1, gates * d_hidden],
            [1, d_hidden, gates * d_hidden],
            last,
        ]
        .map(|shape| random_tensor(shape, device))
    }

    fn run(
        arguments: [Tensor<3>; 11],
        lstm: bool,
        (src_lengths, tgt_lengths): (&[usize], &[usize]),
        fused: bool,
    ) -> Tensor<3> {
        let [embedded, hidden, keys, memory, wq, bq, v, wi, bi, wr, last] = arguments;
        let (matrix, vector) = (
            |t: Tensor<3>| t.squeeze_dim::<2>(0),
            |t: Tensor<3>| t.squeeze_dims::<1>(&[0, 1]),
        );
        let inputs = BahdanauInputs {
            embedded,
            hidden: matrix(hidden),
            cell: lstm.then(|| matrix(last.clone())),
            keys,
            memory,
            query_weight: matrix(wq),
            query_bias: vector(bq),
            v: vector(v),
            input_weight: matrix(wi),
            input_bias: vector(bi),
            recurrent_weight: matrix(wr),
            recurrent_bias: (!lstm).then(|| vector(last)),
        };
        let run = if fused { bahdanau } else { bahdanau_reference };
        let states = run(inputs, src_lengths, tgt_lengths);
        Tensor::cat(vec![states.hidden_and_context, states.weights], 2)
    }

    #[test]
    fn fused_equals_reference_on_every_backend() {
        for device in devices() {
            for (sizes, src, tgt) in CASES {
                for lstm in [false, true] {
                    crate::random::seed(3);
                    let arguments = arguments(sizes, lstm, &device);
                    let fused = run(arguments.clone(), lstm, (src, tgt), true);
                    assert_close(fused, run(arguments, lstm, (src, tgt), false), 1e-5);
                }
            }
        }
    }

    #[test]
    fn gradients_equal_those_of_the_reference() {
        for device in devices() {
            for (sizes, src, tgt) in CASES {
                for lstm in [false, true] {
                    crate::random::seed(4);
                    let arguments = arguments(sizes, lstm, &device);
                    let fused = gradients(arguments.clone(), |a| run(a, lstm, (src, tgt), true));
                    let reference = gradients(arguments, |a| run(a, lstm, (src, tgt), false));
                    for (fused, reference) in fused.into_iter().zip(reference) {
                        assert_close(fused, reference, 3e-5);
                    }
                }
            }
        }
    }
}
