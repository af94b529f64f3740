//! Softmax and context of known scores, and the scores of the dot family:
//! `attention_read/<pass>/<fused|reference>/<device>/<shape>`, and `dot_score/...`.

use att_bench::{compare, devices, lengths, tensor};
use att_core::mask::src_pad_mask;
use att_core::ops::attention_read::{attention_read, attention_read_reference};
use att_core::ops::dot_score::{dot_score, dot_score_reference};
use burn::tensor::{Bool, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};

/// batch, tgt_len, src_len, d.
const SHAPES: [[usize; 4]; 6] = [
    [64, 1, 25, 512],
    [64, 25, 25, 512],
    [16, 100, 100, 512],
    [4, 400, 400, 512],
    [64, 8, 8, 128],
    [5, 1, 25, 512],
];

fn read(c: &mut Criterion) {
    for on in devices() {
        let device = &on.1;
        for shape in SHAPES {
            let [batch, tgt_len, src_len, d] = shape;
            let lengths = lengths(batch, src_len);
            let mask = |like: &Tensor<3>| -> Tensor<2, Bool> {
                src_pad_mask(&lengths, src_len, &like.device())
            };
            let (query, memory) = (
                tensor::<3>([batch, tgt_len, d], device),
                tensor::<3>([batch, src_len, d], device),
            );
            let scores = tensor([batch, tgt_len, src_len], device);
            compare(
                c,
                "attention_read",
                &on,
                &shape,
                &(scores, memory.clone()),
                |(scores, memory): (Tensor<3>, Tensor<3>)| {
                    let mask = mask(&memory);
                    attention_read(scores, memory, mask).context
                },
                |(scores, memory): (Tensor<3>, Tensor<3>)| {
                    let mask = mask(&memory);
                    attention_read_reference(scores, memory, mask).context
                },
            );
            compare(
                c,
                "dot_score",
                &on,
                &shape,
                &(query, memory),
                |(query, keys): (Tensor<3>, Tensor<3>)| dot_score(query, keys, 1.0),
                |(query, keys): (Tensor<3>, Tensor<3>)| dot_score_reference(query, keys, 1.0),
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = read
}
criterion_main!(benches);
