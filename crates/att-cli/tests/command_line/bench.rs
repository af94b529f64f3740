//! `att bench`.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::*;

/// The one line of JSON that a bench prints, which has these numbers.
#[track_caller]
fn measured(output: &Output, numbers: &[&str]) -> serde_json::Value {
    let found = stdout(output);
    assert_eq!(found.lines().count(), 1, "{found}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let line: serde_json::Value = serde_json::from_str(&found).unwrap();
    for number in numbers {
        let positive = line[number].as_f64().is_some_and(|number| number > 0.0);
        assert!(positive, "'{number}' is not a positive number in: {found}");
    }
    assert_eq!(line["device"], "flex");
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    for key in ["peak_rss_mb", "tgt_tokens_per_cpu_s", "sentences_per_cpu_s"] {
        let is_told = line.get(key).is_none_or(serde_json::Value::is_f64);
        assert!(is_told || !cfg!(target_os = "linux"), "{key} in: {found}");
    }
    line
}

#[test]
fn bench_train_prints_one_line_of_json() {
    let folder = Folder::new();
    let (config, pairs) = (folder.path("experiment.toml"), folder.path("pairs.tsv"));
    let arguments = [
        "bench",
        "train",
        text(&config),
        "--train",
        text(&pairs),
        "--steps",
        "4",
        "--warmup",
        "1",
        "--repeats",
        "2",
    ];
    let line = measured(
        &run(&arguments),
        &[
            "parameters",
            "threads",
            "seconds",
            "steps_per_s",
            "src_tokens_per_s",
            "src_tokens_per_s_best",
            "tgt_tokens_per_s",
            "tgt_tokens_per_s_best",
            "gflops_per_s",
            "loss",
        ],
    );
    assert_eq!(line["bench"], "train");
    assert_eq!(line["precision"], "f32");
    assert_eq!(line["batch_by"], "sentences");
    for (key, expected) in [("batch_size", 4), ("steps", 4), ("repeats", 2)] {
        assert_eq!(line[key], expected, "{key}");
    }
    // Letters and target tokens are as many, and either side is read or predicted with EOS.
    assert_eq!(line["src_tokens"], line["tgt_tokens"]);
    let share = |part: &str| line["share"][part].as_f64().unwrap();
    let shares = [share("forward"), share("backward"), share("optimizer")];
    assert!(shares.iter().all(|&share| share > 0.0), "{line}");
    assert!(shares.iter().sum::<f64>() <= 1.0, "{line}");
    let left = fs::read_dir(folder.0.path()).unwrap().count();
    assert_eq!(left, 2, "nothing is written");
}

#[test]
fn bench_decode_prints_one_line_of_json() {
    let arguments = [
        "bench",
        "decode",
        model(),
        "--data",
        "-",
        "--limit",
        "3",
        "--beam-size",
        "2",
        "--repeats",
        "1",
    ];
    let line = measured(
        &run_with_input(&arguments, b"abc\n\ncb\nba\nac\n"),
        &[
            "parameters",
            "threads",
            "batch_size",
            "seconds",
            "sentences_per_s",
            "sentences_per_s_best",
            "tokens_per_s",
        ],
    );
    assert_eq!(line["bench"], "decode");
    assert_eq!(line["beam_size"], 2);
    assert_eq!(line["sentences"], 3, "blank lines do not count");
    assert_eq!(line["output_tokens"], 4 + 3 + 3, "with EOS");
}

#[test]
fn bench_refuses_what_it_cannot_measure() {
    let folder = Folder::new();
    let (config, pairs) = (folder.path("experiment.toml"), folder.path("pairs.tsv"));
    let train = |config: &Path, pairs: &Path, more: &[&str]| {
        let train = [
            "bench",
            "train",
            text(config),
            "--train",
            text(pairs),
            "--steps",
            "1",
        ];
        run(&[&train[..], more].concat())
    };
    let absent = folder.path("absent.toml");
    refused(&train(&absent, &pairs, &[]), &["absent.toml"]);
    let nowhere = folder.path("nowhere.tsv");
    refused(&train(&config, &nowhere, &[]), &["nowhere.tsv"]);
    refused(
        &train(&config, &pairs, &["--repeats", "0"]),
        &["repeats: 0"],
    );
    let misspelt = EXPERIMENT.replace("batch_size", "bach_size");
    let misspelt = folder.write("misspelt.toml", misspelt);
    refused(
        &train(&misspelt, &pairs, &[]),
        &["misspelt.toml", "bach_size"],
    );

    let decode = |model: &str, more: &[&str]| {
        let decode = ["bench", "decode", model, "--data", "-"];
        run_with_input(&[&decode[..], more].concat(), b" \n")
    };
    refused(&decode("no/such/model", &[]), &["no/such/model"]);
    refused(&decode(model(), &[]), &["standard input", "no text"]);
    refused(&decode(model(), &["--limit", "0"]), &["limit: 0"]);
    refused(&decode(model(), &["--beam-size", "0"]), &["beam_size"]);
    let missing = run(&["bench", "decode", model(), "--data", "no/such.txt"]);
    refused(&missing, &["no/such.txt"]);
}
