//! Training on from a model: what is kept, what is forgotten, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_eval::Metric;
use att_train::{
    BeforeAndAfter, Event, ExperimentConfig, ForgettingReport, NewVocabulary, Result, Start,
    Trainer, VocabularyEvent,
};
use safetensors::SafeTensors;

const MODEL: &str = "
    [tokenizer]
    src = { kind = 'char' }
    tgt = { kind = 'whitespace' }
    [batch]
    batch_size = 8
    [model]
    src_embedding = { d_embed = 12, dropout = 0.0 }
    tgt_embedding = { d_embed = 12, dropout = 0.0 }
    encoder = { kind = 'recurrent', d_hidden = 12, dropout = 0.0 }
    decoder = { kind = 'luong', d_attentional = 16, dropout = 0.0, recurrent = { d_hidden = 16 } }
    [training]
    metric = 'per'
    valid_every = 1000
    max_epochs = 1000
    log_every = 1000
";

/// Words of letters, and how they are spelled: in capitals, or with a mark before each.
fn corpus(letters: &str, new: bool) -> Corpus {
    let letters: Vec<char> = letters.chars().collect();
    let n = letters.len();
    let word = |i: usize| -> String {
        (0..3)
            .map(|k| letters[(i * 5 + k * (i / n + 1)) % n])
            .collect()
    };
    let spell = |word: &str| -> String {
        let letters = word.chars().map(|c| match new {
            false => c.to_uppercase().to_string(),
            true => format!("+ {}", c.to_uppercase()),
        });
        letters.collect::<Vec<_>>().join(" ")
    };
    let pairs = (0..40)
        .map(word)
        .map(|word| Pair::new(word.clone(), spell(&word)));
    Corpus {
        pairs: pairs.collect(),
    }
}

fn old() -> Corpus {
    corpus("abcdefg", false)
}

fn new() -> Corpus {
    corpus("efghij", true)
}

fn train(text: &str, data: &Corpus, run: &Path, start: &Start) -> Result<Vec<Event>> {
    let config = ExperimentConfig::from_toml(&format!("{MODEL}{text}"))?;
    let device = DeviceSpec::Flex.init()?;
    let mut events = Vec::new();
    Trainer::start(config, data, data, run, start)?.run(&device, &mut |event: &Event| {
        events.push(event.clone());
        ControlFlow::Continue(())
    })?;
    Ok(events)
}

/// A model of the old data; trained once for all tests.
fn model() -> &'static Path {
    static MODEL: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        let text = "schedule = { kind = 'constant', lr = 1e-2 }\nmax_steps = 150";
        train(text, &old(), &path, &Start::default()).unwrap();
        (folder, path)
    });
    path
}

fn from_model() -> Start {
    Start {
        init_from: Some(model().into()),
        ..Default::default()
    }
}

