//! `att quantize`.

use std::fs;

use crate::support::*;

#[test]
fn a_smaller_model_gives_the_same_answers_here() {
    let folder = Folder::new();
    folder.write("input.txt", "abc\ncb\nba\n");
    let input = folder.path("input.txt");
    let translate = |model: &str| stdout(&run(&["translate", model, "--input", text(&input)]));
    let expected = translate(model());
    for format in ["int8", "bf16"] {
        let out = folder.path(format);
        let pairs = folder.path("pairs.tsv");
        let arguments = ["quantize", model(), text(&out), "--weights", format];
        let told = stdout(&run(&[&arguments[..], &["--data", text(&pairs)]].concat()));
        let scores = told.lines().find(|line| line.starts_with("exact_match"));
        let scores: Vec<f64> = scores
            .unwrap()
            .split('\t')
            .skip(1)
            .map(|score| score.parse().unwrap())
            .collect();
        assert_eq!(scores, [100.0, 100.0], "{told}");
        assert_eq!(translate(text(&out)), expected, "{format}");
        let size = |folder: &str| {
            let weights = fs::metadata(format!("{folder}/model.safetensors"));
            weights.unwrap().len()
        };
        assert!(size(text(&out)) < size(model()));
    }
}

#[test]
fn what_is_there_is_not_overwritten() {
    let folder = Folder::new();
    let out = folder.path("");
    refused(&run(&["quantize", model(), text(&out)]), &["is not empty"]);
    let out = folder.path("out");
    let refusal = run(&["quantize", model(), text(&out), "--weights", "int4"]);
    assert_eq!(refusal.status.code(), Some(2));
    let missing = folder.path("nothing");
    refused(
        &run(&["quantize", text(&missing), text(&out)]),
        &["config.toml"],
    );
    assert!(!out.exists(), "nothing is written");
}
