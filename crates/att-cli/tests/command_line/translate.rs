//! `att translate`, and models that it refuses.

use std::fs;

use crate::support::*;

#[test]
fn a_model_translates_line_by_line() {
    let found = stdout(&run_with_input(
        &["translate", model()],
        b"abc\n\ncb\r\nzz\n",
    ));
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 4, "as many lines as in the input: {found}");
    assert_eq!(&lines[..3], ["c b a", "", "b c"]);
}

#[test]
fn n_best_and_attention_have_their_forms() {
    let folder = tempfile::tempdir().unwrap();
    let attention = folder.path().join("attention.jsonl");
    let arguments = [
        "translate",
        model(),
        "--n-best",
        "3",
        "--attention",
        text(&attention),
    ];
    let found = stdout(&run_with_input(&arguments, b"abc\nba\n"));
    let lines: Vec<Vec<&str>> = found
        .lines()
        .map(|line| line.split(" ||| ").collect())
        .collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[0][..2], ["0", "c b a"]);
    assert_eq!(lines[3][..2], ["1", "a b"]);
    let scores: Vec<f64> = lines[..3]
        .iter()
        .map(|line| line[2].parse().unwrap())
        .collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]));
    let records = fs::read_to_string(attention).unwrap();
    let first: serde_json::Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    assert_eq!(
        first["src_tokens"],
        serde_json::json!(["a", "b", "c", "</s>"])
    );
    assert_eq!(
        first["tgt_tokens"],
        serde_json::json!(["c", "b", "a", "</s>"])
    );
    assert_eq!(first["weights"].as_array().unwrap().len(), 4);
    assert_eq!(records.lines().count(), 6);
}

#[test]
fn samples_have_a_seed() {
    let sample = |seed: &str, input: &[u8]| {
        let more = ["--sample", "--temperature", "3", "--seed", seed];
        let arguments = [&["translate", model()][..], &more].concat();
        stdout(&run_with_input(&arguments, input))
    };
    let input = b"abc\ncab\nbca\nac\nba\ncb\n";
    let found = sample("1", input);
    assert_eq!(found, sample("1", input));
    assert_ne!(found, sample("2", input));
    // Nor does it matter what stands beside a line.
    let first = found.lines().next().unwrap();
    assert_eq!(sample("1", b"abc\n").trim_end(), first);
    let fifth = found.lines().nth(4).unwrap();
    assert_eq!(sample("1", b"cb\nba\n").lines().nth(1), Some(fifth));
}

#[test]
fn prefixes_and_phrases_are_read_line_by_line() {
    let folder = Folder::new();
    let prefixes = folder.write("prefixes.txt", "a\n\nb c\n");
    let phrases = folder.write("phrases.txt", "\nc c\tb\n\n");
    let arguments = [
        "translate",
        model(),
        "--prefix-file",
        text(&prefixes),
        "--constraints",
        text(&phrases),
    ];
    let found = stdout(&run_with_input(&arguments, b"abc\nabc\ncb\n"));
    let lines: Vec<&str> = found.lines().collect();
    assert!(lines[0].starts_with("a"), "{found}");
    assert!(
        lines[1].contains("c c") && lines[1].contains('b'),
        "{found}"
    );
    assert!(lines[2].starts_with("b c"), "{found}");
    let found = stdout(&run_with_input(
        &["translate", model(), "--prefix", "b b"],
        b"abc\n\n",
    ));
    assert!(found.starts_with("b b"), "{found}");
    assert_eq!(found.lines().nth(1), Some(""), "an empty line stays empty");

    refused(
        &run_with_input(&arguments, b"abc\nabc\ncb\na\n"),
        &["prefixes.txt has 3 lines, fewer than the input"],
    );
    refused(
        &run_with_input(&arguments, b"abc\n"),
        &["prefixes.txt has more lines than the input, which has 1"],
    );
    folder.write("phrases.txt", "a\nb\t\tc\n\n");
    refused(
        &run_with_input(&arguments, b"abc\nabc\ncb\n"),
        &["phrases.txt line 2: a phrase is empty"],
    );
}

