//! One read of the memory with each scorer: `attention/<pass>/<scorer>/<device>/<shape>`.

use att_attention::{AttentionConfig, ScorerConfig};
use att_bench::{devices, finish, lengths, tensor};
use att_core::{EncoderOutput, mask::src_pad_mask};
use burn::tensor::Tensor;
use criterion::{Criterion, criterion_group, criterion_main};

/// batch, tgt_len, src_len, d.
const SHAPES: [[usize; 4]; 3] = [[64, 8, 8, 128], [64, 1, 25, 512], [64, 25, 25, 512]];

fn attention(c: &mut Criterion) {
    for (spec, device) in devices() {
        for scorer in ScorerConfig::all() {
            let toml = format!("{scorer:?}");
            let kind = toml.split('(').next().unwrap_or_default().to_lowercase();
            for [batch, tgt_len, src_len, d] in SHAPES {
                let config = AttentionConfig {
                    scorer: match scorer.clone() {
                        ScorerConfig::Additive(mut additive) => {
                            additive.d_attn = d;
                            ScorerConfig::Additive(additive)
                        }
                        other => other,
                    },
                };
                let name = |pass: &str| {
                    format!("attention/{pass}/{kind}/{spec}/{batch}x{tgt_len}x{src_len}x{d}")
                };
                let lengths = lengths(batch, src_len);
                let source = |memory: Tensor<3>| EncoderOutput {
                    src_pad_mask: src_pad_mask(&lengths, src_len, &memory.device()),
                    memory,
                    final_states: Vec::new(),
                };
                let (query, memory) = (
                    tensor([batch, tgt_len, d], &device),
                    tensor([batch, src_len, d], &device),
                );
                let module = config.init(d, d, &device);
                let prepared = module.prepare(&source(memory.clone()));
                c.bench_function(&name("forward"), |b| {
                    b.iter(|| {
                        let output = module.forward(query.clone(), &prepared);
                        finish(&device);
                        output
                    });
                });
                let tape = device.clone().autodiff();
                let module = config.init(d, d, &tape);
                let (query, memory) = (query.autodiff(), memory.autodiff());
                c.bench_function(&name("forward+backward"), |b| {
                    b.iter(|| {
                        let query = query.clone().require_grad();
                        let memory = memory.clone().require_grad();
                        let output = module.forward(query, &module.prepare(&source(memory)));
                        let grads = output.context.sum().backward();
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
    targets = attention
}
criterion_main!(benches);
