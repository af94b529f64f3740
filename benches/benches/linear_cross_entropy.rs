//! The output layer and its loss: `linear_cross_entropy/<pass>/<fused|reference>/<device>/<shape>`.

use att_bench::{compare, devices, matrix, tensor};
use att_core::ops::{cross_entropy, linear_cross_entropy};
use burn::tensor::Tensor;
use criterion::{Criterion, criterion_group, criterion_main};

/// tokens, d_features, vocab.
const SHAPES: [[usize; 3]; 1] = [[830, 512, 8000]];

const SMOOTHING: f64 = 0.1;

/// Features, W and b.
type Layer = (Tensor<2>, Tensor<2>, Tensor<1>);

fn output(c: &mut Criterion) {
    for on in devices() {
        let device = &on.1;
        for shape in SHAPES {
            let [n, d, vocab] = shape;
            let gold: Vec<u32> = (0..n).map(|token| (token * 7 % vocab) as u32).collect();
            let arguments: Layer = (
                tensor([n, d], device),
                matrix(d, vocab, device),
                tensor([vocab], device),
            );
            compare(
                c,
                "linear_cross_entropy",
                &on,
                &shape,
                &arguments,
                |(x, w, b): Layer| linear_cross_entropy(x, w, Some(b), &gold, SMOOTHING).loss,
                |(x, w, b): Layer| {
                    cross_entropy(x.matmul(w) + b.unsqueeze(), &gold, SMOOTHING).loss
                },
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = output
}
criterion_main!(benches);
