//! The same model on every backend that is compiled in: the same losses over ten training steps
//! and the same output.
//!
//! `cargo test -p att-train --test backends` compares the CPU backends; `--features wgpu` adds the
//! GPU, or a software Vulkan driver in its place. The operations themselves are compared in
//! `att-core`, with `cargo test -p att-core -p att-train --features att-train/wgpu --lib`.

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_decoder::search::SearchConfig;
use att_model::{
    Translation, TranslationFeed, TranslationObserver, TranslationRequest, Translator,
};
use att_train::{Event, ExperimentConfig, Trainer};
use std::ops::ControlFlow;

fn devices() -> Vec<DeviceSpec> {
    let mut devices = vec![DeviceSpec::Flex, DeviceSpec::NdArray];
    if cfg!(feature = "wgpu") {
        devices.push(DeviceSpec::Wgpu(None));
    }
    if cfg!(feature = "cuda") {
        devices.push(DeviceSpec::Cuda(0));
    }
    devices
}

/// Words and their letters in reverse.
fn corpus() -> Corpus {
    let words = ["abc", "cabd", "dd", "bacad", "cb", "dabc", "a", "bdca"];
    let pair = |word: &&str| {
        let letters: Vec<String> = word.chars().rev().map(String::from).collect();
        Pair::new(*word, letters.join(" "))
    };
    Corpus {
        pairs: words.iter().map(pair).collect(),
    }
}

const RECURRENT: &str =
    "encoder = { kind = 'recurrent', d_hidden = 7, layers = 2, layer_norm = true }";
const TRANSFORMER: &str =
    "encoder = { kind = 'transformer', d_model = 12, layers = 2, n_heads = 2, d_ff = 20 }";

/// Encoders and decoders.
const MODELS: [[&str; 2]; 6] = [
    [
        RECURRENT,
        "decoder = { kind = 'luong', d_attentional = 12, recurrent = { d_hidden = 14 } }",
    ],
    [
        RECURRENT,
        "decoder = { kind = 'luong', d_attentional = 12, input_feeding = true, recurrent = { cell = 'gru', d_hidden = 14, layers = 2 }, attention = { scorer = { kind = 'general' } } }",
    ],
    [
        RECURRENT,
        "decoder = { kind = 'bahdanau', d_output = 12, recurrent = { cell = 'gru', d_hidden = 14 }, attention = { scorer = { kind = 'additive', d_attn = 10 } } }",
    ],
    [
        RECURRENT,
        "decoder = { kind = 'summary', d_output = 12, recurrent = { d_hidden = 14 } }",
    ],
    [
        TRANSFORMER,
        "decoder = { kind = 'transformer', d_model = 12, layers = 2, n_heads = 4, n_kv_heads = 2, d_ff = 20, attention_dropout = 0.1, activation_dropout = 0.1 }",
    ],
    [
        TRANSFORMER,
        "decoder = { kind = 'luong', bridge = 'mean', d_attentional = 12, recurrent = { d_hidden = 14 } }",
    ],
];

struct Outcome {
    losses: Vec<f64>,
    outputs: Vec<String>,
    weights: Vec<u8>,
}

/// Words that come while others are translated.
struct OneByOne<'a> {
    words: &'a [&'a str],
    come: usize,
    done: Vec<String>,
}

impl TranslationObserver for OneByOne<'_> {}

impl TranslationFeed for OneByOne<'_> {
    fn requests(&mut self, _room: usize) -> Vec<TranslationRequest> {
        let next = self.words.get(self.come).copied();
        self.come += next.iter().len();
        next.into_iter().map(TranslationRequest::new).collect()
    }

    fn done(&mut self, request: usize, translation: att_model::Result<Translation>) {
        self.done[request] = translation.unwrap().candidates[0].text.clone();
    }
}

/// Ten steps with dropout and clipping, then greedy search of all words together, and as they come.
fn train(device: DeviceSpec, [encoder, decoder]: [&str; 2]) -> Outcome {
    let config = ExperimentConfig::from_toml(&format!(
        "seed = 7
        [tokenizer]
        src = {{ kind = 'char' }}
        tgt = {{ kind = 'whitespace' }}
        [batch]
        batch_size = 3
        [model]
        src_embedding = {{ d_embed = 9 }}
        tgt_embedding = {{ d_embed = 9 }}
        {encoder}
        {decoder}
        [training]
        schedule = {{ kind = 'constant', lr = 1e-2 }}
        max_steps = 10
        log_every = 1
        metric = 'per'
        valid_every = 100"
    ))
    .unwrap();
    let corpus = corpus();
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let device = device.init().unwrap();
    let mut losses = Vec::new();
    Trainer::create(config, &corpus, &corpus, &run, false)
        .unwrap()
        .run(&device, &mut |event: &Event| {
            if let Event::Step(step) = event {
                losses.push(step.loss);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let greedy = SearchConfig {
        beam_size: 1,
        max_len: 8,
        ..Default::default()
    };
    let words: Vec<&str> = corpus.sources().collect();
    let translator = Translator::load(&run, &device).unwrap();
    let translations = translator.translate(&words, &greedy).unwrap();
    let text = |translation: Translation| translation.candidates[0].text.clone();
    let outputs: Vec<String> = translations.into_iter().map(text).collect();
    let mut one_by_one = OneByOne {
        words: &words,
        come: 0,
        done: vec![String::new(); words.len()],
    };
    translator
        .translate_feed(3, &greedy, &mut one_by_one)
        .unwrap();
    assert_eq!(one_by_one.done, outputs, "joined");
    Outcome {
        losses,
        outputs,
        weights: std::fs::read(run.join("last.safetensors")).unwrap(),
    }
}

#[test]
fn every_backend_gives_the_same_losses_and_outputs() {
    for model in MODELS {
        let expected = train(DeviceSpec::Flex, model);
        assert_eq!(expected.losses.len(), 10);
        assert!(expected.losses[9] < expected.losses[0], "training learns");
        for device in devices() {
            let found = train(device, model);
            for (step, (a, b)) in expected.losses.iter().zip(&found.losses).enumerate() {
                assert!(
                    (a - b).abs() < 1e-3,
                    "{device} {model:?} step {step}: {a} {b}"
                );
            }
            assert_eq!(expected.outputs, found.outputs, "{device} {model:?}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_bytes() {
    for device in [DeviceSpec::Flex, DeviceSpec::NdArray] {
        for model in MODELS {
            assert!(
                train(device, model).weights == train(device, model).weights,
                "{device}"
            );
        }
    }
}
