//! A run that is broken off and resumed ends with the bytes of one that was not.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_train::{
    Event, ExperimentConfig, NewVocabulary, Observer, Result, Start, Summary, Trainer, checkpoints,
};
use serde_json::Value;

/// With all that has a state: dropout, a schedule that looks back, patience, several batches a step, a
/// mean of the weights, and limits on the gradient.
const EXPERIMENT: &str = "
    [tokenizer]
    src = { kind = 'char' }
    tgt = { kind = 'whitespace' }
    [batch]
    batch_size = 2
    bucket = 1
    [model]
    src_embedding = { d_embed = 6, dropout = 0.2 }
    tgt_embedding = { d_embed = 6, dropout = 0.2 }
    encoder = { kind = 'recurrent', d_hidden = 5, dropout = 0.2 }
    decoder = { kind = 'luong', d_attentional = 6, dropout = 0.2, recurrent = { d_hidden = 7 } }
    [training]
    optimizer = { kind = 'adamw' }
    schedule = { kind = 'plateau', lr = 2e-2, patience = 1 }
    accumulate = 2
    average_decay = 0.9
    src_word_dropout = 0.1
    tgt_word_dropout = 0.1
    spike_factor = 1.5
    max_epochs = 15
    patience = 12
    metric = 'per'
    log_every = 7
    save_every = 4
";

fn corpus() -> Corpus {
    let words = ["abc", "cab", "bca", "ac", "ba", "cb", "abca"];
    Corpus {
        pairs: words.map(spelled).into(),
    }
}

/// A word and its letters from the last to the first.
fn spelled(word: &str) -> Pair {
    let letters: Vec<String> = word.chars().rev().map(String::from).collect();
    Pair::new(word, letters.join(" "))
}

/// Ends a run after a step, or copies its directory then, as if the process were killed.
#[derive(Default)]
struct At {
    steps: usize,
    interrupt: Option<usize>,
    copy: Option<(usize, PathBuf, PathBuf)>,
    events: Vec<Event>,
}

impl Observer for At {
    fn observe(&mut self, event: &Event) -> ControlFlow<()> {
        self.events.push(event.clone());
        ControlFlow::Continue(())
    }

