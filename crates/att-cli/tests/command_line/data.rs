//! `att train` on caches, several corpora, filters, and batches that fit into memory.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::support::*;

fn message(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{message}");
    message
}

/// The first event of a kind in a run's log.
fn event(folder: &Folder, kind: &str) -> Option<Value> {
    let log = fs::read_to_string(folder.path("run/log.jsonl")).unwrap();
    let events = log.lines().map(|line| serde_json::from_str(line).unwrap());
    events
        .into_iter()
        .find(|event: &Value| event["event"] == kind)
}

fn weights(folder: &Folder) -> Vec<u8> {
    fs::read(folder.path("run/last.safetensors")).unwrap()
}

const STEPS: [&str; 3] = ["--overwrite", "--max-steps", "9"];

#[test]
fn a_cache_changes_nothing_is_found_again_and_is_never_trusted() {
    let folder = Folder::new();
    let train = |cache: &[&str]| folder.train(&["pairs.tsv"], &[&STEPS[..], cache].concat());
    let plain = message(&train(&[]));
    assert!(!plain.contains("data:"), "{plain}");
    assert_eq!(event(&folder, "data"), None);
    let whole = weights(&folder);
    // The run's own directory, and another.
    for place in ["run", "cache"] {
        let place = folder.path(place);
        let cache = ["--cache", text(&place)];
        let made = message(&train(&cache));
        assert!(
            made.contains("data: 6 pairs, none left out; tokens kept in"),
            "{made}"
        );
        assert_eq!(event(&folder, "data").unwrap()["cache"]["found"], false);
        assert!(weights(&folder) == whole);
        let found = message(&train(&cache));
        assert!(found.contains("tokens from"), "{found}");
        assert!(weights(&folder) == whole);

        let file = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let file = file
            .into_iter()
            .find(|path| text(path).ends_with(".cache"))
            .unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes[20] ^= 1;
        fs::write(&file, &bytes).unwrap();
        let again = message(&train(&cache));
        assert!(
            again.contains("warning: ") && again.contains("checksum"),
            "{again}"
        );
        assert!(weights(&folder) == whole);
    }
    // Resuming needs the cache no more than anything else does.
    let cache = folder.path("cache");
    fs::remove_dir_all(&cache).unwrap();
    let more = ["--resume", "--max-steps", "12", "--cache", text(&cache)];
    message(&folder.train(&["pairs.tsv"], &more));
    let resumed = weights(&folder);
    message(&folder.train(&["pairs.tsv"], &["--overwrite", "--max-steps", "12"]));
    assert!(weights(&folder) == resumed);
}

#[test]
fn a_cache_that_can_not_be_written_is_named_and_leaves_nothing() {
    let folder = Folder::new();
    let file = folder.write("file", "");
    refused(
        &folder.train(&["pairs.tsv"], &["--cache", text(&file)]),
        &["file", "cannot write"],
    );
    let line = "abc\tc b a\n";
    folder.write("long.tsv", line.repeat(2000));
    // A limit on the size of files is the part of a full disk that needs no privilege.
    let path = |name: &str| text(&folder.path(name)).to_string();
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} train {} --train {} --valid {} --out {} --cache {}",
        env!("CARGO_BIN_EXE_att"),
        path("experiment.toml"),
        path("long.tsv"),
        path("pairs.tsv"),
        path("run"),
        path("cache"),
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    refused(&output, &["tokens-", ".cache", "cannot write"]);
    assert_eq!(fs::read_dir(folder.path("cache")).unwrap().count(), 0);
    assert!(!folder.path("run").exists());

    // Bad lines are named as without a cache.
    folder.write("utf8.tsv", b"ab\tb a\n\xff\xfe\tx\n");
    let cache = folder.path("cache");
    refused(
        &folder.train(&["utf8.tsv"], &["--cache", text(&cache)]),
        &["utf8.tsv", "line 2", "UTF-8"],
    );
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
}

