//! The recurrence of Luong et al. with input feeding over a whole target, with an LSTM and dot
//! products as in the paper.

use att_core::ops::luong::{LuongInputs, LuongScore, LuongStates, luong, luong_reference};
use burn::tensor::{Device, Tensor};

use crate::{Case, Variant, lengths, matrix, tensor};

/// batch, tgt_len, src_len, d_embed, d_memory, d_hidden, d_attentional.
const SHAPES: [[usize; 7]; 2] = [
    [64, 25, 25, 256, 512, 512, 512],
    [64, 8, 8, 128, 256, 256, 256],
];

pub(super) fn cases() -> Vec<Case> {
    let case = |shape: [usize; 7]| {
        Case::new("luong", &shape, move |device| variants(shape, device)).marked("ragged")
    };
    SHAPES.map(case).into()
}

/// Embedded target and first state; keys and memory; the weights of the LSTM: W, b and the recurrent
/// weights; W_a and b_a.
type Parts = (
    (Tensor<3>, Tensor<2>, Tensor<2>),
    (Tensor<3>, Tensor<3>),
    (Tensor<2>, Tensor<1>, Tensor<2>),
    (Tensor<2>, Tensor<1>),
);

fn parts(shape: [usize; 7], device: &Device) -> Parts {
    let [batch, tgt_len, src_len, d_embed, d_memory, d, d_out] = shape;
    (
        (
            tensor([batch, tgt_len, d_embed], device),
            tensor([batch, d], device),
            tensor([batch, d], device),
        ),
        (
            tensor([batch, src_len, d], device),
            tensor([batch, src_len, d_memory], device),
        ),
        (
            matrix(d_embed + d_out, 4 * d, device),
            tensor([4 * d], device),
            matrix(d, 4 * d, device),
        ),
        (matrix(d + d_memory, d_out, device), tensor([d_out], device)),
    )
}

fn inputs((start, (keys, memory), lstm, attentional): Parts) -> LuongInputs {
    let (embedded, hidden, cell) = start;
    let (input_weight, input_bias, recurrent_weight) = lstm;
    let (attentional_weight, attentional_bias) = attentional;
    let [_, d] = hidden.dims();
    LuongInputs {
        embedded,
        hidden,
        cell: Some(cell),
        keys,
        memory,
        score: LuongScore::Dot {
            scale: 1.0 / (d as f64).sqrt(),
        },
        input_weight,
        input_bias,
        recurrent_weight,
        recurrent_bias: None,
        attentional_weight,
        attentional_bias,
        dropout: None,
    }
}

fn variants(shape: [usize; 7], device: &Device) -> Vec<Variant> {
    let [batch, tgt_len, src_len, ..] = shape;
    let of = |run: fn(LuongInputs, &[usize], &[usize]) -> LuongStates| {
        let (src, tgt) = (lengths(batch, src_len), lengths(batch, tgt_len));
        move |parts: Parts| run(inputs(parts), &src, &tgt).attentional
    };
    Variant::pair(&parts(shape, device), of(luong), of(luong_reference))
}
