//! How many kernels a training pass and a decoding step launch on a GPU.
//!
//! `cargo test -p att-train --features wgpu --test launches -- --nocapture` prints them.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

use att_core::{DeviceSpec, Launches, random};
use att_data::{Batch, Padded};
use att_decoder::Decoder;
use att_model::{ModelConfig, Seq2Seq};
use burn::tensor::{Device, Int, Tensor};

const DECODERS: [(&str, &str); 3] = [
    (
        "Luong LSTM, general",
        "{ kind = 'luong', d_attentional = 32, recurrent = { d_hidden = 32 }, attention = { scorer = { kind = 'general' } } }",
    ),
    (
        "Luong LSTM, input feeding",
        "{ kind = 'luong', d_attentional = 32, input_feeding = true, recurrent = { d_hidden = 32 }, attention = { scorer = { kind = 'general' } } }",
    ),
    (
        "Bahdanau GRU, additive",
        "{ kind = 'bahdanau', d_output = 32, recurrent = { cell = 'gru', d_hidden = 32 }, attention = { scorer = { kind = 'additive', d_attn = 32 } } }",
    ),
];

fn device() -> Device {
    let spec = if cfg!(feature = "wgpu") {
        DeviceSpec::Wgpu(None)
    } else {
        DeviceSpec::Cuda(0)
    };
    spec.init().expect("a GPU, or a software Vulkan driver")
}

fn model(decoder: &str, device: &Device) -> Seq2Seq {
    let cell = if decoder.contains("gru") {
        "gru"
    } else {
        "lstm"
    };
    let config = ModelConfig::from_toml(&format!(
        "src_embedding = {{ d_embed = 32, dropout = 0.0 }}
        tgt_embedding = {{ d_embed = 32, dropout = 0.0 }}
        encoder = {{ kind = 'recurrent', cell = '{cell}', d_hidden = 16, dropout = 0.0 }}
        decoder = {decoder}"
    ))
    .unwrap();
    config.init_seeded(20, 20, 1, device).unwrap()
}

/// Rows of `len` tokens and shorter ones, which end with EOS.
fn rows(len: usize) -> Padded {
    let rows: Vec<Vec<u32>> = (0..4)
        .map(|row| {
            (0..len - row % 2)
                .map(|i| 4 + ((i + row) % 16) as u32)
                .collect()
        })
        .collect();
    Padded::from_rows(&rows)
}

/// Launches of the loss and its gradients, for sources and targets of `len` tokens.
fn training(model: &Seq2Seq, len: usize) -> Launches {
    let batch = Batch {
        src: rows(len),
        tgt: rows(len + 1),
        indices: (0..4).collect(),
    };
    random::seed(1);
    Launches::count(|| {
        let output = model.forward(&batch);
        model.cross_entropy(&output, 0.1).loss.backward()
    })
    .1
}

/// Launches of one step of decoding.
fn decoding(model: &Seq2Seq) -> Launches {
    let source = model.encode(&rows(6));
    let memory = model.decoder.prepare(&source);
    let state = model.decoder.initial_state(&source);
    let tokens = Tensor::<1, Int>::from_data([4, 5, 6, 7], &model.device());
    Launches::count(|| model.decoder.step(tokens, &memory, state)).1
}

#[test]
fn launches_of_a_step() {
    for (name, decoder) in DECODERS {
        let device = device();
        let model_on_tape = model(decoder, &device.clone().autodiff());
        let (short, long) = (training(&model_on_tape, 6), training(&model_on_tape, 16));
        let a_position = (long.total() - short.total()) as f64 / 10.0;
        let step = decoding(&model(decoder, &device));
        println!(
            "{name}: training {} launches for 6 positions, {a_position} more for each other; decoding {} a step",
            short.total(),
            step.total()
        );
        if std::env::var_os("BY_KERNEL").is_some() {
            println!(
                "training: {:#?}\nstep: {:#?}",
                short.by_kernel, step.by_kernel
            );
        }
    }
}
