//! Files that hold what is expected. `UPDATE_GOLDEN=1 cargo test -p att-inspect --test golden` writes those that
//! are drawings, text and pages anew: look at what has changed before it is committed.
//!
//! `sentences.jsonl` has sentences of three scripts; its weights are made up. `symal.json` is made by
//! `scripts/golden/symal_golden.py`.

use std::fs;
use std::path::{Path, PathBuf};

use att_inspect::{
    Alignment, AttentionRecord, ColorScale, Scale, SvgHeads, SvgHeatmap, Symmetrization,
    TerminalHeatmap, TerminalStyle,
};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn sentences() -> Vec<AttentionRecord> {
    AttentionRecord::read_file(path("sentences.jsonl")).unwrap()
}

#[track_caller]
fn assert_golden(name: &str, found: &str) {
    let path = path(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let same = found
        .lines()
        .zip(expected.lines())
        .take_while(|(a, b)| a == b)
        .count();
    assert!(
        found == expected,
        "{} line {} differs:\n{}",
        path.display(),
        same + 1,
        found.lines().nth(same).unwrap_or("(it ends)")
    );
}

#[test]
fn words_and_their_links() {
    let (mut pharaoh, mut merged) = (String::new(), String::new());
    for sentence in sentences() {
        let words = sentence.merged().unwrap();
        merged += &format!("{}\n", words.to_json());
        for alignment in [
            Alignment::of(&words.map),
            Alignment::of(&words.map).without_end(&words.map),
            Alignment::above(&words.map, 0.3),
        ] {
            pharaoh += &format!("{alignment}\n");
        }
    }
    assert_golden("words.jsonl", &merged);
    assert_golden("words.pharaoh", &pharaoh);
}

#[test]
fn terminal_output() {
    let mut drawn = String::new();
    for sentence in sentences() {
        for style in [
            TerminalStyle::Ascii,
            TerminalStyle::Unicode,
            TerminalStyle::TrueColor,
        ] {
            let heatmap = TerminalHeatmap {
                style,
                ..Default::default()
            };
            drawn += &heatmap.render(&sentence.map);
        }
    }
    assert_golden("terminal.txt", &drawn);
}

#[test]
fn drawings() {
    for (sentence, name) in sentences().iter().zip(["german", "japanese", "arabic"]) {
        let heatmap = SvgHeatmap {
            title: sentence.text.clone(),
            ..Default::default()
        };
        assert_golden(&format!("{name}.svg"), &heatmap.render(&sentence.map));
    }
    let german = &sentences()[0];
    let heads = SvgHeads {
        title: german.text.clone(),
        colors: ColorScale::Viridis,
        scale: Scale::Max,
    };
    assert_golden("heads.svg", &heads.render(german).unwrap());
}

#[test]
fn symmetrization_equals_symal() {
    let cases = fs::read_to_string(path("symal.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
    assert!(cases.len() > 100);
    for case in cases {
        let links = |key: &str| -> Alignment { case[key].as_str().unwrap().parse().unwrap() };
        for method in Symmetrization::ALL {
            let found = method.apply(&links("forward"), &links("reverse"));
            let mut expected = links(&method.to_string());
            expected.links.sort_by_key(|link| (link.tgt, link.src));
            assert_eq!(found, expected, "{method} of {case}");
        }
    }
}
