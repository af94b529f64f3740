//! `--ensemble`, `--shortlist` and threads.

use std::fs;

use crate::support::*;

/// Another model of the same pairs, of another kind, with another vocabulary of the source.
fn other_model() -> Folder {
    let folder = Folder::new();
    let bahdanau = "decoder = { kind = 'bahdanau', d_output = 16, recurrent = { d_hidden = 16 } }";
    let decoder = EXPERIMENT.lines().find(|line| line.contains("'luong'"));
    let experiment = EXPERIMENT.replace(decoder.unwrap(), bahdanau);
    folder.write("experiment.toml", experiment);
    folder.write("pairs.tsv", format!("{PAIRS}xyz\tc b a\n"));
    let trained = folder.train(&["pairs.tsv"], &[]);
    assert!(trained.status.success());
    folder
}

#[test]
fn models_decode_together() {
    let other = other_model();
    let other_path = other.path("run");
    let attention = other.path("attention.jsonl");
    let translate = |more: &[&str]| {
        let arguments = [&["translate", model()][..], more].concat();
        stdout(&run_with_input(&arguments, b"abc\n\ncb\n"))
    };
    let alone = translate(&["--n-best", "2"]);
    let twice = translate(&["--n-best", "2", "--ensemble", model()]);
    let texts = |found: &str| -> Vec<String> {
        let text = |line: &str| line.split(" ||| ").nth(1).unwrap().to_string();
        found.lines().map(text).collect()
    };
    assert_eq!(texts(&twice), texts(&alone));

    let arguments = [
        "--ensemble",
        text(&other_path),
        "--ensemble-weights",
        "2,1",
        "--mixture",
        "log_linear",
        "--attention",
        text(&attention),
    ];
    assert_eq!(translate(&arguments), "c b a\n\nb c\n");
    let records = fs::read_to_string(&attention).unwrap();
    let records: Vec<serde_json::Value> = records
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // Of two lines: the ensemble's, and that of each of its models.
    assert_eq!(records.len(), 6);
    assert!(records[0].get("model").is_none());
    assert_eq!(records[1]["model"], model());
    assert_eq!(records[2]["model"], text(&other_path));
    // The models cut the source alike but have other vocabularies: attention is that of the first.
    for (record, expected) in [(&records[0], &records[1]), (&records[3], &records[4])] {
        let sum = |record: &serde_json::Value| record["weights"][0][0].as_f64().unwrap();
        assert!((sum(record) - sum(expected)).abs() < 1e-3);
    }

    let pairs = other.path("pairs.tsv");
    let arguments = [
        "evaluate",
        model(),
        "--ensemble",
        text(&other_path),
        "--data",
        text(&pairs),
    ];
    assert!(stdout(&run(&arguments)).contains("exact match"));
}

#[test]
fn models_of_other_target_vocabularies_are_refused() {
    let other = Folder::new();
    other.write("pairs.tsv", "abc\tC B A\nba\tA B\n");
    assert!(
        other
            .train(&["pairs.tsv"], &["--max-steps", "1"])
            .status
            .success()
    );
    let path = other.path("run");
    let own = format!("{}/tgt.tokenizer.json", model());
    let others = path.join("tgt.tokenizer.json");
    let arguments = ["translate", model(), "--ensemble", text(&path)];
    refused(
        &run_with_input(&arguments, b"abc\n"),
        &[&own, text(&others)],
    );
    let arguments = [&arguments[..3], &[model(), "--ensemble-weights", "1"]].concat();
    refused(&run_with_input(&arguments, b"abc\n"), &["weights"]);
    let alone = run(&["translate", model(), "--mixture", "average"]);
    assert_eq!(alone.status.code(), Some(2), "without --ensemble");
}

#[test]
fn a_shortlist_keeps_what_is_needed() {
    let folder = Folder::new();
    let (pairs, shortlist) = (folder.path("pairs.tsv"), folder.path("shortlist.json"));
    let arguments = [
        "shortlist",
        model(),
        "--data",
        text(&pairs),
        "--out",
        text(&shortlist),
    ];
    let told = stdout(&run(
        &[&arguments[..], &["--best", "1", "--frequent", "1"]].concat()
    ));
    assert!(told.contains("of 7 target tokens"), "{told}");
    let translate = || {
        let arguments = ["translate", model(), "--shortlist", text(&shortlist)];
        run_with_input(&arguments, b"abc\ncb\n")
    };
    assert_eq!(stdout(&translate()), "c b a\nb c\n");

    // Letters are translated by themselves in this table, and nothing is frequent.
    let table = folder.write("lex.s2t", "a a 0.9\nb b 0.8\nb c 0.9\nNULL c 0.1\n");
    let more = ["--lexicon", text(&table), "--best", "1", "--frequent", "0"];
    stdout(&run(&[&arguments[..], &more].concat()));
    let found = stdout(&translate());
    assert!(
        !found.contains('c'),
        "c is no translation of c here: {found}"
    );

    fs::write(&table, "a 0.9\n").unwrap();
    refused(
        &run(&[&arguments[..], &more].concat()),
        &["lex.s2t", "line 1"],
    );
    fs::write(&shortlist, "{}").unwrap();
    refused(&translate(), &["shortlist.json"]);
}

#[test]
fn threads_change_no_byte() {
    let input: String = (0..200)
        .map(|n| ["abc\n", "cb\n", "a\n", "bacabac\n", "\n"][n % 5].repeat(n % 3 + 1))
        .collect();
    let folder = Folder::new();
    folder.write("input.txt", input);
    let path = folder.path("input.txt");
    let arguments = [
        "translate",
        model(),
        "--input",
        text(&path),
        "--n-best",
        "3",
    ];
    let of = |threads: &str, more: &[&str]| {
        let mut command = att(&[&arguments[..], more].concat());
        stdout(&command.env("RAYON_NUM_THREADS", threads).output().unwrap())
    };
    let small = ["--batch-size", "4"];
    let (expected, expected_small) = (of("1", &[]), of("1", &small));
    for threads in ["2", "3"] {
        assert_eq!(of(threads, &[]), expected);
        assert_eq!(of(threads, &small), expected_small);
    }
}
