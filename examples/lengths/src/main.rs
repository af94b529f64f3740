//! Why attention exists: the same model with attention and with a fixed summary of the source
//! instead, by length of the input (as in Bahdanau et al. 2015, fig. 2).
//!
//! ```sh
//! cargo run --release -p example-lengths           # some minutes on two cores
//! cargo run --release -p example-lengths -- flex   # a device by name: flex, wgpu, cuda:1, ...
//! cargo run --release -p example-lengths -- --attentions all   # kinds of attention: attentions.rs
//! ```
//!
//! The task is to reverse sequences of 1 to 30 letters. Both models see the same 40,000 of them for
//! the same number of steps; then each length is tested with sequences that neither has seen, up to
//! lengths that were not in training. The picture goes to `runs/lengths/exact-by-length.svg`; the
//! runs beside it, which must not exist.

mod attentions;

use std::error::Error;
use std::{env, fs};

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_inspect::{LineChart, Series};
use att_model::Translator;
use att_train::{ExperimentConfig, PrintEvents, Trainer};
use burn::tensor::Device;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const RUNS: &str = "runs/lengths";

/// The longest sequence in training, and in the test.
const TRAINED: usize = 30;
const TESTED: usize = 40;
/// Sequences of each length in the test.
const OF_EACH: usize = 50;

/// All but the decoder's kind.
const EXPERIMENT: &str = r#"
    [tokenizer]
    src = { kind = "char" }
    tgt = { kind = "char" }

    [model]
    src_embedding = { d_embed = 32, dropout = 0.0 }
    tgt_embedding = { d_embed = 32, dropout = 0.0 }

    [model.encoder]
    kind = "recurrent"
    cell = "gru"
    d_hidden = 64
    dropout = 0.0

    [model.decoder]
    recurrent = { cell = "gru", d_hidden = 128 }
    dropout = 0.0

    [training]
    schedule = { kind = "cosine", lr = 3e-3, warmup = 100 }
    label_smoothing = 0.0
    max_steps = 3000
    valid_every = 1000
    log_every = 200
    metric = "exact_match"

    [search]
    beam_size = 1
"#;

const WITH_ATTENTION: &str = "kind = 'luong'
    attention = { scorer = { kind = 'general' } }
    d_attentional = 128";
const FIXED_SUMMARY: &str = "kind = 'summary'
    d_output = 128";

fn main() -> Result<(), Box<dyn Error>> {
    let mut spec = DeviceSpec::default();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--attentions" {
            let names = arguments.next().ok_or("--attentions needs names, or all")?;
            return attentions::run(&names, &spec);
        }
        spec = argument.parse()?;
    }
    let device = spec.init()?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let train = reversed((0..40_000).map(|i| 1 + i % TRAINED), &mut rng);
    let valid = reversed((0..300).map(|i| 1 + i % TRAINED), &mut rng);
    let test = reversed((0..OF_EACH * TESTED).map(|i| 1 + i / OF_EACH), &mut rng);

    let mut series = Vec::new();
    for (name, folder, decoder) in [
        ("with attention", "attention", WITH_ATTENTION),
        ("fixed summary", "summary", FIXED_SUMMARY),
    ] {
        println!("\n{name}");
        let text = EXPERIMENT.replace("[model.decoder]", &format!("[model.decoder]\n{decoder}"));
        let experiment = ExperimentConfig::from_toml(&text)?;
        let run = format!("{RUNS}/{folder}");
        Trainer::create(experiment, &train, &valid, &run, false)?.run(&device, &mut PrintEvents)?;
        series.push(Series {
            name: name.into(),
            points: exact_by_length(&run, &test, &device)?,
        });
    }

    println!("\nletters  with attention  fixed summary  (% exactly right)");
    for (with, without) in series[0].points.iter().zip(&series[1].points) {
        println!("{:>7}  {:>14.0}  {:>13.0}", with.0, with.1, without.1);
    }
    let chart = LineChart {
        title: format!("Reversing letters; trained on lengths 1 to {TRAINED}"),
        x_label: "letters".into(),
        y_label: "exactly right (%)".into(),
        series,
        ..Default::default()
    };
    let path = format!("{RUNS}/exact-by-length.svg");
    fs::write(&path, chart.render())?;
    println!("the same as a picture: {path}");
    Ok(())
}

/// Random sequences of the given lengths, and each of them reversed.
fn reversed(lengths: impl Iterator<Item = usize>, rng: &mut Xoshiro256PlusPlus) -> Corpus {
    let pair = |src: String| Pair {
        tgt: src.chars().rev().collect(),
        src,
    };
    Corpus {
        pairs: lengths.map(|len| pair(letters(len, rng))).collect(),
    }
}

/// A random sequence of letters.
fn letters(len: usize, rng: &mut Xoshiro256PlusPlus) -> String {
    (0..len).map(|_| rng.random_range('A'..='Z')).collect()
}

/// For each length how many percent of its sequences come out right.
fn exact_by_length(
    run: &str,
    test: &Corpus,
    device: &Device,
) -> Result<Vec<(f64, f64)>, Box<dyn Error>> {
    let translator = Translator::load(run, device)?;
    let sources: Vec<&str> = test.sources().collect();
    let translations = translator.translate(&sources, &translator.directory().search)?;
    let mut right = [0usize; TESTED + 1];
    for (translation, pair) in translations.iter().zip(&test.pairs) {
        right[pair.src.len()] += usize::from(translation.candidates[0].text == pair.tgt);
    }
    let percent =
        |(len, &right): (usize, &usize)| (len as f64, 100.0 * right as f64 / OF_EACH as f64);
    Ok(right.iter().enumerate().skip(1).map(percent).collect())
}