    fn poll(&mut self) -> ControlFlow<()> {
        self.steps += 1;
        if let Some((step, from, to)) = &self.copy
            && self.steps == *step
        {
            fs::create_dir(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
            fs::write(to.join(".model.safetensors.1.tmp"), "half").unwrap();
        }
        match self.interrupt {
            Some(step) if step == self.steps => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn train_on(
    text: &str,
    train: &Corpus,
    run: &Path,
    start: &Start,
    observer: &mut At,
) -> Result<Summary> {
    let config = ExperimentConfig::from_toml(text)?;
    let device = DeviceSpec::Flex.init()?;
    Trainer::start(config, train, &corpus(), run, start)?.run(&device, observer)
}

fn begin(text: &str, run: &Path, observer: &mut At) -> Result<Summary> {
    train_on(text, &corpus(), run, &Start::default(), observer)
}

fn resume(text: &str, run: &Path, observer: &mut At) -> Result<Summary> {
    train_on(text, &corpus(), run, &resuming(), observer)
}

fn resuming() -> Start {
    Start {
        resume: true,
        ..Default::default()
    }
}

/// The models of a run, and its log without what depends on time and breaks.
fn outcome(run: &Path) -> (Vec<u8>, Vec<u8>, Vec<Value>) {
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let mut events: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    events.retain(|event| event["event"] != "resume");
    for event in &mut events {
        event
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !key.ends_with("_s") && key != "waiting");
    }
    let read = |name: &str| fs::read(run.join(name)).unwrap();
    (read("last.safetensors"), read("model.safetensors"), events)
}

#[track_caller]
fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (outcome(a), outcome(b));
    assert_eq!(a.2, b.2);
    assert!(a.0 == b.0, "other last weights");
    assert!(a.1 == b.1, "other best weights");
}

#[test]
fn a_run_interrupted_again_and_again_is_the_same_run() {
    for valid_every in [0, 6] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{EXPERIMENT}\nvalid_every = {valid_every}");
        let whole = folder.path().join("whole");
        let summary = begin(&text, &whole, &mut At::default()).unwrap();
        assert!(summary.steps > 20, "{summary:?}");
        let broken = folder.path().join("broken");
        let mut parts = 0;
        // 2 steps are an epoch; 6 are a validation, too.
        for steps in [1, 1, 2, 3, 5, 6].into_iter().cycle() {
            let mut at = At {
                interrupt: Some(steps),
                ..Default::default()
            };
            let part = resume(&text, &broken, &mut at).unwrap();
            parts += 1;
            let breaks = at
                .events
                .iter()
                .filter(|event| matches!(event, Event::Resume { .. }))
                .count();
            assert_eq!(breaks, usize::from(parts > 1));
            if !part.interrupted {
                assert_eq!(part.steps, summary.steps);
                break;
            }
        }
        assert!(parts > 5, "{parts}");
        assert_same(&whole, &broken);
    }
}

/// With all that fine-tuning can have.
#[test]
fn fine_tuning_interrupted_again_and_again_is_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    let short = format!("{EXPERIMENT}\nmax_steps = 6");
    begin(&short, &base, &mut At::default()).unwrap();
    let new = Corpus {
        pairs: ["dab", "bad", "cdd", "ad"].map(spelled).into(),
    };
    let links = new.pairs.iter().map(|pair| {
        let n = pair.src.len();
        let links = (0..n).map(|t| format!("{}-{t}", n - 1 - t));
        links.collect::<Vec<_>>().join(" ")
    });
    let alignments = folder.path().join("alignments");
    fs::write(&alignments, links.collect::<Vec<_>>().join("\n")).unwrap();
    let text = EXPERIMENT.replace("d_hidden = 7", "d_hidden = 7, variational_dropout = true");
    let text = format!(
        "{text}
        guided_alignment = {{ weight = 0.5, half_life = 10 }}
        scheduled_sampling = {{ kind = 'linear', steps = 10, end = 0.2 }}
        replay = 0.4
        l2_to_init = 0.01
        minimum_risk = {{ candidates = 3, cross_entropy = 0.5 }}
        lora = {{ rank = 2, train = ['embeddings'] }}"
    );
    let start = |resume| Start {
        resume,
        init_from: Some(base.clone()),
        new_vocabulary: Some(NewVocabulary::Extend),
        replay: Some(corpus()),
        alignments: Some(alignments.clone()),
        ..Default::default()
    };
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let summary = train_on(&text, &new, &whole, &start(false), &mut At::default()).unwrap();
    assert!(summary.steps > 20, "{summary:?}");
    for (part, steps) in [1, 2, 3, 5].into_iter().cycle().enumerate() {
        let mut at = At {
            interrupt: Some(steps),
            ..Default::default()
        };
        let found = train_on(&text, &new, &broken, &start(true), &mut at).unwrap();
        if !found.interrupted {
            assert!(part > 5);
            break;
        }
    }
    assert_same(&whole, &broken);