#[test]
fn a_score_is_explained() {
    let arguments = [
        "translate",
        model(),
        "--length-penalty",
        "power:1",
        "--coverage-penalty",
        "0.01",
        "--repetition-penalty",
        "1.5",
    ];
    let explained = [&arguments[..], &["--explain"]].concat();
    let found = stdout(&run_with_input(&explained, b"abc\n\n"));
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[0], "c b a");
    assert!(
        lines[1].starts_with("\tc:-") && lines[1].contains("\t</s>:-"),
        "{found}"
    );
    assert!(lines[2].contains("= log-probability -") && lines[2].contains("+ coverage -"));
    assert_eq!(lines[3..], [""]);

    let json = [&arguments[..], &["--json", "--n-best", "2"]].concat();
    let found = stdout(&run_with_input(&json, b"abc\n\n"));
    let lines: Vec<serde_json::Value> = found
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    for (rank, line) in lines[..2].iter().enumerate() {
        assert_eq!((&line["id"], &line["rank"]), (&"0".into(), &rank.into()));
        let of = |key: &str| line[key].as_f64().unwrap();
        let sum = of("log_prob") + of("repetition") + of("length") + of("coverage");
        assert!((of("score") - sum).abs() < 1e-6);
        let log_probs = line["token_log_probs"].as_array().unwrap();
        let sum: f64 = log_probs.iter().map(|x| x.as_f64().unwrap()).sum();
        assert!((of("log_prob") - sum).abs() < 1e-4);
        assert_eq!(
            line["tgt_tokens"].as_array().unwrap().len(),
            log_probs.len()
        );
        assert!(of("coverage") < 0.0 && of("length") > 0.0);
    }
    assert_eq!(lines[0]["text"], "c b a");
    assert_eq!(
        (&lines[2]["id"], &lines[2]["text"]),
        (&"1".into(), &"".into())
    );
}

