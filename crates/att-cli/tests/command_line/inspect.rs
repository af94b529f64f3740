//! `att inspect` of files of attention.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::*;

/// Attention written by hand: two sentences with words of several pieces, two layers of two heads, and an n-best
/// list; the line between them was empty.
const ATTENTION: &str = concat!(
    r#"{"id":"0","rank":0,"score":-0.5,"text":"the cat","src_tokens":["▁die","▁Kat","ze","</s>"],"#,
    r#""tgt_tokens":["▁the","▁cat","</s>"],"src_words":[0,1,1,2],"tgt_words":[0,1,2],"#,
    r#""weights":[[0.9,0.1,0.0,0.0],[0.4,0.3,0.3,0.0],[0.0,0.0,0.0,1.0]],"#,
    r#""head_weights":[[[[0.0,0.0,0.0,1.0],[0.0,0.0,0.0,1.0],[0.0,0.0,0.0,1.0]],"#,
    r#"[[1.0,0.0,0.0,0.0],[0.0,1.0,0.0,0.0],[0.0,0.0,0.0,1.0]]],"#,
    r#"[[[1.0,0.0,0.0,0.0],[1.0,0.0,0.0,0.0],[0.0,0.0,0.0,1.0]],"#,
    r#"[[0.0,1.0,0.0,0.0],[1.0,0.0,0.0,0.0],[0.0,0.0,0.0,1.0]]]]}"#,
    "\n",
    r#"{"id":"0","rank":1,"text":"cat","src_tokens":["▁die","</s>"],"tgt_tokens":["▁cat"],"weights":[[0.5,0.5]]}"#,
    "\n",
    r#"{"id":"2","rank":0,"score":-0.1,"text":"yes","src_tokens":["▁ja","</s>"],"tgt_tokens":["▁yes","</s>"],"#,
    r#""src_words":[0,1],"tgt_words":[0,1],"weights":[[0.8,0.2],[0.0,1.0]],"#,
    r#""head_weights":[[[[0.0,1.0],[0.0,1.0]],[[1.0,0.0],[0.0,1.0]]],[[[1.0,0.0],[0.0,1.0]],[[0.0,1.0],[0.0,1.0]]]]}"#,
    "\n",
);

/// The other direction of the first and last of them.
const REVERSE: &str = concat!(
    r#"{"id":"0","text":"die Katze","src_tokens":["▁the","▁cat","</s>"],"tgt_tokens":["▁die","▁Katze","</s>"],"#,
    r#""src_words":[0,1,2],"tgt_words":[0,1,2],"weights":[[1.0,0.0,0.0],[0.0,1.0,0.0],[0.0,0.0,1.0]]}"#,
    "\n",
    r#"{"id":"2","text":"ja","src_tokens":["▁yes","</s>"],"tgt_tokens":["▁ja","</s>"],"#,
    r#""src_words":[0,1],"tgt_words":[0,1],"weights":[[1.0,0.0],[0.0,1.0]]}"#,
    "\n",
);

fn files() -> (Folder, PathBuf) {
    let folder = Folder::new();
    let attention = folder.write("attention.jsonl", ATTENTION);
    folder.write("reverse.jsonl", REVERSE);
    (folder, attention)
}

fn inspect(of: &Path, more: &[&str]) -> std::process::Output {
    run(&[&["inspect", text(of)][..], more].concat())
}

#[test]
fn heat_maps_are_printed_by_token_or_word() {
    let (_folder, attention) = files();
    let found = stdout(&inspect(&attention, &["--line", "0"]));
    assert!(found.starts_with("0: the cat\n"), "{found}");
    assert!(found.contains("▁cat ==----"), "{found}");
    let words = stdout(&inspect(&attention, &["--words", "--line", "0"]));
    assert!(
        words.contains("Katze") && words.contains("cat ==++"),
        "{words}"
    );
    let all = stdout(&inspect(&attention, &["--head", "all", "--line", "2"]));
    for head in ["(mean)", "(0)", "(0.1)", "(1.1)"] {
        assert!(all.contains(head), "{all}");
    }
    let second = stdout(&inspect(&attention, &["--rank", "1"]));
    assert!(second.starts_with("0: cat\n"), "{second}");
}

