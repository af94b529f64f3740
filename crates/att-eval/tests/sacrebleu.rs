//! Holds BLEU, chrF and the tokenisers against sacreBLEU.
//!
//! `scripts/golden/sacrebleu_golden.py` writes the golden values.

use att_eval::{Bleu, BleuTokenizer, Chrf, SACREBLEU_VERSION, Smoothing};
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Golden {
    version: String,
    /// Hypotheses with their references.
    corpora: HashMap<String, Vec<(String, Vec<String>)>>,
    tokens: Vec<TokensRow>,
    bleu: Vec<BleuRow>,
    chrf: Vec<ChrfRow>,
}

#[derive(Deserialize)]
struct TokensRow {
    text: String,
    #[serde(flatten)]
    tokens: HashMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct BleuRow {
    corpus: String,
    tokenize: String,
    smooth_method: String,
    smooth_value: Option<f64>,
    effective_order: bool,
    lowercase: bool,
    score: f64,
    precisions: [f64; 4],
    bp: f64,
    hyp_len: usize,
    ref_len: usize,
    display: String,
    signature: String,
}

#[derive(Deserialize)]
struct ChrfRow {
    corpus: String,
    char_order: usize,
    word_order: usize,
    beta: usize,
    lowercase: bool,
    whitespace: bool,
    eps_smoothing: bool,
    score: f64,
    display: String,
    signature: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/sacrebleu.json")).unwrap()
}

impl Golden {
    fn corpus(&self, name: &str) -> (Vec<String>, Vec<Vec<String>>) {
        self.corpora[name].iter().cloned().unzip()
    }
}

#[track_caller]
fn assert_close(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() < 1e-9, "{what}: {ours}, not {theirs}");
}

#[test]
fn signatures_name_the_version_of_the_golden_values() {
    assert_eq!(golden().version, SACREBLEU_VERSION);
}

#[test]
fn tokens_are_sacrebleus() {
    for row in golden().tokens {
        assert_eq!(row.tokens.len(), BleuTokenizer::ALL.len());
        for (name, expected) in row.tokens {
            let tokenizer: BleuTokenizer = name.parse().unwrap();
            let ours = tokenizer.tokenize(&row.text);
            // U+001F is white space to Python but not to Rust.
            let ours = ours.split(|c: char| c.is_whitespace() || c == '\u{1f}');
            let ours: Vec<_> = ours.filter(|token| !token.is_empty()).collect();
            assert_eq!(ours, expected, "{name} on {:?}", row.text);
        }
    }
}

#[test]
fn bleu_is_sacrebleus() {
    let golden = golden();
    assert!(golden.bleu.len() > 400);
    for row in &golden.bleu {
        let smoothing = match (row.smooth_method.as_str(), row.smooth_value) {
            ("exp", None) => Smoothing::Exp,
            ("floor", Some(value)) => Smoothing::Floor(value),
            ("add-k", Some(k)) => Smoothing::AddK(k),
            ("none", None) => Smoothing::None,
            other => panic!("unknown smoothing {other:?}"),
        };
        let bleu = Bleu {
            tokenizer: row.tokenize.parse().unwrap(),
            smoothing,
            effective_order: row.effective_order,
            lowercase: row.lowercase,
        };
        let (hypotheses, references) = golden.corpus(&row.corpus);
        let score = bleu.score(&hypotheses, &references).unwrap();
        let what = format!("{}, {bleu:?}", row.corpus);

        assert_close(score.score, row.score, &what);
        for (ours, theirs) in score.precisions.iter().zip(row.precisions) {
            assert_close(*ours, theirs, &what);
        }
        assert_close(score.brevity_penalty, row.bp, &what);
        assert_eq!(score.hyp_len, row.hyp_len, "{what}");
        assert_eq!(score.ref_len, row.ref_len, "{what}");
        assert_eq!(score.to_string(), row.display, "{what}");
        assert_eq!(score.signature, row.signature, "{what}");
    }
}

#[test]
fn chrf_is_sacrebleus() {
    let golden = golden();
    assert!(golden.chrf.len() > 300);
    for row in &golden.chrf {
        let chrf = Chrf {
            char_order: row.char_order,
            word_order: row.word_order,
            beta: row.beta,
            lowercase: row.lowercase,
            whitespace: row.whitespace,
            eps_smoothing: row.eps_smoothing,
        };
        let (hypotheses, references) = golden.corpus(&row.corpus);
        let score = chrf.score(&hypotheses, &references).unwrap();
        let what = format!("{}, {chrf:?}", row.corpus);

        assert_close(score.score, row.score, &what);
        assert_eq!(score.to_string(), row.display, "{what}");
        assert_eq!(score.signature, row.signature, "{what}");
    }
}