#[test]
fn groups_find_other_outputs_and_rules_are_kept() {
    let translate = |more: &[&str]| {
        let arguments = [&["translate", model()][..], more].concat();
        stdout(&run_with_input(&arguments, b"abc\n"))
    };
    let diverse = ["--n-best", "4", "--beam-size", "4", "--diverse-groups", "4"];
    let found = translate(&[&diverse[..], &["--diversity", "50"]].concat());
    let mut first: Vec<&str> = found
        .lines()
        .map(|line| line.split(" ||| ").nth(1).unwrap())
        .map(|text| text.split(' ').next().unwrap())
        .collect();
    first.sort_unstable();
    first.dedup();
    assert_eq!(first.len(), 4, "{found}");
    let long = translate(&[
        "--min-len-ratio",
        "2",
        "--no-repeat-ngram",
        "3",
        "--suppress-unk",
    ]);
    let tokens: Vec<&str> = long.split_whitespace().collect();
    assert!(tokens.len() >= 8 && !tokens.contains(&"<unk>"), "{long}");
    for (i, three) in tokens.windows(3).enumerate() {
        assert!(
            !tokens.windows(3).take(i).any(|other| other == three),
            "{long}"
        );
    }
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let message = |more: &[&str]| {
        let arguments = [&["translate", model()][..], more].concat();
        let output = run_with_input(&arguments, b"abc\n");
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    for (more, words) in [
        (&["--top-p", "0.9"][..], ["--top-p", "--sample"]),
        (
            &["--sample", "--beam-size", "3"],
            ["--sample", "--beam-size"],
        ),
        (
            &["--sample", "--constraints", "x"],
            ["--constraints", "--sample"],
        ),
        (&["--diversity", "1"], ["--diversity", "--diverse-groups"]),
        (
            &["--prefix", "a", "--prefix-file", "x"],
            ["--prefix", "--prefix-file"],
        ),
        (&["--json", "--explain"], ["--json", "--explain"]),
        (&["--diverse-groups", "3"], ["strategy.groups", "beam_size"]),
        (
            &["--sample", "--top-p", "0"],
            ["strategy.top_p", "probability"],
        ),
        (
            &["--repetition-penalty", "0"],
            ["repetition_penalty", "positive"],
        ),
        (&["--constraints", "no/such"], ["no/such", "cannot read"]),
    ] {
        let message = message(more);
        for word in words {
            assert!(message.contains(word), "{message}");
        }
    }
    // A model whose own way is to sample.
    let copy = copy_of_model();
    let path = copy.path().join("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    let sampling = config.replace(
        "[search.strategy]\nkind = \"beam\"",
        "[search.strategy]\nkind = \"sampling\"",
    );
    assert_ne!(sampling, config);
    fs::write(&path, sampling).unwrap();
    let folder = Folder::new();
    let phrases = folder.write("phrases.txt", "c c\n");
    let arguments = [
        "translate",
        text(copy.path()),
        "--constraints",
        text(&phrases),
    ];
    refused(
        &run_with_input(&arguments, b"abc\n"),
        &["--constraints", "--beam-size"],
    );
    let arguments = [&arguments[..], &["--beam-size", "3"]].concat();
    assert!(stdout(&run_with_input(&arguments, b"abc\n")).contains("c c"));
}

#[test]
fn the_models_own_n_best_counts_unless_told() {
    let copy = copy_of_model();
    let path = copy.path().join("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("n_best = 1", "n_best = 2")).unwrap();
    let translate = |more: &[&str]| {
        let arguments = [&["translate", text(copy.path())][..], more].concat();
        stdout(&run_with_input(&arguments, b"abc\n\n"))
    };
    let found = translate(&[]);
    let lines: Vec<&str> = found.lines().collect();
    assert!(lines[0].starts_with("0 ||| c b a ||| "), "{found}");
    assert!(lines[1].starts_with("0 ||| "), "{found}");
    assert_eq!(lines[2..], ["1 |||  ||| 0"]);
    assert_eq!(translate(&["--n-best", "1"]).lines().count(), 2);
}

#[test]
fn attention_of_a_model_without_it_is_refused_at_once() {
    let folder = Folder::new();
    let summary = "decoder = { kind = 'summary', d_output = 16, recurrent = { d_hidden = 16 } }";
    let decoder = EXPERIMENT.lines().find(|line| line.contains("'luong'"));
    folder.write(
        "experiment.toml",
        EXPERIMENT.replace(decoder.unwrap(), summary),
    );
    let trained = folder.train(&["pairs.tsv"], &["--max-steps", "1"]);
    assert!(trained.status.success());
    let (model, attention) = (folder.path("run"), folder.path("attention.jsonl"));
    let arguments = [
        "translate",
        text(&model),
        "--attention",
        text(&attention),
        "--input",
        "no/such.txt",
    ];
    // Before it even looks for its input.
    let output = run(&arguments);
    refused(&output, &[text(&model), "no attention", "--attention"]);
    assert_eq!(output.stdout, b"");
    assert!(!attention.exists());
}

#[test]
fn damaged_and_foreign_models_are_refused() {
    let copy = copy_of_model();
    let path = |name: &str| copy.path().join(name);
    let translate = || run_with_input(&["translate", text(copy.path())], b"abc\n");
    let weights = fs::read(path("model.safetensors")).unwrap();
    for cut in [0, 7, 100, weights.len() / 2, weights.len() - 1] {
        fs::write(path("model.safetensors"), &weights[..cut]).unwrap();
        refused(&translate(), &["model.safetensors"]);
    }
    fs::write(path("model.safetensors"), &weights).unwrap();

    let config = fs::read_to_string(path("config.toml")).unwrap();
    fs::write(
        path("config.toml"),
        config.replace("d_attentional = 16", "d_attentional = 20"),
    )
    .unwrap();
    refused(&translate(), &["model.safetensors", "shape"]);
    fs::write(path("config.toml"), &config).unwrap();

    let other = Folder::new();
    other.write("pairs.tsv", "abcde\te d c b a\nedcba\ta b c d e\n");
    assert!(
        other
            .train(&["pairs.tsv"], &["--max-steps", "1"])
            .status
            .success()
    );
    fs::copy(
        other.path("run/src.tokenizer.json"),
        path("src.tokenizer.json"),
    )
    .unwrap();
    refused(&translate(), &["src.tokenizer.json", "source"]);
}

#[test]
fn a_transformer_does_all_that_other_models_do() {
    let folder = Folder::new();
    let replaced = |text: &str, kind: &str, by: &str| {
        let line = text.lines().find(|line| line.contains(kind)).unwrap();
        text.replace(line, by)
    };
    let sizes = "kind = 'transformer', d_model = 8, layers = 2, n_heads = 2, d_ff = 12";
    let experiment = replaced(EXPERIMENT, "'luong'", &format!("decoder = {{ {sizes} }}"));
    let experiment = replaced(
        &experiment,
        "'recurrent'",
        &format!("encoder = {{ {sizes} }}"),
    );
    folder.write("experiment.toml", experiment);
    let trained = folder.train(&["pairs.tsv"], &["--max-steps", "4"]);
    assert!(
        trained.status.success(),
        "{}",
        String::from_utf8_lossy(&trained.stderr)
    );
    let (model, attention) = (folder.path("run"), folder.path("attention.jsonl"));
    let arguments = [
        "translate",
        text(&model),
        "--attention",
        text(&attention),
        "--n-best",
        "2",
    ];
    let found = stdout(&run_with_input(&arguments, b"abc\nba\n"));
    assert_eq!(found.lines().count(), 4);
    let records = fs::read_to_string(attention).unwrap();
    for record in records.lines() {
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        let rows = record["weights"].as_array().unwrap();
        assert_eq!(rows.len(), record["tgt_tokens"].as_array().unwrap().len());
        for row in rows {
            let row = row.as_array().unwrap();
            assert_eq!(row.len(), record["src_tokens"].as_array().unwrap().len());
            let sum: f64 = row.iter().map(|weight| weight.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        }
    }
    let found = stdout(&run(&["inspect", text(&model), "--weights"]));
    for part in ["encoder.layers", "decoder.layers", "n_heads = 2"] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
}
