//! `att faithful`.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::*;

/// `att faithful` of the trained model on the pairs that it knows, with more arguments.
fn faithful(folder: &Folder, more: &[&str]) -> Output {
    let data = folder.path("pairs.tsv");
    let arguments = ["faithful", model(), "--data", text(&data)];
    run(&[&arguments[..], more].concat())
}

/// Of each pair the letters reversed.
const LINKS: &str = "0-2 1-1 2-0\n0-2 1-1 2-0\n0-2 1-1 2-0\n0-1 1-0\n0-1 1-0\n0-1 1-0\n";

#[test]
fn a_report_has_its_table_its_figures_its_page_and_its_curves() {
    let folder = Folder::new();
    let links = folder.write("links.txt", LINKS);
    let [json, html, svg] = ["f.json", "f.html", "f.svg"].map(|name| folder.path(name));
    let more = [
        "--gold",
        "--gold-alignments",
        text(&links),
        "--json",
        text(&json),
        "--html",
        text(&html),
        "--svg",
        text(&svg),
    ];
    let output = faithful(&folder, &more);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "",
        "no bar in a pipe"
    );
    let table = stdout(&output);
    let head = "6 of 6 sentences, 15 target tokens of the data; seed 1, 10 permutations";
    assert!(table.starts_with(head), "{table}");
    for row in [
        "comprehensiveness: attention",
        "sufficiency: least attended",
        "uniform weights: distance",
        "permuted weights: other token",
        "tau with attention: integrated gradients",
        "first is most important: random",
        "first is a true source: leave-one-out",
    ] {
        assert_eq!(table.matches(row).count(), 1, "{row}: {table}");
    }

    let figures: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let verdict = figures["sentence"].as_str().unwrap();
    assert!(table.trim_end().ends_with(verdict), "{table}");
    assert_eq!(figures["model"]["steps"], 15);
    assert!(figures["model"]["probability"]["value"].as_f64().unwrap() > 0.9);
    let rankings = figures["model"]["rankings"].as_array().unwrap();
    for ranking in rankings {
        let curve = ranking["comprehensiveness_curve"].as_array().unwrap();
        let mean: f64 = curve.iter().map(|p| p.as_f64().unwrap()).sum::<f64>() / 5.0;
        let aopc = ranking["comprehensiveness"]["value"].as_f64().unwrap();
        assert!((mean - aopc).abs() < 1e-9, "{ranking}");
    }
    // Three and two letters.
    let chance = figures["model"]["chance_of_true"].as_f64().unwrap();
    assert!((chance - 6.0 / 15.0).abs() < 1e-9, "{chance}");

    let page = fs::read_to_string(&html).unwrap();
    assert!(page.contains(verdict) && page.matches("<svg ").count() == 2);
    assert!(page.contains("prefers-color-scheme: dark"));
    let names = page.replace("http://www.w3.org/2000/svg", ""); // a name, not an address
    for fetching in ["http", "src=", "@import", "url(", "<script", "<link"] {
        assert!(!names.contains(fetching), "{fetching}");
    }
    assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg "));
    assert_eq!(stdout(&faithful(&folder, &more)), table, "the same again");
}

#[test]
fn the_models_own_outputs_are_looked_at_unless_told_and_a_sample_of_them() {
    let folder = Folder::new();
    let table = stdout(&faithful(&folder, &["--limit", "4", "--permutations", "2"]));
    assert!(table.starts_with("4 of 6 sentences, "), "{table}");
    assert!(table.contains(" as the model puts them out;"), "{table}");
    assert!(!table.contains("true source"), "{table}");
    let other = stdout(&faithful(&folder, &["--limit", "4", "--seed", "5"]));
    assert_ne!(table, other);
}

#[test]
fn what_cannot_be_measured_is_named() {
    let folder = Folder::new();
    let links = folder.write("links.txt", "0-0\n");
    let more = ["--gold", "--gold-alignments", text(&links)];
    refused(
        &faithful(&folder, &more),
        &["links.txt", "1 lines", "6 given pairs"],
    );
    let beyond = folder.write("beyond.txt", LINKS.replace("0-2", "0-9"));
    let more = ["--gold", "--gold-alignments", text(&beyond)];
    refused(&faithful(&folder, &more), &["beyond.txt", "0-9"]);
    refused(
        &faithful(&folder, &["--permutations", "0"]),
        &["permutations"],
    );
    let out = faithful(&folder, &["--html", "/nowhere/f.html"]);
    refused(&out, &["/nowhere/f.html"]);

    folder.write("pairs.tsv", "a\tb\nb\tc\n");
    let out = faithful(&folder, &["--gold"]);
    refused(&out, &["none of 2 sentences", "two source tokens"]);
}

#[test]
fn a_model_without_attention_is_refused() {
    let folder = Folder::new();
    let experiment = EXPERIMENT
        .replace("'luong', d_attentional", "'summary', d_output")
        .replace("max_epochs = 100", "max_epochs = 1");
    folder.write("experiment.toml", experiment);
    stdout(&folder.train(&["pairs.tsv"], &[]));
    let (run_directory, data) = (folder.path("run"), folder.path("pairs.tsv"));
    let output = run(&["faithful", text(&run_directory), "--data", text(&data)]);
    refused(&output, &["run", "no attention"]);
}
