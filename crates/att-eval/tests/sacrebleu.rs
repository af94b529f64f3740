//! Holds BLEU, chrF, TER, the tokenisers and the tests of significance against sacreBLEU.
//!
//! `scripts/golden/sacrebleu_golden.py` writes the golden values.

use att_eval::{
    Bleu, BleuTokenizer, Chrf, CorpusMetric, Resampling, SACREBLEU_VERSION, Smoothing, Statistics,
    Ter, paired_bootstrap, paired_randomisation,
};
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
    ter: Vec<TerRow>,
    segments: Vec<SegmentsRow>,
    confidence: Vec<ConfidenceRow>,
    paired: Vec<PairedRow>,
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

#[derive(Deserialize)]
struct TerRow {
    corpus: String,
    normalized: bool,
    no_punct: bool,
    asian_support: bool,
    case_sensitive: bool,
    score: f64,
    edits: usize,
    ref_len: f64,
    segments: Vec<f64>,
    display: String,
    signature: String,
}

#[derive(Deserialize)]
struct SegmentsRow {
    corpus: String,
    metric: String,
    scores: Vec<f64>,
}

#[derive(Deserialize)]
struct ConfidenceRow {
    corpus: String,
    metric: String,
    mean: f64,
    half_width: f64,
    signature: String,
}

#[derive(Deserialize)]
struct PairedRow {
    test: String,
    samples: usize,
    metric: String,
    systems: [String; 2],
    baseline: f64,
    system: f64,
    p_value: f64,
    mean: Option<f64>,
    half_width: Option<f64>,
    signature: String,
}

/// The metrics of the script's `METRICS`.
fn metric(name: &str) -> Box<dyn CorpusMetric> {
    let bleu = Bleu {
        effective_order: true,
        ..Bleu::default()
    };
    match name {
        "bleu" => Box::new(bleu),
        "bleu intl" => Box::new(Bleu {
            tokenizer: BleuTokenizer::Intl,
            lowercase: true,
            ..bleu
        }),
        "chrf" => Box::new(Chrf::default()),
        "chrf++" => Box::new(Chrf::plus_plus()),
        "ter" => Box::new(Ter::default()),
        other => panic!("unknown metric {other}"),
    }
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

#[test]
fn ter_is_sacrebleus() {
    let golden = golden();
    assert!(golden.ter.len() > 80);
    for row in &golden.ter {
        let ter = Ter {
            normalized: row.normalized,
            no_punct: row.no_punct,
            asian_support: row.asian_support,
            case_sensitive: row.case_sensitive,
        };
        let (hypotheses, references) = golden.corpus(&row.corpus);
        let score = ter.score(&hypotheses, &references).unwrap();
        let what = format!("{}, {ter:?}", row.corpus);

        assert_close(score.score, row.score, &what);
        assert_eq!(score.edits, row.edits, "{what}");
        assert_close(score.ref_len, row.ref_len, &what);
        assert_eq!(score.to_string(), row.display, "{what}");
        assert_eq!(score.signature, row.signature, "{what}");
        let statistics = Statistics::new(&ter, &hypotheses, &references).unwrap();
        assert_segments(&statistics, &row.segments, &what);
    }
}

#[track_caller]
fn assert_segments(statistics: &Statistics, expected: &[f64], what: &str) {
    let scores = statistics.segment_scores();
    assert_eq!(scores.len(), expected.len(), "{what}");
    for (i, (ours, theirs)) in scores.into_iter().zip(expected).enumerate() {
        assert_close(ours, *theirs, &format!("{what}, segment {i}"));
    }
}

#[test]
fn segments_are_sacrebleus() {
    let golden = golden();
    assert!(golden.segments.len() >= 20);
    for row in &golden.segments {
        let metric = metric(&row.metric);
        let (hypotheses, references) = golden.corpus(&row.corpus);
        let statistics = Statistics::new(metric.as_ref(), &hypotheses, &references).unwrap();
        let what = format!("{}, {}", row.corpus, row.metric);
        assert_segments(&statistics, &row.scores, &what);
    }
}

/// sacreBLEU resamples in single precision.
const SINGLE: f64 = 1e-4;

#[test]
fn confidence_intervals_are_sacrebleus() {
    let golden = golden();
    assert!(golden.confidence.len() >= 25);
    for row in &golden.confidence {
        let metric = metric(&row.metric);
        let (hypotheses, references) = golden.corpus(&row.corpus);
        let statistics = Statistics::new(metric.as_ref(), &hypotheses, &references).unwrap();
        let confidence = statistics.confidence(Resampling::BOOTSTRAP).unwrap();
        let what = format!("{}, {}: {confidence}", row.corpus, row.metric);
        assert!((confidence.mean - row.mean).abs() < SINGLE, "{what}");
        assert!(
            (confidence.half_width - row.half_width).abs() < SINGLE,
            "{what}"
        );
        let signature = statistics.confidence_signature(Resampling::BOOTSTRAP);
        assert_eq!(signature, row.signature);
    }
}

#[test]
fn paired_tests_are_sacrebleus() {
    let golden = golden();
    assert!(golden.paired.len() >= 30);
    for row in &golden.paired {
        let metric = metric(&row.metric);
        let [baseline, system] = &row.systems;
        let statistics = |name| {
            let (hypotheses, references) = golden.corpus(name);
            Statistics::new(metric.as_ref(), &hypotheses, &references).unwrap()
        };
        let (test, seed) = (row.test.as_str(), Resampling::BOOTSTRAP.seed);
        let paired = match test {
            "bs" => paired_bootstrap,
            "ar" => paired_randomisation,
            other => panic!("unknown test {other}"),
        };
        let samples = row.samples;
        let found = paired(
            &statistics(baseline),
            &statistics(system),
            Resampling { samples, seed },
        );
        let found = found.unwrap();
        let what = format!("{test} of {} on {:?}: {found:?}", row.metric, row.systems);

        assert_close(found.baseline, row.baseline, &what);
        assert_close(found.system, row.system, &what);
        assert_close(found.p_value, row.p_value, &what);
        assert_eq!(found.signature, row.signature, "{what}");
        let interval = found.confidence.map(|c| [c.mean, c.half_width]);
        match (interval, row.mean.zip(row.half_width)) {
            (Some([mean, half_width]), Some(theirs)) => {
                assert!((mean - theirs.0).abs() < SINGLE, "{what}");
                assert!((half_width - theirs.1).abs() < SINGLE, "{what}");
            }
            (ours, theirs) => assert!(ours.is_none() && theirs.is_none(), "{what}"),
        }
    }
}
