//! The command as a user meets it: its verbs on a tiny model, and every kind of bad input.
//!
//! Bad input gets one line on the standard error that names the file, line or key, and a status
//! other than zero; no panic, and nothing lost or half-written.

mod bench;
mod compare;
mod data;
mod ensemble;
mod evaluate;
mod export_web;
mod faithful;
mod fine_tuning;
mod inspect;
mod quantize;
mod quickstart;
mod resume;
mod score;
mod seeing;
mod serve;
mod support;
mod train;
mod translate;
mod tree;

use std::fs;
use std::process::{Command, Stdio};

use support::*;

#[test]
fn help_lists_the_verbs() {
    let help = stdout(&run(&["--help"]));
    for verb in [
        "quickstart",
        "train",
        "report",
        "compare",
        "translate",
        "tree",
        "evaluate",
        "score",
        "inspect",
        "faithful",
        "bench",
        "average",
        "serve",
        "export-web",
    ] {
        assert!(help.contains(verb), "{help}");
    }
}

#[test]
fn usage_names_first_what_a_list_of_files_would_swallow() {
    for (verb, name) in [
        ("train", "<CONFIG>"),
        ("compare", "<CONFIG>..."),
        ("evaluate", "<MODEL>"),
        ("faithful", "<MODEL>"),
        ("bench train", "<CONFIG>"),
    ] {
        let arguments: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
        let help = stdout(&run(&arguments));
        let usage = format!("Usage: att {verb} {name} --");
        assert!(help.contains(&usage), "{help}");
    }
}

#[test]
fn a_device_that_is_not_there_is_named_with_those_that_are() {
    let output = run(&["translate", model(), "--device", "tpu"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains("tpu") && message.contains("flex, ndarray"),
        "{message}"
    );
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_written_file() {
    let folder = Folder::new();
    // A limit on the size of files is the part of a full disk that needs no privilege.
    let command = ["train", "experiment.toml"];
    let arguments = folder.arguments(&command, "pairs.tsv", "run", &["--max-steps", "3"]);
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} {}",
        env!("CARGO_BIN_EXE_att"),
        arguments.join(" ")
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    refused(
        &output,
        &["checkpoint-00000003.safetensors", "cannot write"],
    );
    let mut left = fs::read_dir(folder.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    assert!(!left.any(|path| text(&path).contains("safetensors")));

    let mean = folder.path("mean");
    for arguments in [
        &["inspect", model()][..],
        &["report", model()],
        &["average", model(), "--out", text(&mean)],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let output = att(arguments)
            .stdout(full.unwrap())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        refused(&output, &["No space left"]);
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let script = format!(
        "{} inspect {} | head -n 1",
        env!("CARGO_BIN_EXE_att"),
        model()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(stdout(&output).starts_with("model"));
}