/// All weights of a file by name.
fn tensors(run: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(run.join("last.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |data: &[u8]| -> Vec<f32> {
        let numbers = data.as_chunks::<4>().0.iter();
        numbers.map(|x| f32::from_le_bytes(*x)).collect()
    };
    file.iter()
        .map(|(name, view)| (name.into(), numbers(view.data())))
        .collect()
}

/// The old spelling before and after the new one was learnt.
fn forgetting(run: &Path) -> ForgettingReport {
    let device = DeviceSpec::Flex.init().unwrap();
    let corpora = [&old(), &new()];
    ForgettingReport::new([model(), run], corpora, Metric::Per, &device).unwrap()
}

#[test]
fn replay_and_a_pull_to_the_first_weights_each_forget_less_and_the_report_tells() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, text: &str, start: Start| -> PathBuf {
        let path = folder.path().join(name);
        let start = Start {
            new_vocabulary: Some(NewVocabulary::Extend),
            ..start
        };
        let text = format!("schedule = {{ kind = 'constant', lr = 1e-2 }}\nmax_steps = 80\n{text}");
        train(&text, &new(), &path, &start).unwrap();
        path
    };
    let plain = run("plain", "", from_model());
    let pulled = run("pulled", "l2_to_init = 0.1", from_model());
    let replayed = run(
        "replayed",
        "replay = 0.5",
        Start {
            replay: Some(old()),
            ..from_model()
        },
    );
    assert!(distance_of_common(&pulled) < 0.7 * distance_of_common(&plain));

    let [plain, replayed] = [&plain, &replayed].map(|run| forgetting(run));
    let BeforeAndAfter { before, after, .. } = plain.old;
    assert!(before.score < 5.0, "it was learnt: {before:?}");
    assert!(after.score > 30.0, "and forgotten: {after:?}");
    assert!(after.perplexity > 2.0 * before.perplexity);
    assert!(after.nats_per_character > 2.0 * before.nats_per_character);
    assert!(plain.new.after.score < 30.0, "{:?}", plain.new);
    let kept = replayed.old.after;
    assert!(kept.score < 10.0, "{kept:?}");
    assert_eq!((plain.old.pairs, plain.new.pairs), (40, 40));

    replayed.write(folder.path()).unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("forgetting.json")).unwrap();
    assert_eq!(json["old"]["after"]["score"].as_f64(), Some(kept.score));
    let table = read("forgetting.md");
    assert!(
        table.contains("| old domain | 40 |") && table.contains("| new domain | 40 |"),
        "{table}"
    );
    assert_eq!(table, replayed.to_string());
}

/// From the model, of the weights that have no vocabulary.
fn distance_of_common(run: &Path) -> f32 {
    let (first, now) = (tensors(model()), tensors(run));
    let of_tokens = |name: &str| name.contains("embedding") || name.contains(".output.");
    let common = first.iter().filter(|(name, _)| !of_tokens(name));
    let squares = common.flat_map(|(name, numbers)| {
        let pairs = numbers.iter().zip(&now[name]);
        pairs.map(|(a, b)| (a - b) * (a - b))
    });
    squares.sum::<f32>().sqrt()
}

#[test]
fn tokens_that_a_model_had_keep_their_vectors_and_the_counts_are_told() {
    let folder = tempfile::tempdir().unwrap();
    // Old: 7 letters on either side. New: h, i, j, their capitals and +; a to d are not in it.
    let event = |side: &str, kept, new, dropped| VocabularyEvent {
        side: side.into(),
        kept,
        new,
        dropped,
    };
    for (choice, expected) in [
        (
            NewVocabulary::Extend,
            [event("source", 11, 3, 0), event("target", 11, 4, 0)],
        ),
        (
            NewVocabulary::Replace,
            [event("source", 7, 3, 4), event("target", 7, 4, 4)],
        ),
    ] {
        let run = folder.path().join(format!("{choice:?}"));
        let start = Start {
            new_vocabulary: Some(choice),
            ..from_model()
        };
        let text = "schedule = { kind = 'constant', lr = 1e-9 }\nmax_steps = 1";
        let events = train(text, &new(), &run, &start).unwrap();
        let told: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Vocabulary(found) => Some(found.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(told, expected);
        let said = told[1].to_string();
        assert!(
            said.contains("target vocabulary: ") && said.contains("4 are new"),
            "{said}"
        );
        // Nothing else has changed.
        assert!(distance_of_common(&run) < 1e-5);
    }
}

#[test]
fn low_rank_adaptation_learns_and_saves_a_model_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("lora");
    let text = "schedule = { kind = 'constant', lr = 2e-2 }\nmax_steps = 100\n\
                lora = { rank = 4, train = ['embeddings', 'output'] }";
    let start = Start {
        new_vocabulary: Some(NewVocabulary::Extend),
        ..from_model()
    };
    train(text, &new(), &run, &start).unwrap();
    let found = forgetting(&run).new;
    assert!(found.after.score < 0.5 * found.before.score, "{found:?}");
    let (first, now) = (tensors(model()), tensors(&run));
    assert!(first.keys().eq(now.keys()));
    let bias = "encoder.Recurrent.layers.0.forward.Lstm.input.bias";
    assert_eq!(first[bias], now[bias]);
}