#[test]
fn nothing_of_a_file_steers_the_terminal() {
    let folder = Folder::new();
    let record = r#"{"id":"a\u001b[31m","text":"\u001b[2Jx\r","src_tokens":["\u001b[2J"],"tgt_tokens":["x\r"],"weights":[[1.0]]}"#;
    let attention = folder.write("attention.jsonl", record);
    let steers = |printed: &str| printed.chars().any(|c| c.is_control() && c != '\n');
    let found = stdout(&inspect(&attention, &[]));
    assert!(found.starts_with("a␛[31m: ␛[2Jx␍\n"), "{found:?}");
    assert!(!steers(&found), "{found:?}");
    // A file has what there was.
    let json = folder.path("links.jsonl");
    stdout(&inspect(&attention, &["--json", text(&json)]));
    let line = fs::read_to_string(&json).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["id"], &line["text"]),
        (&"a\u{1b}[31m".into(), &"\u{1b}[2Jx\r".into())
    );

    let output = inspect(&attention, &["--line", "\u{1b}[2J"]);
    refused(&output, &["id ␛[2J"]);
    folder.write("attention.jsonl", "{\"\\u001b[2J\": 1}");
    let output = inspect(&attention, &[]);
    assert!(!steers(&String::from_utf8_lossy(&output.stderr)));
    refused(&output, &["attention.jsonl:1:"]);

    // A model's tokens.
    let path = folder.path("model");
    fs::create_dir(&path).unwrap();
    for file in fs::read_dir(model()).unwrap().flatten() {
        fs::copy(file.path(), path.join(file.file_name())).unwrap();
    }
    let tokens = path.join("tgt.tokenizer.json");
    let other = fs::read_to_string(&tokens).unwrap();
    let other = other.replace(r#""a""#, r#""\u001b[2J""#);
    fs::write(&tokens, other).unwrap();
    let found = stdout(&inspect(&path, &[]));
    assert!(found.contains("␛[2J") && !steers(&found), "{found:?}");
}

#[test]
fn links_have_a_line_for_each_line_of_the_input() {
    let (folder, attention) = files();
    let (pharaoh, json) = (folder.path("links"), folder.path("links.jsonl"));
    let links = |more: &[&str]| {
        let files = ["--pharaoh", text(&pharaoh), "--json", text(&json)];
        assert_eq!(stdout(&inspect(&attention, &[&files, more].concat())), "");
        fs::read_to_string(&pharaoh).unwrap()
    };
    assert_eq!(links(&[]), "0-0 0-1\n\n0-0\n");
    assert_eq!(links(&["--words"]), "0-0 1-1\n\n0-0\n");
    assert_eq!(
        links(&["--words", "--align", "threshold:0.4"]),
        "0-0 0-1 1-1\n\n0-0\n"
    );
    assert_eq!(links(&["--head", "0.1"]), "0-0 1-1\n\n0-0\n");
    let line = fs::read_to_string(&json).unwrap();
    let line: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!(line["links"], serde_json::json!([[0, 0, 1.0], [1, 1, 1.0]]));
    assert_eq!(line["src_tokens"][2], "ze");

    let reverse = folder.path("reverse.jsonl");
    let both = [
        "--words",
        "--reverse",
        text(&reverse),
        "--head",
        "1.0",
        "--align",
    ];
    assert_eq!(
        links(&[&both[..], &["intersection"]].concat()),
        "0-0\n\n0-0\n"
    );
    assert_eq!(
        links(&[&both[..], &["grow-diag"]].concat()),
        "0-0 0-1 1-1\n\n0-0\n"
    );
}

