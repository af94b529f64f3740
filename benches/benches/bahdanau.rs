//! The recurrence of Bahdanau et al. over a whole target, with a GRU as in the paper:
//! `bahdanau/<pass>/<fused|reference>/<device>/<shape>`.

use att_bench::{compare, devices, lengths, matrix, tensor};
use att_core::ops::bahdanau::{BahdanauInputs, bahdanau, bahdanau_reference};
use burn::tensor::{Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};

/// batch, tgt_len, src_len, d_embed, d_memory, d_attn, d_hidden.
const SHAPES: [[usize; 7]; 2] = [
    [64, 25, 25, 256, 1024, 512, 512],
    [64, 8, 8, 128, 256, 128, 256],
];

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

fn whole_pass(c: &mut Criterion) {
    for on in devices() {
        for shape in SHAPES {
            let [batch, tgt_len, src_len, ..] = shape;
            let (src, tgt) = (lengths(batch, src_len), lengths(batch, tgt_len));
            compare(
                c,
                "bahdanau",
                &on,
                &shape,
                &parts(shape, &on.1),
                |parts: Parts| bahdanau(inputs(parts), &src, &tgt).hidden_and_context,
                |parts: Parts| bahdanau_reference(inputs(parts), &src, &tgt).hidden_and_context,
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = whole_pass
}
criterion_main!(benches);
