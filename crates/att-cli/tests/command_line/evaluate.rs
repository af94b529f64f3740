//! `att evaluate` of models and of files, and `att inspect`.

use std::fs;
use std::process::Output;

use crate::support::*;

#[test]
fn evaluate_and_inspect_print_their_tables() {
    let folder = Folder::new();
    let (pairs, output) = (folder.path("pairs.tsv"), folder.path("output.tsv"));
    let arguments = [
        "evaluate",
        model(),
        "--data",
        text(&pairs),
        "--by-length",
        "--output",
        text(&output),
    ];
    let found = stdout(&run(&arguments));
    for part in [
        "WER 0.00",
        "PER 0.00",
        "exact match 100.00",
        "BLEU = ",
        "nrefs:1|case:mixed",
        "2\t3\t0.00",
    ] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
    assert_eq!(fs::read_to_string(output).unwrap(), PAIRS);
    let found = stdout(&run(&["inspect", model(), "--weights"]));
    for part in [
        "src_embedding",
        "decoder.attention",
        "source     7 tokens",
        "[model.encoder]",
    ] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
}

/// Files of outputs and references.
fn outputs() -> Folder {
    let folder = Folder::new();
    folder.write(
        "a.txt",
        "the cat sat on a mat\nit rains\nthree small birds sing\n\n",
    );
    folder.write(
        "b.txt",
        "The cat sat on the mat.\nit rained today\nthree small birds sing\nhello\n",
    );
    folder.write(
        "ref.txt",
        "The cat sat on the mat.\nIt rained today.\nThree small birds sing.\nHello world\n",
    );
    folder.write(
        "ref2.txt",
        "A cat was sitting on the mat.\nToday it rained.\nThere sing three small birds.\nHi\n",
    );
    folder
}

/// `att evaluate` of these files in the folder, with more arguments.
fn evaluate(folder: &Folder, files: &[&str], references: &[&str], more: &[&str]) -> Output {
    let paths = |names: &[&str]| {
        names
            .iter()
            .map(|name| folder.path(name))
            .collect::<Vec<_>>()
    };
    let (files, references) = (paths(files), paths(references));
    let mut arguments = vec!["evaluate"];
    arguments.extend(files.iter().map(|path| text(path)));
    for reference in &references {
        arguments.extend(["--ref", text(reference)]);
    }
    arguments.extend_from_slice(more);
    run(&arguments)
}

/// The scores of each system in the JSON.
fn scores(output: &Output) -> Vec<serde_json::Value> {
    let report: serde_json::Value = serde_json::from_str(&stdout(output)).unwrap();
    let systems = report["systems"].as_array().unwrap();
    systems
        .iter()
        .map(|system| system["scores"].clone())
        .collect()
}

#[test]
fn files_are_scored_as_by_sacrebleu() {
    // sacrebleu ref.txt ref2.txt -i b.txt -m bleu chrf ter -w 2 --chrf-word-order 2
    let folder = outputs();
    let metrics = ["--metric", "bleu,chrf++,ter", "--metric", "wer"];
    let found = evaluate(&folder, &["b.txt"], &["ref.txt", "ref2.txt"], &metrics);
    let found = stdout(&found);
    for part in [
        "4 lines against ",
        "BLEU",
        "chrF2++",
        "78.68    79.35  19.35",
        "nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0",
        "nrefs:2|case:mixed|eff:yes|nc:6|nw:2|space:no|version:2.6.0",
        "nrefs:2|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0",
        "BP = ",
    ] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
}

#[test]
fn options_reach_their_metrics() {
    let folder = outputs();
    let signature = |metric: &str, more: &[&str]| {
        let arguments = [&["--json", "--metric", metric][..], more].concat();
        let found = scores(&evaluate(&folder, &["a.txt"], &["ref.txt"], &arguments));
        found[0][0]["signature"].as_str().unwrap().to_owned()
    };
    for (metric, options, part) in [
        ("bleu", "--tokenize=intl", "|tok:intl|"),
        ("bleu", "--smooth=floor:0.5", "|smooth:floor[0.50]|"),
        ("bleu", "--lowercase", "|case:lc|"),
        ("bleu", "--sentences", "|eff:yes|"),
        (
            "bleu",
            "--confidence --samples=20 --seed=7",
            "|bs:20|seed:7|",
        ),
        ("chrf", "--lowercase", "|case:lc|"),
        ("ter", "--ter-normalized", "|norm:yes|"),
        ("ter", "--ter-no-punct", "|punct:no|"),
        ("ter", "--ter-asian-support", "|asian:yes|"),
        ("ter", "--ter-case-sensitive", "|case:mixed|"),
        ("wer", "--lowercase", "|case:lc|"),
        ("rouge1", "--rouge-stem", "|stem:yes|"),
    ] {
        let options: Vec<&str> = options.split(' ').collect();
        let found = signature(metric, &options);
        assert!(found.contains(part), "{options:?}: {found}");
    }
}

