//! A device that another process lends: two processes, on loopback.
#![cfg(feature = "remote")]

#[allow(dead_code)] // what other tests need
#[path = "command_line/support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use att_core::DeviceSpec;
use att_data::{Batch, Example};
use att_model::{ModelConfig, Seq2Seq, weights};
use att_train::{TrainStep, TrainingConfig};

use support::*;

/// A process that lends its CPU until it is dropped.
struct Lender {
    process: Child,
    /// Its device, as others name it.
    name: String,
}

impl Lender {
    fn start(more: &[&str]) -> Self {
        let mut command = att(&[&["lend", "--listen", "127.0.0.1:0"], more].concat());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut lender = Self {
            process,
            name: String::new(),
        };
        output.read_line(&mut lender.name).unwrap();
        let name = lender.name.trim().strip_prefix("flex is lent as ");
        lender.name = name
            .unwrap_or_else(|| panic!("{}", lender.name))
            .to_string();
        lender
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const MODELS: [&str; 4] = [
    "encoder = { kind = 'recurrent', d_hidden = 5, dropout = 0.0 }
     decoder = { kind = 'luong', d_attentional = 6, dropout = 0.0, recurrent = { d_hidden = 7 } }",
    "encoder = { kind = 'recurrent', cell = 'gru', d_hidden = 5, dropout = 0.0 }
     decoder = { kind = 'bahdanau', d_output = 6, dropout = 0.0, recurrent = { cell = 'gru', d_hidden = 7 } }",
    "encoder = { kind = 'recurrent', d_hidden = 5, dropout = 0.0 }
     decoder = { kind = 'luong', d_attentional = 6, dropout = 0.0, input_feeding = true, recurrent = { d_hidden = 7 } }",
    "encoder = { kind = 'transformer', layers = 1, n_heads = 2, d_model = 6, d_ff = 8, dropout = 0.0 }
     decoder = { kind = 'transformer', layers = 1, n_heads = 2, d_model = 6, d_ff = 8, dropout = 0.0 }",
];

fn model(parts: &str) -> Seq2Seq {
    let config = format!(
        "src_embedding = {{ d_embed = 6, dropout = 0.0 }}
         tgt_embedding = {{ d_embed = 6, dropout = 0.0 }}
         {parts}"
    );
    let device = DeviceSpec::Flex.init().unwrap().autodiff();
    let config = ModelConfig::from_toml(&config).unwrap();
    config.init_seeded(12, 11, 3, &device).unwrap()
}

fn batch(rows: &[usize]) -> Batch {
    let example = |n: usize| Example {
        src: (0..1 + n % 5).map(|i| (4 + (n + i) % 8) as u32).collect(),
        tgt: (0..1 + n * 3 % 7)
            .map(|i| (4 + (n * i) % 7) as u32)
            .collect(),
        ..Default::default()
    };
    let examples: Vec<Example> = (0..8).map(example).collect();
    Batch::new(&examples, rows)
}

fn numbers(model: &Seq2Seq) -> Vec<f32> {
    let bytes = weights::to_bytes(model);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file.iter().collect();
    tensors.sort_by_key(|(name, _)| name.to_string());
    let floats = tensors
        .iter()
        .flat_map(|(_, view)| view.data().as_chunks::<4>().0);
    floats.map(|&x| f32::from_le_bytes(x)).collect()
}

/// The gradient of a first step, from what Adam without clipping makes of it: with moments `g` and `g^2` the
/// weights go by `lr g / (|g| + epsilon)`.
fn gradient(before: &Seq2Seq, after: &Seq2Seq) -> Vec<f32> {
    let moved = numbers(before).into_iter().zip(numbers(after));
    let moved = moved.map(|(before, after)| (before - after) / LR);
    moved
        .map(|u| u * EPSILON / (1.0 - u.abs()).max(1e-3))
        .collect()
}

const LR: f32 = 1.0;
const EPSILON: f32 = 0.9;

#[test]
fn devices_of_other_processes_take_their_part_of_the_gradient() {
    let training: TrainingConfig = toml::from_str(&format!(
        "optimizer = {{ kind = 'adam', epsilon = {EPSILON} }}\nclip_norm = 0\nlabel_smoothing = 0.1",
    ))
    .unwrap();
    let lenders = [Lender::start(&[]), Lender::start(&[])];
    let rows = [&[0, 1, 2, 3, 4][..], &[5], &[6, 7]];
    for parts in MODELS {
        let mut whole = TrainStep::new(model(parts), &training, 1);
        let one = whole.step(1, LR.into(), &batch(&rows.concat())).unwrap();
        let expected = gradient(&model(parts), whole.model());
        assert!(expected.iter().any(|g| g.abs() > 1e-2), "{parts}");
        for n in [1, 2] {
            let others = lenders[..n].iter().map(|lender| {
                let device: DeviceSpec = lender.name.parse().unwrap();
                device.init().unwrap().autodiff()
            });
            let stepper = TrainStep::new(model(parts), &training, 1);
            let mut several = stepper.with_devices(others.collect());
            let sum = several.accumulated_step(1, LR.into(), &rows.map(batch));
            let sum = sum.unwrap();
            assert!((one.loss - sum.loss).abs() < 1e-5, "{parts}");
            let found = gradient(&model(parts), several.model());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{found} {expected} {parts}"
                );
            }
        }
    }
}

