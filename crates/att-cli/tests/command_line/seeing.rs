//! How a training run shows itself: report, TensorBoard, dashboard.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::*;

fn event_files(folder: &Folder) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder.path("run")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| text(path).contains("/events.out.tfevents."))
        .map(|path| fs::read(path).unwrap())
        .collect()
}

#[test]
fn a_run_leaves_a_report_that_can_be_written_again() {
    let folder = Folder::new();
    let trained = folder.train(&["pairs.tsv"], &["--max-steps", "120", "--tensorboard"]);
    assert!(trained.status.success(), "{trained:?}");
    let page = fs::read_to_string(folder.path("run/report.html")).unwrap();
    for part in [
        "best wer, at step",
        "of 120 steps",
        "Learning rate",
        "training examples",
        "valid_every = 50",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // Three validations of four samples with their attention.
    assert_eq!(page.matches("<figcaption>").count(), 12);
    assert_eq!(page.matches("<svg").count(), 12 + 6);

    let log = fs::read_to_string(folder.path("run/log.jsonl")).unwrap();
    let figures = |word: &str| {
        let [events] = &event_files(&folder)[..] else {
            panic!("one file")
        };
        let word = word.as_bytes();
        events.windows(word.len()).filter(|at| *at == word).count()
    };
    assert_eq!(figures("valid/wer"), 3);
    assert_eq!(figures("train/loss"), log.matches("\"epoch\"").count());
    let events = event_files(&folder);

    fs::remove_file(folder.path("run/report.html")).unwrap();
    let out = folder.path("run");
    let told = stdout(&run(&["report", text(&out), "--tensorboard"]));
    assert!(told.trim_end().ends_with("report.html"), "{told}");
    let again = fs::read_to_string(folder.path("run/report.html")).unwrap();
    assert!(again == page, "another report");
    assert_eq!(event_files(&folder)[0].len(), events[0].len());

    // It is a part of the run.
    let resumed = folder.train(&["pairs.tsv"], &["--max-steps", "130", "--resume"]);
    assert!(resumed.status.success(), "{resumed:?}");
    let longer = fs::read_to_string(folder.path("run/report.html")).unwrap();
    assert!(
        longer.contains("resumed after step</th><td>120"),
        "{longer}"
    );
}

#[test]
fn a_report_needs_a_run() {
    refused(
        &run(&["report", "no/such/run"]),
        &["no/such/run", "log.jsonl"],
    );
    let folder = Folder::new();
    fs::create_dir(folder.path("run")).unwrap();
    folder.write("run/log.jsonl", "{\"event\":\"start\"}\n");
    let out = folder.path("run");
    refused(&run(&["report", text(&out)]), &["log.jsonl", "line 1"]);
    assert!(!out.join("report.html").exists());
}

#[test]
fn a_dashboard_needs_a_terminal_and_quiet_is_quiet() {
    let folder = Folder::new();
    let dashboard = folder.train(&["pairs.tsv"], &["--progress", "dashboard"]);
    refused(&dashboard, &["--progress dashboard", "terminal"]);
    let more = ["--max-steps", "60", "--overwrite", "--progress", "none"];
    let quiet = folder.train(&["pairs.tsv"], &more);
    let text = String::from_utf8_lossy(&quiet.stderr);
    assert!(
        quiet.status.success() && !text.contains("valid at"),
        "{text}"
    );

    let newest = folder.path("run/checkpoint-00000060.safetensors");
    fs::write(newest, "damaged").unwrap();
    let more = ["--max-steps", "61", "--resume", "--progress", "none"];
    let warned = folder.train(&["pairs.tsv"], &more);
    let text = String::from_utf8_lossy(&warned.stderr);
    assert!(
        text.contains("warning: ") && text.contains("checkpoint-00000060"),
        "{text}"
    );
    assert!(!text.contains("going on after step"), "{text}");
}

/// On a pseudo-terminal, which util-linux's `script` gives.
#[test]
#[cfg(target_os = "linux")]
fn the_dashboard_stops_at_q_and_gives_the_terminal_back() {
    let folder = Folder::new();
    let text_of = EXPERIMENT.replace("max_epochs = 100", "max_epochs = 60000");
    folder.write("experiment.toml", text_of);
    let out = folder.path("run");
    let arguments = folder.arguments(&["train", "experiment.toml"], "pairs.tsv", "run", &[]);
    let train = format!(
        "stty rows 24 cols 80; {} {}; echo left $?; stty -a",
        env!("CARGO_BIN_EXE_att"),
        arguments.join(" ")
    );
    let mut child = Command::new("script")
        .args(["-qc", &train, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !out.join("report.html").exists() {
        assert!(begun.elapsed().as_secs() < 120, "no validation came");
        sleep(Duration::from_millis(50));
    }
    child.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    let output = child.wait_with_output().unwrap();
    let screen = String::from_utf8_lossy(&output.stdout);
    let (drawn, after) = screen.rsplit_once("\x1b[?1049l").expect(&screen);
    assert!(drawn.contains("\x1b[?1049h") && drawn.contains("gradient"));
    for part in [
        "valid at step",
        "--resume goes on",
        "left 130",
        " icanon",
        " echo ",
    ] {
        assert!(after.contains(part), "{part}: {after}");
    }
}