#[test]
fn two_systems_are_compared() {
    let folder = outputs();
    for (test, tag) in [
        ("bootstrap", "|bs:50|seed:12345|"),
        ("randomisation", "|ar:50|seed:12345|"),
    ] {
        let more = [
            "--metric",
            "chrf,cer",
            "--paired",
            test,
            "--samples",
            "50",
            "--json",
        ];
        let found = evaluate(&folder, &["a.txt", "b.txt"], &["ref.txt"], &more);
        let again = evaluate(&folder, &["a.txt", "b.txt"], &["ref.txt"], &more);
        assert_eq!(found.stdout, again.stdout, "the same seed, other numbers");
        let systems = scores(&found);
        let of = |system: usize| systems[system].as_array().unwrap();
        assert_eq!(of(0).len(), 2);
        for (baseline, system) in of(0).iter().zip(of(1)) {
            assert!(baseline["p_value"].is_null());
            let p = system["p_value"].as_f64().unwrap();
            assert!((1.0 / 51.0..=1.0).contains(&p), "{p}");
            assert_eq!(system["confidence"].is_object(), test == "bootstrap");
            assert!(system["signature"].as_str().unwrap().contains(tag));
        }
        let table = evaluate(&folder, &["a.txt", "b.txt"], &["ref.txt"], &more[..6]);
        assert!(stdout(&table).contains("p = "));
    }
}

#[test]
fn scores_are_broken_down() {
    let folder = outputs();
    folder.write("train.txt", "the cat sat on the mat .\nthe birds\n");
    let train = folder.path("train.txt");
    let more = [
        "--by",
        "length,frequency",
        "--train",
        text(&train),
        "--sentences",
        "--metric",
        "wer,rougeL",
    ];
    let json = [&more[..], &["--json"]].concat();
    let found = evaluate(&folder, &["a.txt", "b.txt"], &["ref.txt"], &json);
    let report: serde_json::Value = serde_json::from_str(&stdout(&found)).unwrap();
    let system = &report["systems"][1];
    let wer = &system["scores"][0];
    assert_eq!(wer["by_length"][0]["bucket"], "<10");
    assert_eq!(wer["by_length"][0]["segments"], 4);
    assert_eq!(wer["by_length"][0]["score"], wer["score"]);
    assert_eq!(wer["sentences"].as_array().unwrap().len(), 4);
    assert_eq!(wer["sentences"][0], 0.0);
    let words = system["by_frequency"].as_array().unwrap();
    assert_eq!(words.len(), 9);
    // `the` stands three times in the training text, and is right in b.txt.
    assert_eq!(
        (&words[3]["bucket"], &words[3]["f1"]),
        (&"3".into(), &100.0.into())
    );
    let found = stdout(&evaluate(&folder, &["a.txt", "b.txt"], &["ref.txt"], &more));
    for part in ["WER by length", "F1 by frequency", "line of ", "[5,10)"] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
}

#[test]
fn alignments_are_scored() {
    let folder = outputs();
    folder.write("found.align", "0-0 1-1\n0-1 1-0\n");
    folder.write("gold.align", "0-0 1p1\n0-1 1p0 2-2\n");
    folder.write("short.align", "0-0\n1:0\n");
    let found = evaluate(
        &folder,
        &["found.align"],
        &["gold.align"],
        &["--metric", "aer", "--json"],
    );
    // 1 - (2 + 4) / (4 + 3)
    let aer = scores(&found)[0][0]["score"].as_f64().unwrap();
    assert!((aer - 100.0 / 7.0).abs() < 1e-9, "{aer}");
    let words = evaluate(&folder, &["a.txt"], &["ref.txt"], &["--metric", "aer"]);
    refused(&words, &["a.txt line 1", "`the`"]);
    let words = evaluate(
        &folder,
        &["found.align"],
        &["short.align"],
        &["--metric", "aer"],
    );
    refused(&words, &["short.align line 2", "`1:0`"]);
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = outputs();
    folder.write("short.txt", "one\ntwo\n");
    folder.write("utf8.txt", b"one\n\xff\n\n\n");
    folder.write("empty.txt", "");
    let try_files = |outputs: &[&str], references: &[&str], more: &[&str], expected: &[&str]| {
        refused(&evaluate(&folder, outputs, references, more), expected);
    };
    try_files(
        &["a.txt"],
        &["short.txt"],
        &[],
        &["a.txt", "4", "short.txt", "2"],
    );
    try_files(
        &["a.txt", "short.txt"],
        &["ref.txt"],
        &[],
        &["a.txt", "4", "short.txt", "2"],
    );
    try_files(
        &["utf8.txt"],
        &["ref.txt"],
        &[],
        &["utf8.txt", "line 2", "UTF-8"],
    );
    try_files(
        &["a.txt"],
        &["ref.txt", "utf8.txt"],
        &[],
        &["utf8.txt", "line 2"],
    );
    try_files(&["a.txt"], &["absent.txt"], &[], &["absent.txt"]);
    try_files(&["absent.txt"], &["ref.txt"], &[], &["absent.txt"]);
    try_files(
        &["empty.txt"],
        &["empty.txt"],
        &[],
        &["empty.txt", "no lines"],
    );
    try_files(
        &["a.txt"],
        &["ref.txt"],
        &["--metric", "meteor"],
        &["meteor", "rougeL"],
    );
    try_files(
        &["a.txt"],
        &["ref.txt"],
        &["--paired", "bootstrap"],
        &["--paired", "two"],
    );
    try_files(
        &["a.txt"],
        &["ref.txt"],
        &["--by", "frequency"],
        &["--train"],
    );
    try_files(
        &["a.txt"],
        &["ref.txt"],
        &["--by", "frequency", "--train", "no/such.txt"],
        &["no/such.txt"],
    );
    try_files(
        &["a.txt"],
        &["ref.txt"],
        &["--confidence", "--samples", "0"],
        &["0 samples"],
    );
    refused(&run(&["evaluate", model()]), &["--data", "--ref"]);
}
