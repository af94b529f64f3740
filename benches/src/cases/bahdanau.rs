//! The recurrence of Bahdanau et al. over a whole target, with a GRU as in the paper.

use att_core::ops::bahdanau::{BahdanauInputs, BahdanauStates, bahdanau, bahdanau_reference};
use burn::tensor::{Device, Tensor};

use crate::{Case, Variant, lengths, matrix, tensor};

/// batch, tgt_len, src_len, d_embed, d_memory, d_attn, d_hidden.
const SHAPES: [[usize; 7]; 2] = [
    [64, 25, 25, 256, 1024, 512, 512],
    [64, 8, 8, 128, 256, 128, 256],
];

pub(super) fn cases() -> Vec<Case> {
    let case = |shape: [usize; 7]| {
        Case::new("bahdanau", &shape, move |device| variants(shape, device)).marked("ragged")
    };
    SHAPES.map(case).into()
}

/// Embedded target and first state; keys and memory; W_q, b_q and v; and the weights of the GRU:
/// W, b, the recurrent weights, and the bias inside the reset gate.
type Parts = (
    (Tensor<3>, Tensor<2>),
    (Tensor<3>, Tensor<3>),
    (Tensor<2>, Tensor<1>, Tensor<1>),
    (Tensor<2>, Tensor<1>, Tensor<2>, Tensor<1>),
);

fn parts(shape: [usize; 7], device: &Device) -> Parts {
    let [batch, tgt_len, src_len, d_embed, d_memory, d_attn, d] = shape;
    let v = tensor([d_attn], device) * (1.0 / (d_attn as f64).sqrt());
    (
        (
            tensor([batch, tgt_len, d_embed], device),
            tensor([batch, d], device),
        ),
        (
            tensor([batch, src_len, d_attn], device),
            tensor([batch, src_len, d_memory], device),
        ),
        (matrix(d, d_attn, device), tensor([d_attn], device), v),
        (
            matrix(d_embed + d_memory, 3 * d, device),
            tensor([3 * d], device),
            matrix(d, 3 * d, device),
            tensor([d], device),
        ),
    )
}

fn inputs(((embedded, hidden), (keys, memory), query, gru): Parts) -> BahdanauInputs {
    let (query_weight, query_bias, v) = query;
    let (input_weight, input_bias, recurrent_weight, recurrent_bias) = gru;
    BahdanauInputs {
        embedded,
        hidden,
        cell: None,
        keys,
        memory,
        query_weight,
        query_bias,
        v,
        input_weight,
        input_bias,
        recurrent_weight,
        recurrent_bias: Some(recurrent_bias),
    }
}

fn variants(shape: [usize; 7], device: &Device) -> Vec<Variant> {
    let [batch, tgt_len, src_len, ..] = shape;
    let of = |run: fn(BahdanauInputs, &[usize], &[usize]) -> BahdanauStates| {
        let (src, tgt) = (lengths(batch, src_len), lengths(batch, tgt_len));
        move |parts: Parts| run(inputs(parts), &src, &tgt).hidden_and_context
    };
    Variant::pair(&parts(shape, device), of(bahdanau), of(bahdanau_reference))
}
