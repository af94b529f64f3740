//! `att train --resume` after whatever may happen to a run; `--init-from` and `att average`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::*;

/// Long enough to be killed, with a state in every corner.
fn experiment() -> String {
    EXPERIMENT
        .replace("dropout = 0.0", "dropout = 0.2")
        .replace("kind = 'constant'", "kind = 'plateau', patience = 3")
        .replace(
            "max_epochs = 100",
            "max_epochs = 150\n    save_every = 3\n    accumulate = 2\n    average_decay = 0.9\n    \
             src_word_dropout = 0.1\n    log_every = 7",
        )
        .replace("batch_size = 4", "batch_size = 1")
}

fn arguments(folder: &Folder, out: &str, more: &[&str]) -> Vec<String> {
    folder.arguments(&["train", "experiment.toml"], "pairs.tsv", out, more)
}

fn train(folder: &Folder, out: &str, more: &[&str]) -> Output {
    run(&arguments(folder, out, more))
}

fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(run)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| text(path).contains("/checkpoint-"))
        .collect();
    found.sort();
    found
}

/// Kills a run again and again, each time a while after it has saved a checkpoint, and compares what it
/// ends with; begins another where one ended before there were enough kills.
fn killed_runs_end_alike(kills: usize) {
    let folder = Folder::new();
    folder.write("experiment.toml", experiment());
    let begun = Instant::now();
    stdout(&train(&folder, "whole", &[]));
    let whole = begun.elapsed();
    // What the clock says is chance enough.
    let mut chance = u64::from(whole.subsec_nanos());
    let mut killed = 0;
    while killed < kills {
        let _ = fs::remove_dir_all(folder.path("killed"));
        while killed < kills {
            chance = chance
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let part = (chance >> 40) as f64 / (1u64 << 24) as f64;
            if !kill_once(&folder, whole.mul_f64(part / kills as f64)) {
                break;
            }
            killed += 1;
        }
        stdout(&train(&folder, "killed", &["--resume"]));
        same_models(&folder, "killed");
        assert_eq!(losses(&folder, "whole"), losses(&folder, "killed"));
        assert_eq!(checkpoints(&folder.path("killed")).len(), 2);
    }
}

/// Resumes the run, waits for a new checkpoint and so long, and kills it; whether it was still there.
fn kill_once(folder: &Folder, wait: Duration) -> bool {
    let arguments = arguments(folder, "killed", &["--resume"]);
    let out = folder.path("killed");
    let before = checkpoints(&out);
    let mut child = att(&arguments).stderr(Stdio::null()).spawn().unwrap();
    while checkpoints(&out) == before && child.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(1));
    }
    sleep(wait);
    let alive = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    alive
}