#[test]
fn minimum_risk_lowers_the_error_rate_of_a_model_that_errs() {
    let folder = tempfile::tempdir().unwrap();
    let (weak, run) = (folder.path().join("weak"), folder.path().join("run"));
    let text = "schedule = { kind = 'constant', lr = 1e-2 }\nmax_steps = 45";
    train(text, &old(), &weak, &Start::default()).unwrap();
    let text = "schedule = { kind = 'constant', lr = 1e-2 }\nmax_steps = 60\n\
                minimum_risk = { candidates = 8, alpha = 0.5, risk = 'edit_distance' }";
    let start = Start {
        init_from: Some(weak.clone()),
        ..Default::default()
    };
    train(text, &old(), &run, &start).unwrap();
    let device = DeviceSpec::Flex.init().unwrap();
    let corpora = [&old(), &old()];
    let report = ForgettingReport::new([&weak, &run], corpora, Metric::Per, &device).unwrap();
    let BeforeAndAfter { before, after, .. } = report.old;
    assert!(
        before.score > 20.0 && after.score < 0.5 * before.score,
        "{report}"
    );
}

#[test]
fn sizes_of_batches_are_tried_on_all_that_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{MODEL}lora = {{ weights = ['nowhere'] }}");
    let config = ExperimentConfig::from_toml(&text).unwrap();
    let run = folder.path().join("run");
    let mut trainer = Trainer::start(config, &new(), &new(), &run, &from_model()).unwrap();
    let device = DeviceSpec::Flex.init().unwrap();
    let error = trainer.find_batch_size(&device, Some(1 << 40)).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

/// A batch must hold the longest line of both, and may hold all of one.
#[cfg(target_os = "linux")]
#[test]
fn sizes_of_batches_are_tried_on_old_data_too() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{MODEL}replay = 0.5");
    let config = ExperimentConfig::from_toml(&text).unwrap();
    let device = DeviceSpec::Flex.init().unwrap();
    let long = Pair::new("abcdefg".repeat(50), "A B C D E F G ".repeat(50));
    let mut old = old();
    old.pairs.push(long);
    let start = Start {
        replay: Some(old),
        ..from_model()
    };
    let run = folder.path().join("run");
    let mut trainer = Trainer::start(config, &new(), &new(), &run, &start).unwrap();
    let found = trainer.find_batch_size(&device, Some(1 << 40)).unwrap();
    assert_eq!(found.unwrap().tokens, 352 * 41);
    let error = trainer.find_batch_size(&device, Some(1 << 20)).unwrap_err();
    assert!(
        error.to_string().contains("batches of 352 tokens"),
        "{error}"
    );
}

#[test]
fn what_has_nothing_to_work_on_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let refused = |text: &str, start: Start, expected: &[&str]| {
        let error = train(text, &new(), &run, &start).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{error}");
        }
        assert!(!run.exists(), "nothing is left behind");
    };
    let plain = Start::default;
    refused(
        "l2_to_init = 0.1",
        plain(),
        &["training.l2_to_init", "--init-from"],
    );
    refused(
        "minimum_risk = {}",
        plain(),
        &["training.minimum_risk", "--init-from"],
    );
    refused("lora = {}", plain(), &["training.lora", "--init-from"]);
    let start = Start {
        new_vocabulary: Some(NewVocabulary::Extend),
        ..plain()
    };
    refused("", start, &["new_vocabulary", "--init-from"]);
    refused(
        "replay = 0.1",
        from_model(),
        &["training.replay", "--replay"],
    );
    let start = Start {
        replay: Some(old()),
        ..from_model()
    };
    refused("", start, &["training.replay", "share"]);
    let start = Start {
        new_vocabulary: Some(NewVocabulary::Extend),
        ..from_model()
    };
    let config = MODEL.replace(
        "src = { kind = 'char' }",
        "src = { kind = 'bpe', vocab_size = 30 }",
    );
    let config = ExperimentConfig::from_toml(&config).unwrap();
    let error = Trainer::start(config, &new(), &new(), &run, &start)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`kind` is bpe"), "{error}");
    assert!(!run.exists());
}