    let refused = |start: Start, expected: &str| {
        let start = Start {
            resume: true,
            ..start
        };
        let error = train_on(&text, &new, &whole, &start, &mut At::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let mut other = corpus();
    other.pairs[0].tgt = "b".into();
    let replay = Start {
        replay: Some(other),
        ..start(true)
    };
    refused(replay, "the targets of the replayed data are others");
    fs::write(&alignments, "0-0\n\n\n\n").unwrap();
    refused(start(true), "the file of alignments is another one");
}

#[test]
fn a_run_on_two_devices_is_repeatable_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, interrupt: Option<usize>| {
        let mut at = At {
            interrupt,
            ..Default::default()
        };
        let path = folder.path().join(name);
        let config = ExperimentConfig::from_toml(EXPERIMENT).unwrap();
        let devices = vec![DeviceSpec::Flex.init().unwrap(); 2];
        Trainer::start(config, &corpus(), &corpus(), &path, &resuming())
            .unwrap()
            .run_on(&devices, &mut at)
            .unwrap();
        path
    };
    let whole = run("whole", None);
    run("broken", Some(9));
    assert_same(&whole, &run("broken", None));
    // What is drawn for a batch does not depend on the device: the runs differ by roundings.
    let alone = folder.path().join("alone");
    begin(EXPERIMENT, &alone, &mut At::default()).unwrap();
    let losses = |run: &Path| -> Vec<f64> {
        let events = outcome(run).2;
        let losses = events.iter().filter_map(|event| event["loss"].as_f64());
        losses.collect()
    };
    let (first, second) = (losses(&whole)[0], losses(&alone)[0]);
    assert!((first - second).abs() < 1e-3 * second, "{first} {second}");

    let config = ExperimentConfig::from_toml(EXPERIMENT).unwrap();
    let devices = vec![DeviceSpec::Flex.init().unwrap(); 3];
    let other = folder.path().join("other");
    let trainer = Trainer::start(config, &corpus(), &corpus(), other, &resuming());
    let error = trainer.unwrap().run_on(&devices, &mut At::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("training.accumulate"), "{error}");
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint_and_keeps_few() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    for step in [3, 4, 9, 15] {
        let killed = folder.path().join(format!("killed-{step}"));
        let mut at = At {
            copy: Some((step, whole.clone(), killed.clone())),
            ..Default::default()
        };
        let start = Start {
            overwrite: true,
            ..Default::default()
        };
        train_on(EXPERIMENT, &corpus(), &whole, &start, &mut at).unwrap();
        assert_eq!(checkpoints(&whole).unwrap().len(), 2);
        resume(EXPERIMENT, &killed, &mut At::default()).unwrap();
        assert_same(&whole, &killed);
        assert_eq!(checkpoints(&killed).unwrap().len(), 2);
        assert!(!killed.join(".model.safetensors.1.tmp").exists());
    }
}

#[test]
fn a_finished_run_stays_as_it_is_and_can_be_made_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (short, long) = (folder.path().join("short"), folder.path().join("long"));
    let steps = |steps: usize| format!("{EXPERIMENT}\nvalid_every = 6\nmax_steps = {steps}");
    begin(&steps(15), &short, &mut At::default()).unwrap();
    let before = outcome(&short);
    resume(&steps(15), &short, &mut At::default()).unwrap();
    assert!(before == outcome(&short));
    resume(&steps(29), &short, &mut At::default()).unwrap();
    begin(&steps(29), &long, &mut At::default()).unwrap();
    let (short, long) = (outcome(&short), outcome(&long));
    assert!(short.0 == long.0 && short.1 == long.1);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    begin(EXPERIMENT, &whole, &mut At::default()).unwrap();
    let damage: [fn(Vec<u8>) -> Vec<u8>; 4] = [
        |bytes| bytes[..bytes.len() / 2].into(),
        |mut bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            bytes
        },
        |mut bytes| {
            let key = br#"\"without_better\":"#;
            let at = bytes.windows(key.len()).position(|found| found == key);
            bytes[at.unwrap() + key.len()] ^= 1; // another digit
            bytes
        },
        |_| Vec::new(),
    ];
    for damage in damage {
        let mut at = At {
            interrupt: Some(14),
            ..Default::default()
        };
        let start = Start {
            overwrite: true,
            ..Default::default()
        };
        train_on(EXPERIMENT, &corpus(), &broken, &start, &mut at).unwrap();
        let files = checkpoints(&broken).unwrap();
        let [good, newest] = &files[..] else {
            panic!("{files:?}")
        };
        let bytes = fs::read(newest).unwrap();
        fs::write(newest, damage(bytes)).unwrap();
        let mut at = At::default();
        resume(EXPERIMENT, &broken, &mut at).unwrap();
        let Event::Resume { step, damaged, .. } = &at.events[0] else {
            panic!("{:?}", at.events[0])
        };
        assert!(good.display().to_string().contains(&format!("{step:08}")));
        assert_eq!(damaged.len(), 1);
        let name = newest.file_name().unwrap().to_str().unwrap();
        assert!(damaged[0].contains(name), "{damaged:?}");
        assert_same(&whole, &broken);
    }

    for path in checkpoints(&broken).unwrap() {
        fs::write(path, "nothing").unwrap();
    }
    let error = resume(EXPERIMENT, &broken, &mut At::default());
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("truncated") && error.contains("--overwrite"),
        "{error}"
    );
    assert!(broken.join("model.safetensors").exists());
}

