//! One read of the memory by additive attention, the projections done: scores, softmax, context;
//! `additive/<pass>/<fused|reference>/<device>/<shape>`.

use att_bench::{compare, devices, lengths, tensor};
use att_core::mask::src_pad_mask;
use att_core::ops::additive_score::{additive_score, additive_score_reference};
use att_core::ops::attention_read::{attention_read, attention_read_reference};
use burn::tensor::Tensor;
use criterion::{Criterion, criterion_group, criterion_main};

/// batch, tgt_len, src_len, d (of queries, keys and memory). The reference makes tensors of all
/// four together: 1.3 GB each in the largest.
const SHAPES: [[usize; 4]; 6] = [
    [64, 1, 25, 512],
    [64, 25, 25, 512],
    [16, 100, 100, 512],
    [4, 400, 400, 512],
    [64, 8, 8, 128],
    [5, 1, 25, 512],
];

/// Query, keys, v, and the memory.
type Read = (Tensor<3>, Tensor<3>, Tensor<1>, Tensor<3>);

fn additive(c: &mut Criterion) {
    for on in devices() {
        let device = &on.1;
        for shape in SHAPES {
            let [batch, tgt_len, src_len, d] = shape;
            let lengths = lengths(batch, src_len);
            let mask = |like: &Tensor<3>| src_pad_mask(&lengths, src_len, &like.device());
            let arguments: Read = (
                tensor([batch, tgt_len, d], device),
                tensor([batch, src_len, d], device),
                tensor([d], device) * (1.0 / (d as f64).sqrt()),
                tensor([batch, src_len, d], device),
            );
            compare(
                c,
                "additive",
                &on,
                &shape,
                &arguments,
                |(query, keys, v, memory): Read| {
                    let mask = mask(&memory);
                    attention_read(additive_score(query, keys, v), memory, mask).context
                },
                |(query, keys, v, memory): Read| {
                    let scores = additive_score_reference(query, keys, v);
                    let mask = mask(&memory);
                    attention_read_reference(scores, memory, mask).context
                },
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = additive
}
criterion_main!(benches);
