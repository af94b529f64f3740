//! Each experiment of `configs/` trains and translates on every CPU backend, its sizes made small;
//! `--features wgpu` adds the first GPU or software Vulkan.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_decoder::search::SearchConfig;
use att_model::Translator;
use att_train::{Event, ExperimentConfig, Observer, Start, Trainer};
use toml::Value;

/// What sizes are divided by; it divides them all.
const SMALLER: i64 = 16;
const STEPS: usize = 20;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|of| of == "toml"))
        .collect();
    files.sort();
    files
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

/// The same experiment with small sizes and few steps.
fn small(path: &Path) -> ExperimentConfig {
    fn shrink(value: &mut Value) {
        let Value::Table(table) = value else {
            return;
        };
        for (key, value) in table {
            match value {
                Value::Integer(size) if key.starts_with("d_") => *size /= SMALLER,
                Value::Integer(size) if key == "vocab_size" => *size = 30,
                value => shrink(value),
            }
        }
    }
    let mut value = Value::Table(fs::read_to_string(path).unwrap().parse().unwrap());
    shrink(&mut value);
    let mut config = ExperimentConfig::from_toml(&toml::to_string(&value).unwrap()).unwrap();
    config.training.max_epochs = STEPS;
    config.training.max_steps = STEPS;
    config.training.log_every = 1;
    config.training.valid_every = STEPS;
    config
}

/// The losses of the steps, and what the model makes of its sources.
fn train(path: &Path, device: DeviceSpec) -> (Vec<f64>, Vec<String>) {
    let corpus = corpus();
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let device = device.init().unwrap();
    let mut losses = Vec::new();
    Trainer::create(small(path), &corpus, &corpus, &run, false)
        .unwrap()
        .run(&device, &mut |event: &Event| {
            if let Event::Step(step) = event {
                losses.push(step.loss);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let sources: Vec<&str> = corpus.sources().collect();
    let search = SearchConfig {
        max_len: 6,
        ..Default::default()
    };
    let found = Translator::load(&run, &device)
        .unwrap()
        .translate(&sources, &search)
        .unwrap();
    let texts = found
        .into_iter()
        .map(|translation| translation.candidates[0].text.clone());
    (losses, texts.collect())
}

#[test]
fn every_file_is_an_experiment() {
    for path in files() {
        let loaded = ExperimentConfig::load(&path);
        assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
    }
}

#[test]
fn every_file_trains_and_translates_alike_on_all_backends() {
    let files = files();
    assert!(!files.is_empty());
    let mut others = vec![DeviceSpec::NdArray];
    if cfg!(feature = "wgpu") {
        others.push(DeviceSpec::Wgpu(None));
    }
    for path in files {
        let name = path.display();
        let (losses, texts) = train(&path, DeviceSpec::Flex);
        assert_eq!((losses.len(), texts.len()), (STEPS, 8), "{name}");
        assert!(losses.iter().all(|loss| loss.is_finite()), "{name}");
        for device in &others {
            let (others, other_texts) = train(&path, *device);
            for (a, b) in losses.iter().zip(&others) {
                assert!((a - b).abs() < 1e-3, "{name} on {device}: {a} {b}");
            }
            assert_eq!(texts, other_texts, "{name} on {device}");
        }
    }
}

/// Ends a run after its first step.
struct Once;

impl Observer for Once {
    fn observe(&mut self, _: &Event) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn poll(&mut self) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

#[test]
fn every_file_resumes_to_the_same_bytes() {
    let corpus = corpus();
    let device = DeviceSpec::Flex.init().unwrap();
    let resume = Start {
        resume: true,
        ..Default::default()
    };
    for path in files() {
        let folder = tempfile::tempdir().unwrap();
        let start = |run: &str| {
            let run = folder.path().join(run);
            Trainer::start(small(&path), &corpus, &corpus, run, &resume).unwrap()
        };
        let ignore = &mut |_: &Event| ControlFlow::Continue(());
        start("whole").run(&device, ignore).unwrap();
        while start("broken").run(&device, &mut Once).unwrap().interrupted {}
        let last = |run: &str| fs::read(folder.path().join(run).join("last.safetensors")).unwrap();
        assert!(last("whole") == last("broken"), "{}", path.display());
    }
}
