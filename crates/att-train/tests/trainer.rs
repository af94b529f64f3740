//! What a run leaves behind, and what it refuses.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use att_core::{DeviceSpec, Precision};
use att_data::{Corpus, Pair};
use att_model::Translator;
use att_train::{Event, ExperimentConfig, Observer, Summary, Trainer};

const EXPERIMENT: &str = "
    [tokenizer]
    src = { kind = 'char' }
    tgt = { kind = 'whitespace' }
    [batch]
    batch_size = 4
    [model]
    src_embedding = { d_embed = 8, dropout = 0.0 }
    tgt_embedding = { d_embed = 8, dropout = 0.0 }
    encoder = { kind = 'recurrent', d_hidden = 16, dropout = 0.0 }
    decoder = { kind = 'luong', d_attentional = 16, dropout = 0.0, recurrent = { d_hidden = 16 } }
    [training]
    schedule = { kind = 'constant', lr = 1e-2 }
    label_smoothing = 0.0
    max_epochs = 200
    valid_every = 50
    metric = 'per'
    log_every = 10
    [search]
    beam_size = 2
";

fn corpus() -> Corpus {
    let pair = |word: &str| {
        let letters: Vec<String> = word.chars().rev().map(String::from).collect();
        Pair::new(word, letters.join(" "))
    };
    Corpus {
        pairs: ["abc", "cab", "bca", "ac", "ba", "cb"].map(pair).into(),
    }
}

fn train(
    config: &str,
    run: &Path,
    observer: &mut (impl Observer + Send),
) -> att_train::Result<Summary> {
    let config = ExperimentConfig::from_toml(config)?;
    let device = DeviceSpec::Flex.init()?;
    Trainer::create(config, &corpus(), &corpus(), run, false)?.run(&device, observer)
}

fn ignore(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_run_learns_and_leaves_a_model_that_translates() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let summary = train(EXPERIMENT, &run, &mut ignore).unwrap();
    assert_eq!(
        summary.best_score,
        Some(0.0),
        "six words can be learnt by heart"
    );
    assert!(!summary.interrupted);

    let translator = Translator::load(&run, &DeviceSpec::Flex.init().unwrap()).unwrap();
    let search = translator.directory().search.clone();
    assert_eq!(search.beam_size, 2);
    let found = translator.translate(&["abc", "cb"], &search).unwrap();
    assert_eq!(found[0].candidates[0].text, "c b a");
    assert_eq!(found[1].candidates[0].text, "b c");
    let weights = found[1].candidates[0].weights.as_ref().unwrap();
    assert_eq!(
        (weights.len(), weights[0].len()),
        (3, 3),
        "tokens and EOS on both sides"
    );

    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "start");
    let steps = events.iter().filter(|event| event["event"] == "step");
    for step in steps {
        for key in [
            "loss",
            "ppl",
            "lr",
            "grad_norm",
            "src_tokens_per_s",
            "tgt_tokens_per_s",
            "left_s",
        ] {
            assert!(step[key].is_number(), "{key}");
        }
    }
    assert!(events.iter().any(|event| event["event"] == "validation"));
    let written = fs::read_to_string(run.join("experiment.toml")).unwrap();
    assert!(ExperimentConfig::from_toml(&written).is_ok());
}

#[test]
fn a_run_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    fs::write(&path, "data").unwrap();
    let error = train(EXPERIMENT, folder.path(), &mut ignore)
        .unwrap_err()
        .to_string();
    assert!(error.contains("precious"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_interrupt_saves_the_weights() {
    struct Interrupt(usize);
    impl Observer for Interrupt {
        fn observe(&mut self, _: &Event) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
        fn poll(&mut self) -> ControlFlow<()> {
            self.0 += 1;
            if self.0 < 7 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let summary = train(EXPERIMENT, &run, &mut Interrupt(0)).unwrap();
    assert!(summary.interrupted);
    assert_eq!(summary.steps, 7);
    assert!(run.join("last.safetensors").is_file());
    assert!(Translator::load(&run, &DeviceSpec::Flex.init().unwrap()).is_ok());
}

#[test]
fn patience_ends_a_run_that_no_longer_improves() {
    let folder = tempfile::tempdir().unwrap();
    // Steps too small to change any weight.
    let config = EXPERIMENT
        .replace("valid_every = 50", "valid_every = 50\npatience = 2")
        .replace("lr = 1e-2", "lr = 1e-12");
    let summary = train(&config, &folder.path().join("run"), &mut ignore).unwrap();
    assert_eq!(summary.steps, 150);
}

#[test]
fn settings_that_do_not_fit_the_data_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let tied = EXPERIMENT.replace("[model]", "[model]\ntie_embeddings = true");
    let error = train(&tied, &run, &mut ignore).unwrap_err().to_string();
    assert!(error.contains("tie_embeddings"), "{error}");
    for (side, kind) in [("src", "'char'"), ("tgt", "'whitespace'")] {
        let rare = EXPERIMENT.replace(
            &format!("{side} = {{ kind = {kind} }}"),
            &format!("{side} = {{ kind = {kind}, min_count = 99 }}"),
        );
        let error = train(&rare, &run, &mut ignore).unwrap_err().to_string();
        let expected = format!("tokenizer.{side}: `min_count` is 99");
        assert!(error.starts_with(&expected), "{error}");
    }
    let small = EXPERIMENT.replace(
        "src = { kind = 'char' }",
        "src = { kind = 'bpe', vocab_size = 5 }",
    );
    let error = train(&small, &run, &mut ignore).unwrap_err().to_string();
    assert!(
        error.starts_with("tokenizer.src: `vocab_size` is 5"),
        "{error}"
    );
    let short = EXPERIMENT.replace("batch_size = 4", "batch_size = 4\nmax_src_len = 1");
    assert!(train(&short, &run, &mut ignore).is_err());
    assert!(!run.exists());
}

#[test]
fn bf16_that_is_no_faster_here_is_told() {
    let warnings = |precision: &str| {
        let folder = tempfile::tempdir().unwrap();
        let more = format!("max_steps = 1\n    precision = '{precision}'\n    metric");
        let text = EXPERIMENT.replace("metric", &more);
        let mut warnings = 0;
        let mut count = |event: &Event| {
            warnings += usize::from(matches!(event, Event::Warning { .. }));
            ControlFlow::Continue(())
        };
        train(&text, &folder.path().join("run"), &mut count).unwrap();
        warnings
    };
    assert_eq!(warnings("f32"), 0);
    let slow = !Precision::Bf16.is_native();
    assert_eq!(warnings("bf16"), usize::from(slow));
}
