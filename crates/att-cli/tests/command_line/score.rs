//! `att score`.

use std::process::Output;

use crate::support::*;

/// `att score` of two files, with more arguments.
fn score(folder: &Folder, src: &str, tgt: &str, more: &[&str]) -> Output {
    let (src, tgt) = (folder.path(src), folder.path(tgt));
    let arguments = ["score", model(), "--src", text(&src), "--tgt", text(&tgt)];
    run(&[&arguments[..], more].concat())
}

fn files() -> Folder {
    let folder = Folder::new();
    folder.write("src.txt", "abc\ncb\nba\n");
    folder.write("tgt.txt", "c b a\nb c\nc c c\n");
    folder
}

#[test]
fn right_targets_are_probable_and_wrong_ones_are_not() {
    let folder = files();
    let output = score(&folder, "src.txt", "tgt.txt", &[]);
    let found = stdout(&output);
    let log_probs: Vec<f64> = found.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(log_probs.len(), 3);
    assert!(log_probs.iter().all(|&log_prob| log_prob <= 0.0));
    assert!(log_probs[0] > -1.0 && log_probs[1] > -1.0, "{found}");
    assert!(log_probs[2] < log_probs[0] - 2.0, "{found}");
    let summary = String::from_utf8(output.stderr).unwrap();
    let perplexity = (-log_probs.iter().sum::<f64>() / 11.0).exp();
    assert!(
        summary.starts_with("3 lines, 11 target tokens, "),
        "{summary}"
    );
    let told: f64 = summary
        .trim_end()
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((told - perplexity).abs() < 1e-3, "{summary}");
    for batch_size in ["1", "2"] {
        let again = score(&folder, "src.txt", "tgt.txt", &["--batch-size", batch_size]);
        for (line, expected) in stdout(&again).lines().zip(&log_probs) {
            assert!((line.parse::<f64>().unwrap() - expected).abs() < 1e-4);
        }
    }
}

#[test]
fn tokens_and_attention_have_their_forms() {
    let folder = files();
    let found = stdout(&score(&folder, "src.txt", "tgt.txt", &["--tokens"]));
    let words: Vec<&str> = found.lines().next().unwrap().split(' ').collect();
    assert_eq!(words.len(), 5, "{found}");
    let sum: f64 = words[1..]
        .iter()
        .zip(["c", "b", "a", "</s>"])
        .map(|(word, token)| {
            let log_prob = word
                .strip_prefix(token)
                .and_then(|rest| rest.strip_prefix(':'));
            log_prob.unwrap().parse::<f64>().unwrap()
        })
        .sum();
    assert!((sum - words[0].parse::<f64>().unwrap()).abs() < 1e-4);

    let line = |more: &[&str]| -> serde_json::Value {
        let found = stdout(&score(&folder, "src.txt", "tgt.txt", more));
        assert_eq!(found.lines().count(), 3);
        serde_json::from_str(found.lines().nth(1).unwrap()).unwrap()
    };
    let plain = line(&["--json"]);
    assert_eq!(
        (&plain["id"], &plain["src"], &plain["text"]),
        (&"1".into(), &"cb".into(), &"b c".into())
    );
    assert_eq!(plain["token_log_probs"].as_array().unwrap().len(), 3);
    assert!(plain["weights"].is_null());
    let attention = line(&["--json", "--attention"]);
    assert_eq!(
        attention["src_tokens"],
        serde_json::json!(["c", "b", "</s>"])
    );
    assert_eq!(
        attention["tgt_tokens"],
        serde_json::json!(["b", "c", "</s>"])
    );
    let rows = attention["weights"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let row: Vec<f64> = row
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w.as_f64().unwrap())
            .collect();
        assert_eq!(row.len(), 3);
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    }
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = files();
    folder.write("long.txt", "a\nb\nc\na\nb\n");
    folder.write("utf8.txt", b"a\n\xff\nc\n");
    let fails = |src: &str, tgt: &str, expected: &[&str]| {
        let output = score(&folder, src, tgt, &[]);
        refused(&output, expected);
        assert_eq!(output.stdout, b"");
    };
    fails("long.txt", "tgt.txt", &["long.txt has 5", "tgt.txt has 3"]);
    fails("src.txt", "long.txt", &["src.txt has 3", "long.txt has 5"]);
    fails("src.txt", "utf8.txt", &["utf8.txt line 2", "UTF-8"]);
    fails("absent.txt", "tgt.txt", &["absent.txt"]);
    folder.write("none.txt", "");
    fails("none.txt", "none.txt", &["none.txt has no lines"]);
    let none = score(&folder, "src.txt", "tgt.txt", &["--batch-size", "0"]);
    refused(&none, &["batch_size: 0"]);
}

#[test]
fn models_score_together() {
    let folder = files();
    let log_probs = |more: &[&str]| -> Vec<f64> {
        let found = stdout(&score(&folder, "src.txt", "tgt.txt", more));
        found.lines().map(|line| line.parse().unwrap()).collect()
    };
    let alone = log_probs(&[]);
    let twice = log_probs(&["--ensemble", model(), "--ensemble-weights", "1,2"]);
    assert_eq!(alone.len(), twice.len());
    for (a, b) in alone.iter().zip(&twice) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    let heads = ["--json", "--attention", "--heads", "--ensemble", model()];
    let refused = score(&folder, "src.txt", "tgt.txt", &heads);
    assert_eq!(refused.status.code(), Some(2));
}
