//! Sources far longer than those in training, by the kind of attention.
//!
//! ```sh
//! cargo run --release -p example-lengths -- --attentions all
//! cargo run --release -p example-lengths -- --attentions additive,transformer-rotary
//! ```
//!
//! The task is to copy sequences of 1 to 30 letters, and then of up to 120. All models see the same
//! sequences for the same number of steps. Table and picture go to `runs/lengths-attentions/`, and the
//! runs beside them; what is finished there is not trained again.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_eval::Metric;
use att_inspect::{LineChart, Series};
use att_model::Translator;
use att_train::{Comparison, Contestant, ExperimentConfig, PrintEvents, attention_variants};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::letters;

const RUNS: &str = "runs/lengths-attentions";

/// The longest sequence in training.
const TRAINED: usize = 30;
/// The lengths in the test, and the sequences of each.
const TESTED: [usize; 8] = [10, 20, 30, 40, 60, 80, 100, 120];
const OF_EACH: usize = 25;

/// All but encoder and decoder.
const EXPERIMENT: &str = "
    [tokenizer]
    src = { kind = 'char' }
    tgt = { kind = 'char' }

    [batch]
    batch_size = 32

    [model]
    src_embedding = { d_embed = 64, dropout = 0.0 }
    tgt_embedding = { d_embed = 64, dropout = 0.0 }
    ENCODER
    DECODER

    [training]
    schedule = { kind = 'cosine', lr = LR, warmup = 100 }
    label_smoothing = 0.0
    max_steps = 2000
    valid_every = 1000
    log_every = 200
    metric = 'exact_match'

    [search]
    beam_size = 1
";

const RECURRENT: &str =
    "encoder = { kind = 'recurrent', cell = 'gru', d_hidden = 64, dropout = 0.0 }";
/// The kinds of parts of attention are those of this decoder.
const LUONG: &str = "
    [model.decoder]
    kind = 'luong'
    recurrent = { cell = 'gru', d_hidden = 128 }
    attention = { scorer = { kind = 'additive', d_attn = 64 } }
    d_attentional = 128
    dropout = 0.0
";
const PARTS: [&str; 16] = [
    "additive",
    "concat",
    "general",
    "bilinear",
    "dot",
    "scaled_dot",
    "cosine",
    "location",
    "sparsemax",
    "entmax15",
    "monotonic",
    "mocha",
    "local_m",
    "local_p",
    "coverage",
    "location_sensitive",
];

/// Models of other kinds: name, encoder, decoder.
const MODELS: [(&str, &str, &str); 4] = [
    (
        "transformer-sinusoidal",
        "encoder = { kind = 'transformer', d_model = 64, layers = 2, n_heads = 4, d_ff = 128, dropout = 0.0 }",
        "decoder = { kind = 'transformer', d_model = 64, layers = 2, n_heads = 4, d_ff = 128, dropout = 0.0 }",
    ),
    (
        "transformer-rotary",
        "encoder = { kind = 'transformer', d_model = 64, layers = 2, n_heads = 4, d_ff = 128, dropout = 0.0, \
         positions = { kind = 'rotary' } }",
        "decoder = { kind = 'transformer', d_model = 64, layers = 2, n_heads = 4, d_ff = 128, dropout = 0.0, \
         positions = { kind = 'rotary' } }",
    ),
    (
        "convolutional",
        "encoder = { kind = 'convolutional', d_hidden = 64, dropout = 0.0 }",
        "decoder = { kind = 'convolutional', d_hidden = 64, d_output = 64, dropout = 0.0 }",
    ),
    (
        "summary",
        RECURRENT,
        "decoder = { kind = 'summary', recurrent = { cell = 'gru', d_hidden = 128 }, d_output = 128, \
         dropout = 0.0 }",
    ),
];

/// What came out at one length.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct AtLength {
    letters: usize,
    /// Sequences that are right as a whole, in percent.
    exact: f64,
    /// Letters that are right: 100 less the edits a letter in percent, and at least 0.
    right: f64,
}

