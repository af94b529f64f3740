//! `att compare`: what it trains, keeps, skips and refuses.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::*;

/// Where each letter of the targets of `PAIRS` comes from.
const GOLD: &str = "2-0 1-1 0-2\n2-0 1-1 0-2\n2-0 1-1 0p2\n1-0 0-1\n1-0 0-1\n1-0 0-1\n";

/// `att compare` of these files in the folder, into its `out`.
fn compare(folder: &Folder, configs: &[&str], more: &[&str]) -> Output {
    run(&arguments(folder, configs, more))
}

fn arguments(folder: &Folder, configs: &[&str], more: &[&str]) -> Vec<String> {
    let command = [&["compare"], configs].concat();
    folder.arguments(&command, "pairs.tsv", "out", more)
}

fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into()
}

fn report(folder: &Folder) -> Value {
    let text = fs::read_to_string(folder.path("out/compare.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn attentions_are_compared_and_what_is_finished_is_kept() {
    let folder = Folder::new();
    let gold = folder.write("gold.txt", GOLD);
    let asked = |attentions: &str, steps: &str| {
        let more = [
            "--attentions",
            attentions,
            "--max-steps",
            steps,
            "--gold-alignments",
            text(&gold),
        ];
        compare(&folder, &["experiment.toml"], &more)
    };
    let first = asked("all,general+sparsemax", "12");
    let table = stdout(&first);
    let told = error_text(&first);
    // The memory has 32 numbers a state, the decoder's state 16.
    for kind in ["dot", "scaled_dot", "cosine"] {
        assert!(told.contains(&format!("{kind} is left out: ")), "{told}");
    }
    assert!(!told.contains('\r') && !told.contains('\u{1b}'), "{told}");
    let found = report(&folder);
    let rows = found["rows"].as_array().unwrap();
    let names: Vec<&str> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "general",
            "bilinear",
            "additive",
            "concat",
            "location",
            "general+sparsemax"
        ]
    );
    for row in rows {
        for key in [
            "perplexity",
            "parameters",
            "train_s",
            "tgt_tokens_per_s",
            "sentences_per_s",
            "attention_entropy",
        ] {
            assert!(row[key].as_f64().unwrap() > 0.0, "{key} in {row}");
        }
        assert_eq!(row["steps"], 12);
        for key in ["score", "aer"] {
            let percent = row[key].as_f64().unwrap();
            assert!((0.0..=100.0).contains(&percent), "{key} in {row}");
        }
        // Below that of equal weights over three letters and EOS.
        assert!(row["attention_entropy"].as_f64().unwrap() < 4f64.ln());
    }
    assert!(
        table.starts_with("| name ") && table.contains(" AER % |"),
        "{table}"
    );
    assert_eq!(
        fs::read_to_string(folder.path("out/compare.md")).unwrap(),
        table
    );
    let picture = fs::read_to_string(folder.path("out/compare.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains("general+sparsemax"));

    // Again: nothing is trained, and all is the same.
    let again = asked("all,general+sparsemax", "12");
    assert_eq!(stdout(&again), table);
    assert_eq!(error_text(&again).matches("finished before").count(), 6);

    // What is not finished is trained anew, to the same bytes.
    let weights = || fs::read(folder.path("out/general/model.safetensors")).unwrap();
    let before = weights();
    fs::remove_dir_all(folder.path("out/general")).unwrap();
    let third = asked("all,general+sparsemax", "12");
    assert_eq!(error_text(&third).matches("finished before").count(), 5);
    assert!(weights() == before, "the same steps, other weights");
    assert_eq!(report(&folder)["rows"][0]["score"], rows[0]["score"]);

    // Other settings or data are not what is finished.
    let general = Path::new("out/general");
    let named = [text(general), "experiment.training.max_steps = 12"];
    refused(&asked("general", "13"), &named);
    folder.write("gold.txt", GOLD.replace('p', "-"));
    refused(&asked("general", "12"), &[text(general), "gold_alignments"]);
    folder.write("gold.txt", GOLD);
    folder.write("pairs.tsv", PAIRS.replace("cb\tb c", "aa\ta a"));
    refused(&asked("general", "12"), &[text(general), "train = "]);
    assert!(weights() == before);
}

#[test]
fn experiments_are_compared_for_one_budget() {
    let folder = Folder::new();
    folder.write("slow.toml", EXPERIMENT.replace("lr = 1e-2", "lr = 1e-3"));
    folder.write(
        "summary.toml",
        EXPERIMENT
            .replace("'luong', d_attentional = 16", "'summary', d_output = 16")
            .replace("max_epochs = 100", "max_epochs = 7"),
    );
    let configs = ["slow.toml", "summary.toml"];
    refused(
        &compare(&folder, &configs, &[]),
        &[
            "training.max_epochs: 100 in slow and 7 in summary",
            "--epochs",
        ],
    );
    assert!(!folder.path("out").exists(), "nothing is left behind");
    let output = compare(&folder, &configs, &["--epochs", "2"]);
    let table = stdout(&output);
    assert!(!table.contains("AER"), "{table}");
    let found = report(&folder);
    assert_eq!(found["max_epochs"], 2);
    assert_eq!(found["metric"], "wer");
    let [slow, summary] = &found["rows"].as_array().unwrap()[..] else {
        panic!("{found}")
    };
    assert_eq!([&slow["name"], &summary["name"]], ["slow", "summary"]);
    assert_eq!([&slow["steps"], &summary["steps"]], [4, 4]);
    assert!(slow["attention_entropy"].is_f64());
    assert!(
        summary["attention_entropy"].is_null(),
        "it has no attention"
    );
}

#[test]
fn an_interrupt_keeps_what_is_finished() {
    let folder = Folder::new();
    let endless = EXPERIMENT.replace("max_epochs = 100", "max_epochs = 60000");
    folder.write("experiment.toml", endless);
    // The first is finished, the second is not.
    let attentions = |kinds: &'static str| ["--attentions", kinds, "--epochs"];
    let quick = [&attentions("general")[..], &["60000", "--max-steps", "3"]].concat();
    assert!(
        compare(&folder, &["experiment.toml"], &quick)
            .status
            .success()
    );
    let more = [&attentions("concat,general")[..], &["60000"]].concat();
    let more = arguments(&folder, &["experiment.toml"], &more);
    // Other steps than those that are finished: refused before anything is trained.
    refused(&run(&more), &["out/general", "max_steps = 3"]);
    assert!(!folder.path("out/concat").exists());

    fs::remove_dir_all(folder.path("out/general")).unwrap();
    let child = att(&more).stderr(Stdio::piped()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !folder.path("out/concat/model.safetensors").exists() {
        let waited = begun.elapsed().as_secs();
        assert!(waited < 120, "the first validation never came");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", error_text(&output));
    let kept = fs::read_to_string(folder.path("out/concat/compared.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert!(kept["result"].is_null(), "it is not finished");
    assert!(
        !folder.path("out/general").exists(),
        "the next one did not begin"
    );

    // What is not finished may be trained with other settings.
    let few = [
        &attentions("concat,general")[..],
        &["60000", "--max-steps", "3"],
    ]
    .concat();
    stdout(&compare(&folder, &["experiment.toml"], &few));
    assert_eq!(report(&folder)["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn what_can_not_be_compared_is_named() {
    let folder = Folder::new();
    let config = ["experiment.toml"];
    let refuse = |configs: &[&str], more: &[&str], expected: &[&str]| {
        refused(&compare(&folder, configs, more), expected);
        assert!(!folder.path("out/compare.json").exists());
    };
    refuse(&["absent.toml"], &[], &["absent.toml"]);
    let twice = ["experiment.toml", "experiment.toml"];
    refuse(&twice, &[], &["'experiment'", "rename"]);
    refuse(&twice, &["--attentions", "dot"], &["one experiment"]);
    refuse(
        &config,
        &["--attentions", "dott"],
        &["'dott'", "dot, scaled_dot"],
    );
    refuse(
        &config,
        &["--attentions", "general,dot"],
        &["model.decoder.attention.scorer.kind"],
    );

    for (gold, expected) in [
        ("0-0\n", ["gold.txt has 1 lines", "6 validation pairs"]),
        ("0-0\n\n0:0\n\n\n\n", ["gold.txt line 3", "`0:0`"]),
        ("\n\n\n\n0-2\n\n", ["gold.txt line 5", "2 and 2 positions"]),
    ] {
        let gold = folder.write("gold.txt", gold);
        refuse(&config, &["--gold-alignments", text(&gold)], &expected);
    }
    refuse(
        &config,
        &["--gold-alignments", "no/such.txt"],
        &["no/such.txt"],
    );

    fs::create_dir_all(folder.path("out/experiment")).unwrap();
    let thesis = folder.write("out/experiment/model.safetensors", "years of work");
    refuse(&config, &[], &["out/experiment", "stays as it is"]);
    assert_eq!(fs::read(thesis).unwrap(), b"years of work");
}