#[test]
fn other_settings_data_and_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut at = At {
        interrupt: Some(5),
        ..Default::default()
    };
    begin(EXPERIMENT, &run, &mut at).unwrap();
    let refused = |text: &str, train: &Corpus, expected: &str| {
        let error = train_on(text, train, &run, &resuming(), &mut At::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let other = EXPERIMENT.replace("lr = 2e-2", "lr = 3e-2");
    refused(&other, &corpus(), "training.schedule.lr was 0.02, now 0.03");
    let mut data = corpus();
    data.pairs[3].tgt = "a b".into();
    refused(EXPERIMENT, &data, "the targets of the training data");
    data.pairs.pop();
    refused(EXPERIMENT, &data, "7 pairs, now 6");
    let tokenizer = run.join("tgt.tokenizer.json");
    let text = fs::read_to_string(&tokenizer).unwrap();
    fs::write(&tokenizer, format!("{text}\n")).unwrap();
    refused(EXPERIMENT, &corpus(), "tgt.tokenizer.json is another one");
    fs::write(&tokenizer, text).unwrap();
    // How long it goes on and what it writes may change.
    let free = format!("{EXPERIMENT}\nkeep = 1\nmax_minutes = 5");
    resume(&free, &run, &mut At::default()).unwrap();
}

#[test]
fn two_processes_never_train_in_one_directory() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = ExperimentConfig::from_toml(EXPERIMENT).unwrap();
    let first = Trainer::create(config.clone(), &corpus(), &corpus(), &run, false).unwrap();
    for start in [
        resuming(),
        Start {
            overwrite: true,
            ..Default::default()
        },
    ] {
        let second = Trainer::start(config.clone(), &corpus(), &corpus(), &run, &start);
        let error = second.unwrap_err().to_string();
        assert!(error.contains("another process"), "{error}");
    }
    assert!(run.join("experiment.toml").exists());
    drop(first);
    assert!(Trainer::start(config, &corpus(), &corpus(), &run, &resuming()).is_ok());
}

#[test]
fn time_counts_over_all_parts() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut at = At {
        interrupt: Some(9),
        ..Default::default()
    };
    let before = begin(EXPERIMENT, &run, &mut at).unwrap();
    let mut at = At {
        interrupt: Some(1),
        ..Default::default()
    };
    let after = resume(EXPERIMENT, &run, &mut at).unwrap();
    let Event::Resume { elapsed_s, .. } = at.events[0] else {
        panic!()
    };
    assert!(0.0 < elapsed_s && elapsed_s <= before.elapsed_s);
    assert!(after.elapsed_s > elapsed_s);
    // Time is up.
    let minutes = after.elapsed_s / 60.0 / 2.0;
    let limited = format!("{EXPERIMENT}\nmax_minutes = {minutes:?}");
    let summary = resume(&limited, &run, &mut At::default()).unwrap();
    assert_eq!(summary.steps, after.steps);
}

#[test]
fn spikes_change_nothing_and_end_the_run_where_there_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let (calm, spikes) = (folder.path().join("calm"), folder.path().join("spikes"));
    let text = EXPERIMENT.replace(
        "spike_factor = 1.5",
        "spike_factor = 1e-6\nvalid_every = 1000",
    );
    let text = text.replace("max_epochs = 15", "max_epochs = 40");
    let fifty = format!("{text}\nmax_steps = 50");
    begin(&fifty, &calm, &mut At::default()).unwrap();
    let many = format!("{text}\nmax_steps = 60\nmax_skipped = 10");
    let summary = begin(&many, &spikes, &mut At::default()).unwrap();
    assert_eq!((summary.steps, summary.skipped), (60, 10));
    let last = |run: &Path| outcome(run).0;
    assert!(last(&calm) == last(&spikes));

    let few = folder.path().join("few");
    let text = format!("{text}\nmax_skipped = 3");
    let error = begin(&text, &few, &mut At::default())
        .unwrap_err()
        .to_string();
    for part in ["4 steps in a row", "step 54", "a spike", "learning rate"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(
        !checkpoints(&few).unwrap().is_empty(),
        "what was saved stays"
    );
}

#[test]
fn a_run_that_diverges_says_how_and_leaves_its_last_good_state() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // Each step multiplies the weights by 1 - 10 * 0.9.
    let text = EXPERIMENT
        .replace(
            "'plateau', lr = 2e-2, patience = 1",
            "'constant', lr = 10.0",
        )
        .replace("'adamw'", "'adamw', weight_decay = 0.9")
        .replace("spike_factor = 1.5", "spike_factor = 0\nvalid_every = 1000")
        .replace("max_epochs = 15", "max_epochs = 60");
    let mut at = At::default();
    let error = begin(&text, &run, &mut at).unwrap_err().to_string();
    for part in ["diverged", "11 steps in a row", "not finite", "1.0e1"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let skipped = at
        .events
        .iter()
        .filter(|event| matches!(event, Event::Skipped(_)))
        .count();
    assert!(skipped >= 10, "{skipped}");
    // Weights in a checkpoint that is read are finite.
    let again = resume(&text, &run, &mut At::default()).unwrap_err();
    assert_eq!(again.to_string(), error);
}
