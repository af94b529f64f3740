//! `att train --init-from` with another vocabulary, old data and a forgetting report; `--alignments`.

use std::fs;

use crate::support::*;

const NEW: &str = "abd\td b a\ndab\tb a d\nda\ta d\n";

#[test]
fn a_new_vocabulary_is_counted_and_forgetting_is_told() {
    let folder = Folder::new();
    folder.write("new.tsv", NEW);
    let old = folder.path("pairs.tsv");
    let config = format!(
        "{EXPERIMENT}\n    replay = 0.3\n    l2_to_init = 0.01\n    lora = {{ rank = 2 }}\n"
    );
    folder.write("experiment.toml", config);
    let more = [
        "--init-from",
        model(),
        "--new-vocab",
        "extend",
        "--replay",
        text(&old),
        "--forgetting",
        text(&old),
        "--max-steps",
        "20",
    ];
    let output = folder.train(&["new.tsv"], &more);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    for part in [
        "source vocabulary: 7 tokens kept their weights, 1 are new, 0 were dropped",
        "| old domain | 6 | 0.00 |",
        "| new domain | 6 |",
    ] {
        assert!(told.contains(part), "'{part}' is not in: {told}");
    }
    let table = fs::read_to_string(folder.path("run/forgetting.md")).unwrap();
    assert!(told.contains(&table));
    let json = fs::read_to_string(folder.path("run/forgetting.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["metric"], "wer");
    assert_eq!(json["old"]["before"]["score"], 0.0);
    let found = stdout(&run_with_input(
        &["translate", text(&folder.path("run"))],
        b"abd\n",
    ));
    assert_eq!(found.lines().count(), 1);

    // The same command goes on, and the report is made again.
    fs::remove_file(folder.path("run/forgetting.md")).unwrap();
    let again = [&more[..8], &["--max-steps", "25", "--resume"]].concat();
    let output = folder.train(&["new.tsv"], &again);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(folder.path("run/forgetting.md").exists());
}

#[test]
fn a_comparison_has_guided_experiments_too() {
    let folder = Folder::new();
    let guided = format!("{EXPERIMENT}\n    guided_alignment = {{ weight = 2.0 }}\n");
    folder.write("guided.toml", guided);
    let links = "2-0 1-1 0-2\n2-0 1-1 0-2\n2-0 1-1 0-2\n1-0 0-1\n1-0 0-1\n1-0 0-1\n";
    let links = folder.write("links.txt", links);
    let compare = |more: &[&str]| {
        let options = ["--gold-alignments", text(&links), "--max-steps", "40"];
        let command = ["compare", "experiment.toml", "guided.toml"];
        let more = [&options[..], more].concat();
        run(&folder.arguments(&command, "pairs.tsv", "compared", &more))
    };
    refused(
        &compare(&[]),
        &["training.guided_alignment", "--alignments"],
    );
    assert!(!folder.path("compared").exists());
    let table = stdout(&compare(&["--alignments", text(&links)]));
    let aer = |name: &str| -> f64 {
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("| {name}")));
        let row = row.unwrap();
        let cells = row.trim().trim_end_matches('|').rsplit('|');
        cells.map(str::trim).next().unwrap().parse().unwrap()
    };
    assert!(aer("guided") < aer("experiment"), "{table}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = Folder::new();
    let pairs = folder.path("pairs.tsv");
    for option in [["--new-vocab", "extend"], ["--forgetting", text(&pairs)]] {
        let output = folder.train(&["pairs.tsv"], &option);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("--init-from"), "{message}");
    }
    let wrong = ["--init-from", model(), "--new-vocab", "both"];
    let output = folder.train(&["pairs.tsv"], &wrong);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("neither extend nor replace"), "{message}");
    let replay = ["--init-from", model(), "--replay", text(&pairs)];
    refused(
        &folder.train(&["pairs.tsv"], &replay),
        &["training.replay", "share"],
    );

    let guided = format!("{EXPERIMENT}\n    guided_alignment = {{}}\n");
    folder.write("experiment.toml", guided);
    refused(
        &folder.train(&["pairs.tsv"], &[]),
        &["training.guided_alignment", "--alignments"],
    );
    let alignments = folder.write("links.txt", "2-0 1-1 0-2\n\n\n\n\n5-0\n");
    refused(
        &folder.train(&["pairs.tsv"], &["--alignments", text(&alignments)]),
        &["links.txt line 6", "`5-0`"],
    );
    assert!(!folder.path("run").exists());
    folder.write("links.txt", "2-0 1-1 0-2\n\n\n\n\n1-0\n");
    let guided = ["--alignments", text(&alignments), "--max-steps", "2"];
    let output = folder.train(&["pairs.tsv"], &guided);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