#[test]
fn several_corpora_have_weights_and_a_run_on_them_can_be_resumed() {
    let folder = Folder::new();
    folder.write("other.src", "aab\nbba\n");
    folder.write("other.tgt", "b a a\na b b\n");
    let path = |name: &str| text(&folder.path(name)).to_string();
    let second = [path("other.src"), path("other.tgt")];
    let train = |more: &[&str]| {
        let corpora = ["--train", &second[0], &second[1]];
        folder.train(&["pairs.tsv"], &[&corpora[..], more].concat())
    };
    let both = message(&train(&STEPS));
    assert!(both.contains("data: 2 + 6 pairs, none left out"), "{both}");
    let unweighted = weights(&folder);
    let text = format!("{EXPERIMENT}\n[data]\nweights = [3.0, 1.0]");
    folder.write(
        "experiment.toml",
        text.replace("batch_size = 4", "batch_size = 2"),
    );
    message(&train(&STEPS));
    let whole = weights(&folder);
    assert!(whole != unweighted);
    message(&train(&["--overwrite", "--max-steps", "5"]));
    message(&train(&["--resume", "--max-steps", "9"]));
    assert!(weights(&folder) == whole);
    refused(
        &folder.train(&["pairs.tsv"], &STEPS),
        &["weights", "are 2, but there are 1 corpora"],
    );
    folder.write("other.tgt", "b a a\n\n");
    refused(&train(&STEPS), &["other.tgt", "line 2"]);
    folder.write("other.tgt", "b a a\n");
    refused(
        &train(&STEPS),
        &["other.src has 2 lines", "other.tgt has 1"],
    );
}

#[test]
fn what_is_left_out_is_counted() {
    let folder = Folder::new();
    folder.write("pairs.tsv", format!("{PAIRS}abc\tc b a\nabcabc\tc\na\tb\n"));
    let text = format!("{EXPERIMENT}\n[data]\ndeduplicate = true");
    let limits = "batch_size = 4\n    max_ratio = 3.0\n    min_len = 2";
    folder.write("experiment.toml", text.replace("batch_size = 4", limits));
    let told = message(&folder.train(&["pairs.tsv"], &STEPS));
    assert!(
        told.contains("data: 9 pairs, 3 left out (1 duplicates, 2 too short)"),
        "{told}"
    );
    let dropped = &event(&folder, "data").unwrap()["dropped"];
    assert_eq!(
        (&dropped["duplicates"], &dropped["too_short"]),
        (&1.into(), &2.into())
    );
    assert_eq!(event(&folder, "start").unwrap()["examples"], 6);
    let waiting = event(&folder, "step").unwrap()["waiting"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&waiting), "{waiting}");
}

/// Pairs of many words.
fn lines(pairs: usize, words: usize) -> String {
    let mut lines = String::new();
    for i in 0..pairs {
        let word = |j: usize| ["ab", "ba", "c", "bca", "ac"][(i * 7 + j * 3 + i * j) % 5];
        let words: Vec<&str> = (0..1 + (i * 13) % words).map(word).collect();
        writeln!(lines, "{0}\t{0}", words.join(" ")).unwrap();
    }
    lines
}

