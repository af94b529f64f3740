//! An LSTM over a sequence, fused against the reference from plain tensor operations:
//! `lstm/<pass>/<fused|reference>/<device>/<shape>`.

use att_bench::{devices, finish, tensor};
use att_core::ops::Direction;
use att_core::ops::lstm::{LstmArguments, LstmStates, lstm, lstm_reference};
use criterion::{Criterion, criterion_group, criterion_main};

/// batch, len, d_hidden.
const SHAPES: [[usize; 3]; 2] = [[128, 8, 256], [64, 25, 512]];

type Run = fn(LstmArguments, Direction, &[usize]) -> LstmStates;

fn recurrent(c: &mut Criterion) {
    for (spec, device) in devices() {
        for [batch, len, d] in SHAPES {
            for (name, run) in [("fused", lstm as Run), ("reference", lstm_reference as Run)] {
                let inputs = tensor([batch, len, 4 * d], &device);
                let weights = tensor([d, 4 * d], &device) * (1.0 / (d as f64).sqrt());
                let state = tensor([batch, d], &device);
                let lengths = vec![len; batch];
                let id = |pass: &str| format!("lstm/{pass}/{name}/{spec}/{batch}x{len}x{d}");
                c.bench_function(&id("forward"), |b| {
                    b.iter(|| {
                        let arguments = LstmArguments {
                            inputs: inputs.clone(),
                            recurrent: weights.clone(),
                            hidden: state.clone(),
                            cell: state.clone(),
                        };
                        let output = run(arguments, Direction::Forward, &lengths);
                        finish(&device);
                        output
                    });
                });
                c.bench_function(&id("forward+backward"), |b| {
                    b.iter(|| {
                        let arguments = LstmArguments {
                            inputs: inputs.clone().autodiff().require_grad(),
                            recurrent: weights.clone().autodiff().require_grad(),
                            hidden: state.clone().autodiff(),
                            cell: state.clone().autodiff(),
                        };
                        let output = run(arguments, Direction::Forward, &lengths);
                        let grads = output.hidden.sum().backward();
                        finish(&device);
                        grads
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = recurrent
}
criterion_main!(benches);