#[track_caller]
fn same_models(folder: &Folder, run: &str) {
    for name in ["last.safetensors", "model.safetensors"] {
        let [a, b] = ["whole", run].map(|run| fs::read(folder.path(run).join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
}

/// What the log says of each step and validation.
fn losses(folder: &Folder, run: &str) -> Vec<[String; 3]> {
    let log = fs::read_to_string(folder.path(run).join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let known = lines.map(|event: serde_json::Value| {
        ["event", "step", "loss"].map(|key| event[key].to_string())
    });
    known.filter(|[event, ..]| event != "\"resume\"").collect()
}

#[test]
fn a_run_that_is_killed_ends_with_the_same_bytes() {
    killed_runs_end_alike(4);
}

/// `cargo test -p att-cli --test command_line twenty_kills -- --ignored`
#[test]
#[ignore = "takes a minute"]
fn twenty_kills_change_nothing() {
    killed_runs_end_alike(20);
}

#[test]
fn a_signal_saves_the_state_and_resuming_ends_with_the_same_bytes() {
    let folder = Folder::new();
    folder.write(
        "experiment.toml",
        experiment().replace("save_every = 3", "save_every = 0"),
    );
    stdout(&train(&folder, "whole", &[]));
    let log = folder.path("broken/log.jsonl");
    for signal in ["-INT", "-TERM"] {
        let arguments = arguments(&folder, "broken", &["--resume"]);
        let lines = || fs::read_to_string(&log).unwrap_or_default().lines().count();
        let before = lines();
        let child = att(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while lines() < before + 3 {
            assert!(begun.elapsed().as_secs() < 120, "the run never began");
            sleep(Duration::from_millis(1));
        }
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{message}");
        assert!(message.contains("--resume goes on"), "{message}");
    }
    stdout(&train(&folder, "broken", &["--resume"]));
    same_models(&folder, "broken");
}

#[test]
fn what_does_not_fit_the_run_is_refused_by_key_and_file() {
    let folder = Folder::new();
    stdout(&train(&folder, "run", &["--max-steps", "20"]));
    let more = ["--resume", "--max-steps", "30"];
    refused(
        &train(&folder, "run", &[&more[..], &["--seed", "9"]].concat()),
        &["seed was 0, now 9"],
    );
    folder.write("pairs.tsv", PAIRS.replace("b a", "a b"));
    refused(
        &train(&folder, "run", &more),
        &["the targets of the training data", "pairs.tsv"],
    );
    folder.write("pairs.tsv", PAIRS);
    stdout(&train(&folder, "run", &more));
    for checkpoint in checkpoints(&folder.path("run")) {
        fs::remove_file(checkpoint).unwrap();
    }
    refused(
        &train(&folder, "run", &more),
        &["run", "checkpoint", "--overwrite"],
    );
}

#[test]
fn a_disk_that_fills_up_stops_the_run_and_its_last_state_stays() {
    let folder = Folder::new();
    let text = EXPERIMENT.replace(
        "valid_every = 50",
        "valid_every = 1000\n    save_every = 10",
    );
    folder.write("experiment.toml", text);
    stdout(&train(&folder, "whole", &["--max-steps", "60"]));
    stdout(&train(&folder, "full", &["--max-steps", "30"]));
    let before = checkpoints(&folder.path("full"));
    // A limit on the size of files is the part of a full disk that needs no privilege.
    let size = fs::metadata(&before[0]).unwrap().len();
    let arguments = arguments(&folder, "full", &["--max-steps", "60", "--resume"]);
    let script = format!(
        "trap '' XFSZ; ulimit -f {}; exec {} {}",
        size / 1024 - 1,
        env!("CARGO_BIN_EXE_att"),
        arguments.join(" ")
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    refused(&output, &["cannot write", "checkpoint-00000040"]);
    assert_eq!(checkpoints(&folder.path("full")), before);
    stdout(&train(&folder, "full", &["--max-steps", "60", "--resume"]));
    let [a, b] = ["whole", "full"].map(|run| fs::read(folder.path(run).join("last.safetensors")));
    assert!(a.unwrap() == b.unwrap());
}

#[test]
fn a_model_is_tuned_on_other_data_with_its_own_tokenisers() {
    let folder = Folder::new();
    folder.write("other.tsv", "ab\tb a\nba\ta b\n");
    folder.write(
        "experiment.toml",
        EXPERIMENT.replace(
            "[training]",
            "[training]\nfreeze = ['encoder', 'embeddings']",
        ),
    );
    let from = ["--init-from", model(), "--max-steps", "20"];
    let out = folder.path("tuned");
    let tune = |more: &[&str]| {
        let more = [&from[..], more].concat();
        let command = ["train", "experiment.toml"];
        run(&folder.arguments(&command, "other.tsv", "tuned", &more))
    };
    stdout(&tune(&[]));
    let same = |name: &str| {
        let before = fs::read(Path::new(model()).join(name)).unwrap();
        before == fs::read(out.join(name)).unwrap()
    };
    assert!(same("src.tokenizer.json") && same("tgt.tokenizer.json"));
    assert!(!same("model.safetensors"));
    let found = run_with_input(&["translate", text(&out)], b"abc\n");
    assert_eq!(stdout(&found), "c b a\n", "what it knew before");

    folder.write(
        "experiment.toml",
        EXPERIMENT.replace("d_hidden = 16 }", "d_hidden = 8 }"),
    );
    let output = tune(&["--overwrite"]);
    refused(&output, &["model.safetensors", "shape"]);
    folder.write(
        "experiment.toml",
        EXPERIMENT.replace("[training]", "[training]\nfreeze = ['encodr']"),
    );
    let output = tune(&["--overwrite"]);
    refused(&output, &["training.freeze", "encodr"]);
}

#[test]
fn the_last_checkpoints_make_a_model() {
    let folder = Folder::new();
    let out = folder.path("mean");
    let average = |of: &[&str], more: &[&str]| {
        let _ = fs::remove_dir_all(&out);
        let arguments = ["average", "--out", text(&out)];
        run(&[&arguments[..], more, of].concat())
    };
    let message = stdout(&average(&[model()], &["--last", "2"]));
    assert_eq!(message.matches("checkpoint-").count(), 2, "{message}");
    let found = stdout(&run_with_input(&["translate", text(&out)], b"abc\n"));
    assert_eq!(found.lines().count(), 1);
    let mean = fs::read(out.join("model.safetensors")).unwrap();

    let newest = checkpoints(Path::new(model()));
    stdout(&average(&[text(&newest[0]), text(&newest[1])], &[]));
    assert!(mean == fs::read(out.join("model.safetensors")).unwrap());
    stdout(&average(&[model(), model()], &[]));
    let own = fs::read(Path::new(model()).join("model.safetensors")).unwrap();
    assert!(
        own == fs::read(out.join("model.safetensors")).unwrap(),
        "the mean of one model"
    );

    refused(
        &average(&[model()], &["--last", "9"]),
        &["2 checkpoints", "keep"],
    );
    refused(
        &run(&["average", model(), "--out", model()]),
        &["not empty"],
    );
    let copy = copy_of_model();
    let weights = copy.path().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    refused(
        &average(&[model(), text(copy.path())], &[]),
        &["model.safetensors", "truncated"],
    );
}
