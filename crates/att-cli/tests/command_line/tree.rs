//! `att tree`.

use std::fs;

use crate::support::*;

#[test]
fn the_tree_is_json_and_a_drawing() {
    let folder = tempfile::tempdir().unwrap();
    let (json, svg) = (
        folder.path().join("tree.json"),
        folder.path().join("tree.svg"),
    );
    let files = ["--json", text(&json), "--svg", text(&svg), "--n-best", "2"];
    let arguments = [&["tree", model(), "abc", "--beam-size", "3"][..], &files].concat();
    assert_eq!(stdout(&run(&arguments)), "");
    let tree: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let nodes = tree["nodes"].as_array().unwrap();
    // The best hypothesis, from its end.
    let mut node = nodes.iter().find(|node| node["rank"] == 0).unwrap();
    assert_eq!(
        (&node["fate"], &node["token"]),
        (&"ended".into(), &"</s>".into())
    );
    let mut tokens = Vec::new();
    while let Some(parent) = node["parent"].as_u64() {
        node = &nodes[parent as usize];
        assert_eq!(node["fate"], "kept");
        tokens.insert(0, node["token"].as_str().unwrap());
    }
    assert_eq!(tokens, ["c", "b", "a"]);
    assert!(nodes.iter().any(|node| node["rank"] == 1));
    assert!(nodes.iter().any(|node| node["fate"] == "pruned"));
    let drawing = fs::read_to_string(&svg).unwrap();
    assert!(drawing.starts_with("<svg ") && drawing.contains("<title>abc</title>"));

    let arguments = ["tree", model(), "abc", "--svg", text(&svg), "--kept"];
    assert_eq!(stdout(&run(&arguments)), "");
    assert!(fs::read_to_string(svg).unwrap().len() < drawing.len());
}

#[test]
fn without_a_file_the_tree_is_printed() {
    let arguments = [
        "tree",
        model(),
        "abc",
        "--prefix",
        "b",
        "--constraint",
        "c a",
    ];
    let tree: serde_json::Value = serde_json::from_str(&stdout(&run(&arguments))).unwrap();
    let nodes = tree["nodes"].as_array().unwrap();
    let of_step = |step| nodes.iter().filter(move |node| node["step"] == step);
    assert!(of_step(1).all(|node| node["token"] == "b"));
    refused(&run(&["tree", model(), " "]), &["the line is empty"]);
    refused(
        &run(&["tree", model(), "abc", "--constraint", ""]),
        &["constraints", "no token"],
    );
}
