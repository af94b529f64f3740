//! `att train`: what it refuses, replaces and saves.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::*;

#[test]
fn bad_lines_are_named_by_file_and_number() {
    let folder = Folder::new();
    folder.write("utf8.tsv", b"ab\tb a\n\xff\xfe\tx\n");
    folder.write("empty.tsv", "ab\tb a\n\nba\ta b\n");
    folder.write("half.tsv", "ab\tb a\nba\t\n");
    folder.write("tabs.tsv", "ab\tb a\nba a b\n");
    folder.write("nothing.tsv", "");
    folder.write("three.src", "ab\nba\nab\n");
    folder.write("two.tgt", "b a\na b\n");
    folder.write("cut.tsv.gz", b"\x1f\x8b\x08\x00\x00\x00");
    refused(
        &folder.train(&["utf8.tsv"], &[]),
        &["utf8.tsv", "line 2", "UTF-8"],
    );
    refused(
        &folder.train(&["empty.tsv"], &[]),
        &["empty.tsv", "line 2", "empty"],
    );
    refused(
        &folder.train(&["half.tsv"], &[]),
        &["half.tsv", "line 2", "target"],
    );
    refused(
        &folder.train(&["tabs.tsv"], &[]),
        &["tabs.tsv", "line 2", "tab"],
    );
    refused(&folder.train(&["nothing.tsv"], &[]), &["nothing.tsv"]);
    refused(
        &folder.train(&["three.src", "two.tgt"], &[]),
        &["three.src", "3", "two.tgt", "2"],
    );
    refused(&folder.train(&["cut.tsv.gz"], &[]), &["cut.tsv.gz", "gzip"]);
    assert!(!folder.path("run").exists(), "nothing is left behind");
    let output = run_with_input(&["translate", model()], b"abc\n\xff\n");
    refused(&output, &["standard input", "line 2", "UTF-8"]);
    assert_eq!(output.stdout, b"c b a\n", "what came before is translated");
}

#[test]
fn missing_files_are_named() {
    let folder = Folder::new();
    refused(&folder.train(&["nowhere.tsv"], &[]), &["nowhere.tsv"]);
    refused(
        &run(&["translate", "no/such/model"]),
        &["no/such/model", "config.toml"],
    );
    refused(
        &run(&["translate", model(), "--input", "no/such.txt"]),
        &["no/such.txt"],
    );
    let arguments = folder.arguments(&["train", "absent.toml"], "pairs.tsv", "run", &[]);
    refused(&run(&arguments), &["absent.toml"]);
    assert!(!folder.path("run").exists());
}

#[test]
fn misspelt_and_absurd_settings_are_named() {
    let folder = Folder::new();
    let refuse = |from: &str, to: &str, expected: &[&str]| {
        folder.write("experiment.toml", EXPERIMENT.replace(from, to));
        refused(&folder.train(&["pairs.tsv"], &[]), expected);
        assert!(!folder.path("run").exists());
    };
    refuse("batch_size", "bach_size", &["experiment.toml", "bach_size"]);
    refuse("'luong'", "'loung'", &["experiment.toml", "loung"]);
    refuse(
        "valid_every = 50",
        "valid_every = 'often'",
        &["experiment.toml", "valid_every"],
    );
    refuse(
        "d_hidden = 16, dropout",
        "d_hidden = 0, dropout",
        &["encoder.d_hidden"],
    );
    refuse(
        "d_hidden = 16, dropout",
        "d_hidden = 999999999999, dropout",
        &["encoder.d_hidden"],
    );
    refuse(
        "d_hidden = 16, dropout",
        "d_hidden = 60000, layers = 9000, dropout",
        &["limit"],
    );
    refuse("[batch]", "[batch", &["experiment.toml"]);
    refused(
        &run(&["translate", model(), "--beam-size", "0"]),
        &["beam_size"],
    );
    refused(
        &run(&["translate", model(), "--beam-size", "99999999"]),
        &["beam_size"],
    );
}

