//! Holds ROUGE against Google's rouge_score.
//!
//! `scripts/golden/rouge_golden.py` writes the golden values.

use std::collections::BTreeMap;

use att_eval::{ROUGE_SCORE_VERSION, Rouge, RougeUnit};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    version: String,
    /// NLTK's stem of each word.
    stems: BTreeMap<String, String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    hypothesis: String,
    references: Vec<String>,
    stem: bool,
    /// Precision, recall, F, from 0 to 1.
    rouge1: [f64; 3],
    rouge2: [f64; 3],
    #[serde(rename = "rougeL")]
    rouge_l: [f64; 3],
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/rouge.json")).unwrap()
}

#[test]
fn the_signature_names_the_version_of_the_golden_values() {
    assert_eq!(golden().version, ROUGE_SCORE_VERSION);
}

#[test]
fn rouge_is_googles() {
    let rows = golden().rows;
    assert!(rows.len() > 400);
    for row in rows {
        let units = [
            (RougeUnit::Words, row.rouge1),
            (RougeUnit::Bigrams, row.rouge2),
            (RougeUnit::Subsequence, row.rouge_l),
        ];
        for (unit, expected) in units {
            let rouge = Rouge {
                unit,
                stem: row.stem,
            };
            let score = rouge.score(&[&row.hypothesis], &[&row.references]).unwrap();
            let ours = [score.precision, score.recall, score.f1];
            for (ours, theirs) in ours.into_iter().zip(expected) {
                let what = format!("{rouge:?}: {:?}, {:?}", row.hypothesis, row.references);
                assert!((ours - 100.0 * theirs).abs() < 1e-9, "{what}: {ours}");
            }
        }
    }
}

#[test]
fn stems_are_nltks() {
    let stems = golden().stems;
    assert!(stems.len() > 1000);
    let stemmed = Rouge {
        stem: true,
        ..Rouge::words()
    };
    // Two words match where their stems do; a stem itself need not be its own stem.
    let mut by_stem = BTreeMap::<&String, Vec<&String>>::new();
    for (word, stem) in &stems {
        by_stem.entry(stem).or_default().push(word);
    }
    let same = |a: &String, b: &String| stemmed.score(&[a], &[[b]]).unwrap().f1 == 100.0;
    let mut before: Option<&String> = None;
    for words in by_stem.values() {
        for word in &words[1..] {
            assert!(same(words[0], word), "{} and {word}", words[0]);
        }
        if let Some(before) = before {
            assert!(!same(before, words[0]), "{before} and {}", words[0]);
        }
        before = Some(words[0]);
    }
}