/// An experiment whose steps are on two batches.
fn folder(max_steps: usize) -> Folder {
    let folder = Folder::new();
    let several = format!("max_steps = {max_steps}\n    accumulate = 2\n    save_every = 5");
    folder.write(
        "experiment.toml",
        EXPERIMENT.replace("max_epochs = 100", &several),
    );
    folder
}

fn train(folder: &Folder, out: &str, devices: &str) -> Vec<String> {
    let more = ["--device", devices];
    folder.arguments(&["train", "experiment.toml"], "pairs.tsv", out, &more)
}

/// What a run wrote of its last validation.
fn last_loss(folder: &Folder, out: &str) -> f64 {
    let log = fs::read_to_string(folder.path(out).join("log.jsonl")).unwrap();
    let mut losses = log.lines().filter_map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        (event["event"] == "validation").then(|| event["loss"].as_f64().unwrap())
    });
    losses.next_back().unwrap()
}

#[test]
fn a_run_on_two_processes_learns_as_on_one() {
    let lender = Lender::start(&[]);
    let folder = folder(60);
    stdout(&run(&train(&folder, "one", "flex,flex")));
    let devices = format!("flex,{}", lender.name);
    stdout(&run(&train(&folder, "two", &devices)));
    let (one, two) = (last_loss(&folder, "one"), last_loss(&folder, "two"));
    assert!((one - two).abs() < 1e-2, "{one} {two}");
}

#[test]
fn without_the_token_nothing_is_lent() {
    let folder = folder(5);
    let token = folder.write("token", "a secret\n");
    let lender = Lender::start(&["--token-file", text(&token)]);
    let devices = format!("flex,{}", lender.name);
    let with = |token: &str| {
        let mut command = att(&train(&folder, "run", &devices));
        command.env("ATT_DEVICE_TOKEN", token).output().unwrap()
    };
    refused(&with("a guess"), &[&lender.name, "ATT_DEVICE_TOKEN"]);
    stdout(&with("a secret"));
}

#[test]
fn a_device_that_is_lost_ends_the_run_with_its_checkpoints() {
    let mut lender = Lender::start(&[]);
    let folder = folder(1_000_000);
    let devices = format!("flex,{}", lender.name);
    let mut command = att(&train(&folder, "run", &devices));
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = run.spawn().unwrap();
    let saved = || {
        let entries = fs::read_dir(folder.path("run")).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name())
            .any(|name| name.to_str().unwrap().starts_with("checkpoint-"))
    };
    while !saved() && run.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    lender.process.kill().unwrap();
    let output = run.wait_with_output().unwrap();
    refused(&output, &[&lender.name, "no longer answers", "--resume"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!errors.contains("Caused by"), "{errors}");
    assert!(saved());
}