#[test]
fn bf16_products_train_a_model_of_their_own_and_the_same_each_time() {
    let folder = Folder::new();
    let weights = |precision: &str| {
        let text = EXPERIMENT.replace(
            "max_epochs = 100",
            &format!("max_steps = 10\n    precision = '{precision}'"),
        );
        folder.write("experiment.toml", text);
        let trained = folder.train(&["pairs.tsv"], &["--overwrite"]);
        assert!(trained.status.success(), "{trained:?}");
        fs::read(folder.path("run/last.safetensors")).unwrap()
    };
    let bf16 = weights("bf16");
    assert!(bf16 == weights("bf16"), "the same seed, other bytes");
    assert!(bf16 != weights("f32"), "precision is not read");
}

#[test]
fn several_devices_take_the_batches_of_a_step() {
    let folder = Folder::new();
    let refuse = |devices: &str, expected: &[&str]| {
        let more = ["--device", devices, "--overwrite"];
        refused(&folder.train(&["pairs.tsv"], &more), expected);
    };
    refuse("flex,ndarray", &["device", "flex and ndarray"]);
    refuse("flex,flex", &["training.accumulate", "2"]);
    assert!(!folder.path("run").exists());
    let text = EXPERIMENT.replace("max_epochs = 100", "max_steps = 20\n    accumulate = 2");
    folder.write("experiment.toml", text);
    let weights = |devices: &str| {
        let more = ["--device", devices, "--overwrite"];
        let trained = folder.train(&["pairs.tsv"], &more);
        assert!(trained.status.success(), "{trained:?}");
        fs::read(folder.path("run/last.safetensors")).unwrap()
    };
    assert!(weights("flex,flex") == weights("flex,flex"));
}

#[test]
fn a_run_is_only_replaced_on_demand_and_nothing_else_ever() {
    let folder = Folder::new();
    assert!(
        folder
            .train(&["pairs.tsv"], &["--max-steps", "2"])
            .status
            .success()
    );
    let weights = fs::read(folder.path("run/last.safetensors")).unwrap();
    refused(
        &folder.train(&["pairs.tsv"], &["--max-steps", "3"]),
        &["run", "--overwrite"],
    );
    assert_eq!(
        fs::read(folder.path("run/last.safetensors")).unwrap(),
        weights
    );
    assert!(
        folder
            .train(&["pairs.tsv"], &["--max-steps", "3", "--overwrite"])
            .status
            .success()
    );
    assert_ne!(
        fs::read(folder.path("run/last.safetensors")).unwrap(),
        weights
    );

    folder.write("run/thesis.tex", "years of work");
    refused(
        &folder.train(&["pairs.tsv"], &["--overwrite"]),
        &["thesis.tex", "stays as it is"],
    );
    assert!(folder.path("run/last.safetensors").exists());
    fs::remove_file(folder.path("run/thesis.tex")).unwrap();

    // Settings that do not fit show before the old run goes.
    folder.write(
        "experiment.toml",
        EXPERIMENT.replace("batch_size = 4", "batch_size = 4\nmax_src_len = 1"),
    );
    refused(
        &folder.train(&["pairs.tsv"], &["--overwrite"]),
        &["max_src_len"],
    );
    assert!(folder.path("run/last.safetensors").exists());
}

#[test]
fn an_interrupt_saves_and_says_so() {
    let folder = Folder::new();
    folder.write(
        "experiment.toml",
        EXPERIMENT.replace("max_epochs = 100", "max_epochs = 60000"),
    );
    let out = folder.path("run");
    let arguments = folder.arguments(&["train", "experiment.toml"], "pairs.tsv", "run", &[]);
    let child = att(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !out.join("model.safetensors").exists() {
        assert!(
            begun.elapsed().as_secs() < 120,
            "the first validation never came"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("interrupted"), "{message}");
    assert!(out.join("last.safetensors").is_file());
    let found = stdout(&run_with_input(&["translate", text(&out)], b"abc\n"));
    assert_eq!(found.lines().count(), 1);
}