#[cfg(target_os = "linux")]
#[test]
fn batches_are_as_large_as_memory_allows() {
    let folder = Folder::new();
    folder.write("pairs.tsv", lines(60, 10));
    folder.write("long.tsv", lines(1000, 60));
    let experiment = EXPERIMENT.replace("kind = 'char'", "kind = 'whitespace'");
    let experiment = experiment.replace("valid_every = 50", "valid_every = 50\n    keep = 1");
    folder.write(
        "experiment.toml",
        format!("{experiment}\n[search]\nmax_len = 20"),
    );
    let train = |memory: &str| {
        let more = [
            "--overwrite",
            "--max-steps",
            "1",
            "--auto-batch",
            "--memory",
            memory,
        ];
        folder.train(&["long.tsv"], &more)
    };
    let size = |output: &Output| -> usize {
        let message = message(output);
        let found = message
            .lines()
            .find_map(|line| line.strip_prefix("batches of up to "));
        let (tokens, rest) = found.expect(&message).split_once(' ').unwrap();
        let (peak, limit) = rest["tokens: ".len()..]
            .split_once(" MB at most, of ")
            .unwrap();
        assert!(
            peak.parse::<u64>().unwrap() < limit.parse().unwrap(),
            "{rest}"
        );
        let experiment = fs::read_to_string(folder.path("run/experiment.toml")).unwrap();
        assert!(experiment.contains("batch_by = \"tokens\""), "{experiment}");
        assert!(
            experiment.contains(&format!("batch_size = {tokens}\n")),
            "{experiment}"
        );
        tokens.parse().unwrap()
    };
    let refusal = train("1M");
    refused(&refusal, &["batch_size", "--memory"]);
    let told = String::from_utf8_lossy(&refusal.stderr).into_owned();
    let (_, needed) = told.split_once("validation hold ").unwrap();
    let needed: u64 = needed.split_once(' ').unwrap().0.parse().unwrap();
    // Another run may hold half as much again: pages of the program, buffers of a second thread.
    let times = |tenths: u64| format!("{}K", needed * tenths * 100);
    let (small, large) = (size(&train(&times(24))), size(&train(&times(33))));
    assert!(
        62 < small && small < large && large <= 62 * 1000,
        "{small} {large}"
    );
    // The trials leave nothing behind that training would depend on.
    let found = weights(&folder);
    let told = format!("batch_size = {large}\n    batch_by = 'tokens'");
    let told = experiment.replace("batch_size = 4", &told);
    folder.write("experiment.toml", format!("{told}\n[search]\nmax_len = 20"));
    message(&folder.train(&["long.tsv"], &["--overwrite", "--max-steps", "1"]));
    assert!(weights(&folder) == found);
    folder.write(
        "experiment.toml",
        format!("{experiment}\n[search]\nmax_len = 20"),
    );
    size(&train(&times(33)));
    // A resumed run takes what was found, whatever there is now.
    let more = [
        "--resume",
        "--max-steps",
        "2",
        "--auto-batch",
        "--memory",
        "1M",
    ];
    let resumed = message(&folder.train(&["long.tsv"], &more));
    assert!(!resumed.contains("batches of up to"), "{resumed}");
    refused(
        &folder.train(&["long.tsv"], &["--resume", "--max-steps", "3"]),
        &["batch.batch_size was "],
    );
}

/// `cargo test --release -p att-cli --test command_line a_million_pairs -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn a_million_pairs_begin_soon_and_need_little_memory() {
    let folder = Folder::new();
    // Words by Zipf's law, the target another word for each, in another order.
    let mut lines = String::new();
    let mut state = 1_u64;
    let mut chance = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f64 / (1_u64 << 24) as f64
    };
    for _ in 0..1_000_000 {
        let words = 5 + (chance() * 25.0) as usize;
        let words: Vec<u64> = (0..words)
            .map(|_| (20_000.0_f64.powf(chance())) as u64)
            .collect();
        for word in &words {
            write!(lines, "s{} ", word * 7919 % 99_991).unwrap();
        }
        lines.push('\t');
        for word in words.iter().rev() {
            write!(lines, "t{} ", word * 104_729 % 99_991).unwrap();
        }
        lines.push('\n');
    }
    folder.write("million.tsv", &lines);
    drop(lines);
    let kinds = "[tokenizer]\n    src = { kind = 'bpe' }\n    tgt = { kind = 'bpe' }\n    [batch]";
    let (_, rest) = EXPERIMENT.split_once("[batch]").unwrap();
    folder.write(
        "experiment.toml",
        format!("{kinds}{rest}").replace("batch_size = 4", "batch_size = 64"),
    );
    folder.write("valid.tsv", "s1 s2\tt2 t1\n");
    let path = |name: &str| text(&folder.path(name)).to_string();
    for cache in [false, true, true] {
        let (config, train, valid) = (
            path("experiment.toml"),
            path("million.tsv"),
            path("valid.tsv"),
        );
        let (out, kept) = (path("run"), path("cache"));
        let mut arguments = vec![
            "train", &config, "--train", &train, "--valid", &valid, "--out", &out,
        ];
        arguments.extend(["--overwrite", "--max-steps", "50"]);
        if cache {
            arguments.extend(["--cache", &kept]);
        }
        let begun = Instant::now();
        let mut child = att(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut last = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.starts_with("training ") {
                println!("began after {:.1} s", begun.elapsed().as_secs_f64());
            }
            println!("{line}");
            if line.contains("MB of memory at most") {
                last = line;
            }
        }
        assert!(child.wait().unwrap().success());
        let (_, memory) = last.split_once("waiting for data, ").unwrap();
        let (megabytes, _) = memory.split_once(' ').unwrap();
        assert!(megabytes.parse::<u64>().unwrap() < 1000, "{last}");
    }
}