/// `names`: with commas between them, or `all`.
pub fn run(names: &str, spec: &DeviceSpec) -> Result<(), Box<dyn Error>> {
    let device = spec.init()?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut copies = |lengths: &mut dyn Iterator<Item = usize>| Corpus {
        pairs: lengths
            .map(|len| letters(len, &mut rng))
            .map(|text| Pair::new(text.clone(), text))
            .collect(),
    };
    let train = copies(&mut (0..40_000).map(|i| 1 + i % TRAINED));
    let valid = copies(&mut (0..150).map(|i| 1 + i % TRAINED));
    let tests = TESTED.map(|letters| copies(&mut std::iter::repeat_n(letters, OF_EACH)));

    let given = BTreeMap::from([("device".into(), spec.to_string())]);
    let comparison = Comparison::new(contestants(names)?, &train, &valid, RUNS, given)?;
    let mut found: Vec<(&str, Vec<AtLength>)> = Vec::new();
    for contestant in comparison.contestants() {
        let at_lengths = match comparison.finished(contestant)? {
            Some(at_lengths) => at_lengths,
            None => {
                println!("\n{}", contestant.name);
                let summary = comparison.train(contestant, &device, &mut PrintEvents)?;
                println!("{summary}");
                let translator = Translator::load(comparison.path(contestant), &device)?;
                let at_lengths = tests.each_ref().map(|test| at_length(&translator, test));
                let at_lengths = at_lengths.into_iter().collect::<Result<Vec<_>, _>>()?;
                comparison.finish(contestant, &at_lengths)?;
                at_lengths
            }
        };
        found.push((&contestant.name, at_lengths));
    }

    let table = table(&found);
    println!("\n{table}");
    fs::write(format!("{RUNS}/right-by-length.md"), table)?;
    let series = found.iter().map(|(name, at_lengths)| Series {
        name: name.to_string(),
        points: at_lengths
            .iter()
            .map(|at| (at.letters as f64, at.right))
            .collect(),
    });
    let chart = LineChart {
        title: format!("Copying letters; trained on lengths 1 to {TRAINED}"),
        x_label: "letters".into(),
        y_label: "letters right (%)".into(),
        series: series.collect(),
        ..Default::default()
    };
    let path = format!("{RUNS}/right-by-length.svg");
    fs::write(&path, chart.render())?;
    println!("the same as a picture: {path}");
    Ok(())
}

fn contestants(names: &str) -> Result<Vec<Contestant>, Box<dyn Error>> {
    let names: Vec<&str> = match names {
        "all" => PARTS
            .into_iter()
            .chain(MODELS.map(|(name, ..)| name))
            .collect(),
        names => names.split(',').collect(),
    };
    let base = experiment(RECURRENT, LUONG, "3e-3")?;
    let mut contestants = Vec::new();
    for name in names {
        match MODELS.iter().find(|(known, ..)| *known == name) {
            Some((_, encoder, decoder)) => contestants.push(Contestant {
                name: name.into(),
                config: experiment(encoder, decoder, "1e-3")?,
            }),
            None => contestants.extend(attention_variants(&base, &[name])?.contestants),
        }
    }
    Ok(contestants)
}

fn experiment(encoder: &str, decoder: &str, lr: &str) -> att_train::Result<ExperimentConfig> {
    let text = EXPERIMENT.replace("ENCODER", encoder);
    ExperimentConfig::from_toml(&text.replace("DECODER", decoder).replace("LR", lr))
}

fn at_length(translator: &Translator, test: &Corpus) -> Result<AtLength, Box<dyn Error>> {
    let search = &translator.directory().search;
    let found = att_train::evaluate(translator, test, search, Metric::ExactMatch)?;
    let edits = Metric::Cer.score(&found.outputs, &found.references)?;
    Ok(AtLength {
        letters: test.pairs[0].src.len(),
        exact: found.score,
        right: (100.0 - edits).max(0.0),
    })
}

/// Right letters and, in brackets, right sequences, in percent.
fn table(found: &[(&str, Vec<AtLength>)]) -> String {
    let cells = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let lengths = TESTED.iter().map(usize::to_string);
    let mut table = cells(["letters".to_string()].into_iter().chain(lengths).collect());
    table += &cells(vec!["---".into(); TESTED.len() + 1]);
    for (name, at_lengths) in found {
        let figures = at_lengths
            .iter()
            .map(|AtLength { exact, right, .. }| format!("{right:.0} ({exact:.0})"));
        table += &cells([name.to_string()].into_iter().chain(figures).collect());
    }
    table
}
