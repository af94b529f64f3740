//! Attention that is guided by alignments finds them sooner, and alignments that do not fit are refused.

mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_eval::{AlignmentErrorRate, Statistics};
use att_model::Translator;
use att_train::{Event, ExperimentConfig, Start, Trainer};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use support::reversed;

const EXPERIMENT: &str = "
    seed = 1
    [tokenizer]
    src = { kind = 'char' }
    tgt = { kind = 'char' }
    [batch]
    batch_size = 16
    [model]
    src_embedding = { d_embed = 12, dropout = 0.0 }
    tgt_embedding = { d_embed = 12, dropout = 0.0 }
    encoder = { kind = 'recurrent', cell = 'gru', d_hidden = 12, dropout = 0.0 }
    [training]
    schedule = { kind = 'constant', lr = 1e-2 }
    max_steps = 50
    log_every = 1000
    metric = 'exact_match'
";

/// Reversed sequences with their alignments.
fn aligned(size: usize, seed: u64) -> (Corpus, Vec<String>) {
    let corpus = reversed(size, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
    let links = |pair: &Pair| {
        let n = pair.src.len();
        let links = (0..n).map(|t| format!("{}-{t}", n - 1 - t));
        links.collect::<Vec<_>>().join(" ")
    };
    let lines = corpus.pairs.iter().map(links).collect();
    (corpus, lines)
}

/// Of where each target letter looks at most, and the loss of a validation.
fn aer(translator: &Translator, corpus: &Corpus, gold: &[String]) -> f64 {
    let found = translator.score(&corpus.pairs);
    let lines: Vec<String> = found
        .iter()
        .zip(&corpus.pairs)
        .map(|(found, pair)| {
            let weights = found.candidates[0].weights.as_ref().unwrap();
            let rows = weights.iter().take(pair.tgt.len()).enumerate();
            let links = rows.map(|(t, row)| {
                let s = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
                format!("{}-{t}", s.unwrap())
            });
            links.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let gold: Vec<[&str; 1]> = gold.iter().map(|line| [line.as_str()]).collect();
    let statistics = Statistics::new(&AlignmentErrorRate, &lines, &gold);
    statistics.unwrap().score()
}

fn start(
    text: &str,
    train: &Corpus,
    run: &Path,
    alignments: Option<&Path>,
) -> att_train::Result<Trainer> {
    let config = ExperimentConfig::from_toml(text)?;
    let start = Start {
        alignments: alignments.map(Into::into),
        ..Default::default()
    };
    let valid = Corpus {
        pairs: train.pairs[..3].into(),
    };
    Trainer::start(config, train, &valid, run, &start)
}

#[test]
fn attention_is_where_the_alignments_are_sooner_than_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let (train, lines) = aligned(400, 1);
    let (test, gold) = aligned(50, 2);
    let file = folder.path().join("train.align");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let device = DeviceSpec::Flex.init().unwrap();
    let after = |name: &str, decoder: &str, guided: &str| {
        let text = format!("{EXPERIMENT}{guided}\n[model.decoder]\n{decoder}");
        let run = folder.path().join(name);
        let alignments = (!guided.is_empty()).then_some(file.as_path());
        let trainer = start(&text, &train, &run, alignments).unwrap();
        let mut ignore = |_: &Event| ControlFlow::Continue(());
        trainer.run(&device, &mut ignore).unwrap();
        aer(&Translator::load(&run, &device).unwrap(), &test, &gold)
    };
    let recurrent = "recurrent = { cell = 'gru', d_hidden = 24 }";
    let luong = format!(
        "kind = 'luong'\nd_attentional = 16\n{recurrent}\n\
         attention = {{ scorer = {{ kind = 'additive', d_attn = 16 }} }}"
    );
    let bahdanau = format!(
        "kind = 'bahdanau'\nd_output = 16\n{recurrent}\n\
         attention = {{ scorer = {{ kind = 'additive', d_attn = 16 }}, coverage_loss = 0.1 }}"
    );
    let transformer = "kind = 'transformer'\nd_model = 16\nlayers = 1\nn_heads = 2\nd_ff = 32";
    for (name, decoder) in [
        ("luong", luong.as_str()),
        ("bahdanau", bahdanau.as_str()),
        ("transformer", transformer),
    ] {
        let alone = after(&format!("{name}-alone"), decoder, "");
        let losses = ["cross_entropy", "squared_error"];
        for loss in &losses[..if name == "luong" { 2 } else { 1 }] {
            let guided = format!("guided_alignment = {{ weight = 2.0, loss = '{loss}' }}");
            let guided = after(&format!("{name}-{loss}"), decoder, &guided);
            assert!(guided < alone - 20.0, "{name} {loss}: {guided} {alone}");
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (train, lines) = aligned(3, 1);
    let guided = format!("{EXPERIMENT}guided_alignment = {{}}");
    let refused = |text: &str, lines: Option<&str>, expected: &[&str]| {
        let file = folder.path().join("train.align");
        let file = lines.map(|lines| {
            fs::write(&file, lines).unwrap();
            file.as_path()
        });
        let run = folder.path().join("run");
        let error = start(text, &train, &run, file).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{error}");
        }
        assert!(!run.exists(), "nothing is left behind");
    };
    let good = lines.join("\n");
    let key = "training.guided_alignment";
    refused(&guided, None, &[key, "--alignments"]);
    refused(EXPERIMENT, Some(&good), &[key]);
    refused(
        &guided,
        Some("0-0\n"),
        &["train.align has 1 lines", "3 training pairs"],
    );
    refused(
        &guided,
        Some("0-0\n0-9\n\n"),
        &["train.align line 2", "`0-9`"],
    );
    refused(&guided, Some("0-0\n\nx\n"), &["train.align line 3", "`x`"]);
}