#[test]
fn numbers_say_which_head_aligns_best() {
    let (folder, attention) = files();
    let (gold, json) = (
        folder.write("gold", "0-0 1-1\n\n0-0\n"),
        folder.path("numbers.json"),
    );
    let asked = ["--words", "--numbers", "--numbers-json", text(&json)];
    let numbers = |more: &[&str]| {
        let found = stdout(&inspect(&attention, &[&asked[..], more].concat()));
        let table: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
        (found, table)
    };
    let (found, table) = numbers(&["--gold", text(&gold)]);
    assert!(found.contains("2 sentences, 5 steps"), "{found}");
    assert_eq!(
        (&table["fit"], &table["best"]),
        (&"aer".into(), &"weights".into())
    );
    let rows = table["views"].as_array().unwrap();
    let names: Vec<&str> = rows
        .iter()
        .map(|row| row["view"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["weights", "mean", "0", "0.0", "0.1", "1", "1.0", "1.1"]
    );
    let fit = |row: usize| rows[row]["fit"].as_f64().unwrap();
    assert_eq!((fit(0), fit(3), fit(4)), (0.0, 100.0, 0.0));
    assert_eq!(rows[4]["entropy"], 0.0);
    assert_eq!(rows[4]["monotonicity"], 1.0);

    let reverse = folder.path("reverse.jsonl");
    let (found, table) = numbers(&["--reverse", text(&reverse)]);
    assert!(
        found.contains("agrees best with the other direction: weights"),
        "{found}"
    );
    assert_eq!(table["views"][3]["fit"], 0.0);
    let (_, table) = numbers(&[]);
    assert_eq!(table["fit"], "head_agreement");
    // 0.1 shares 2 of 3 and 3 links with 1.0, 1 of 3 and 3 with 1.1, none with 0.0.
    assert!(
        table["best"] != "0.0" && table["views"][3]["fit"] == 0.0,
        "{table}"
    );

    // The best can be looked at.
    let best = inspect(
        &attention,
        &[
            "--words",
            "--head",
            "best",
            "--gold",
            text(&gold),
            "--line",
            "0",
        ],
    );
    assert!(stdout(&best).starts_with("0: the cat\n"));
}

#[test]
fn drawings_and_pages_are_files() {
    let (folder, attention) = files();
    let (svg, png, html) = (
        folder.path("a.svg"),
        folder.path("a.png"),
        folder.path("a.html"),
    );
    let written = |more: &[&str]| {
        let files = ["--svg", text(&svg), "--html", text(&html)];
        stdout(&inspect(&attention, &[&files, more].concat()));
        [&svg, &html].map(|path| fs::read_to_string(path).unwrap())
    };
    let [drawn, page] = written(&["--words"]);
    assert!(drawn.contains("Katze → cat: 0.6000"), "{drawn}");
    assert!(
        page.contains("Katze") && page.contains("merged to words"),
        "{page}"
    );
    let [drawn, page] = written(&["--head", "all"]);
    assert!(drawn.contains(">1.1</text>") && page.contains(r#""1.1""#));

    // A machine need not have fonts.
    let output = inspect(&attention, &["--png", text(&png)]);
    if output.status.success() {
        assert!(fs::read(&png).unwrap().starts_with(b"\x89PNG"));
    } else {
        refused(&output, &["no font"]);
        assert!(!png.exists());
    }
}

#[test]
fn heads_are_written_by_who_has_them() {
    let folder = Folder::new();
    let experiment: String = EXPERIMENT
        .lines()
        .map(|line| match line {
            line if line.contains("'luong'") => {
                "decoder = { kind = 'transformer', d_model = 8, layers = 2, n_heads = 2, d_ff = 12 }\n".into()
            }
            line => format!("{line}\n"),
        })
        .collect();
    folder.write("experiment.toml", experiment);
    stdout(&folder.train(&["pairs.tsv"], &["--max-steps", "4"]));
    let (model, attention) = (folder.path("run"), folder.path("attention.jsonl"));
    let asked = ["--attention", text(&attention), "--heads"];
    let translate = [&["translate", text(&model)][..], &asked].concat();
    stdout(&run_with_input(&translate, b"abc\n\nba\n"));
    let numbers = stdout(&inspect(&attention, &["--numbers", "--words"]));
    assert!(
        numbers.contains("2 sentences") && numbers.contains("1.1"),
        "{numbers}"
    );

    // What was found has the attention of forced decoding.
    let (src, tgt) = (folder.write("src", "abc\n"), folder.path("tgt"));
    let first = fs::read_to_string(&attention).unwrap();
    let first: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    fs::write(&tgt, format!("{}\n", first["text"].as_str().unwrap())).unwrap();
    let score = [
        "score",
        text(&model),
        "--src",
        text(&src),
        "--tgt",
        text(&tgt),
    ];
    let forced = stdout(&run(
        &[&score[..], &["--json", "--attention", "--heads"]].concat()
    ));
    let forced: serde_json::Value = serde_json::from_str(&forced).unwrap();
    for key in ["src_words", "tgt_words", "src_tokens", "tgt_tokens"] {
        assert_eq!(forced[key], first[key]);
    }
    let flat = |record: &serde_json::Value| -> Vec<f64> {
        let record = record["head_weights"].to_string();
        let numbers = record
            .split(['[', ']', ','])
            .filter(|text| !text.is_empty());
        numbers.map(|number| number.parse().unwrap()).collect()
    };
    let (forced, found) = (flat(&forced), flat(&first));
    assert_eq!(forced.len(), found.len());
    assert!(forced.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-5));

    let asked = [
        "translate",
        self::model(),
        "--attention",
        text(&attention),
        "--heads",
    ];
    refused(&run_with_input(&asked, b"abc\n"), &["leave out --heads"]);
}

#[test]
fn what_is_not_there_is_named() {
    let (folder, attention) = files();
    let fails = |more: &[&str], expected: &[&str]| refused(&inspect(&attention, more), expected);
    fails(&["--line", "7"], &["attention.jsonl", "id 7"]);
    fails(
        &["--rank", "1", "--words"],
        &["attention.jsonl:2:", "src_words"],
    );
    fails(
        &["--rank", "1", "--head", "mean"],
        &["attention.jsonl:2:", "--heads"],
    );
    fails(
        &["--head", "2"],
        &["attention.jsonl:1:", "2 layers of 2 heads"],
    );
    fails(&["--align", "union"], &["--reverse"]);
    fails(&["--weights"], &["model directory"]);
    let links = folder.path("links");
    fails(
        &["--head", "all", "--pharaoh", text(&links)],
        &["--pharaoh takes one --head"],
    );
    assert!(!links.exists());
    let gold = folder.write("gold", "0-0\n");
    fails(
        &["--numbers", "--gold", text(&gold)],
        &["gold has 1 lines", "id 2"],
    );
    let gold = folder.write("gold", "0:0\n\n0-0\n");
    fails(&["--numbers", "--gold", text(&gold)], &["`0:0`"]);
    let reverse = folder.path("reverse.jsonl");
    let both = ["--align", "union", "--reverse", text(&reverse)];
    let pharaoh = ["--pharaoh", text(&links)];
    fails(
        &[&both[..], &pharaoh].concat(),
        &["attention.jsonl:1", "reverse.jsonl:1", "--words"],
    );
    folder.write("reverse.jsonl", REVERSE.lines().next().unwrap());
    let words = ["--words", "--pharaoh", text(&links)];
    fails(
        &[&both[..], &words].concat(),
        &["attention.jsonl:3", "id 2"],
    );
    folder.write("reverse.jsonl", "{\"id\":1}\n");
    fails(&both, &["reverse.jsonl:1:"]);
    for option in [&["--numbers"][..], &["--head", "best"], &["--line", "0"]] {
        let output = run(&[&["inspect", model()], option].concat());
        refused(&output, &[option[0], "att translate"]);
    }
    let wrong = inspect(&attention, &["--head", "x"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("such as 2.0"));
}
