//! How many kernels a training pass and a decoding step launch on a GPU.
//!
//! `cargo test -p att-train --features wgpu --test launches -- --nocapture` prints them.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

use att_core::{DeviceSpec, Launches, random};
use att_data::{Batch, Padded};
use att_decoder::Decoder;
use att_model::{ModelConfig, Seq2Seq};
use burn::tensor::{Device, Int, Tensor};

struct Case {
    name: &'static str,
    decoder: &'static str,
    /// Most launches of a training pass for each position of source and target.
    a_position: f64,
    /// Most launches of a step of decoding.
    a_step: usize,
}

const CASES: [Case; 3] = [
    Case {
        name: "Luong LSTM, general",
        decoder: "{ kind = 'luong', d_attentional = 32, recurrent = { d_hidden = 32 }, attention = { scorer = { kind = 'general' } } }",
        a_position: 0.0,
        a_step: 13,
    },
    Case {
        name: "Luong LSTM, input feeding",
        decoder: "{ kind = 'luong', d_attentional = 32, input_feeding = true, recurrent = { d_hidden = 32 }, attention = { scorer = { kind = 'general' } } }",
        a_position: 49.0,
        a_step: 15,
    },
    Case {
        name: "Bahdanau GRU, additive",
        decoder: "{ kind = 'bahdanau', d_output = 32, recurrent = { cell = 'gru', d_hidden = 32 }, attention = { scorer = { kind = 'additive', d_attn = 32 } } }",
        a_position: 9.9,
        a_step: 19,
    },
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
        copy_ids: None,
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
fn launches_of_a_pass_and_of_a_step_stay_few() {
    for case in CASES {
        let device = device();
        let on_tape = model(case.decoder, &device.clone().autodiff());
        let (short, long) = (
            training(&on_tape, 6).total(),
            training(&on_tape, 16).total(),
        );
        let a_position = (long - short) as f64 / 10.0;
        let step = decoding(&model(case.decoder, &device));
        println!(
            "{}: training {short} launches for 6 positions, {a_position} for each other; decoding {} a step",
            case.name,
            step.total()
        );
        assert!(a_position <= case.a_position, "{}", case.name);
        assert!(step.total() <= case.a_step, "{}: {step:#?}", case.name);
    }
}
