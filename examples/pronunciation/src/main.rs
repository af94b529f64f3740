//! Learns to pronounce English words from the CMU Pronouncing Dictionary, scores itself on words
//! that it has not seen, and pronounces the words of the command line.
//!
//! ```sh
//! cargo run --release -p example-pronunciation -- attention blorptide
//! cargo run --release -p example-pronunciation -- wgpu attention     # a device by name, first
//! cargo run --release -p example-pronunciation -- words.tsv attention
//! ```
//!
//! Training takes two minutes on two cores. A dictionary of your own is a file that ends in `.tsv` or `.tsv.gz`,
//! with lines of `WORD<TAB>PH PH PH`.
//!
//! The run goes to `runs/pronunciation`, which must not exist.

use std::env;
use std::error::Error;

use att_core::DeviceSpec;
use att_data::{Corpus, split_by_hash};
use att_eval::{Metric, error_rates};
use att_model::Translator;
use att_train::{ExperimentConfig, PrintEvents, Trainer, evaluate};

const RUN: &str = "runs/pronunciation";

const CMUDICT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../crates/att-cli/assets/cmudict/cmudict.tsv.gz"
);

const EXPERIMENT: &str = r#"
    [tokenizer]
    src = { kind = "char", lowercase = true }
    tgt = { kind = "whitespace" }

    [model]
    src_embedding = { d_embed = 64, dropout = 0.0 }
    tgt_embedding = { d_embed = 64, dropout = 0.0 }

    [model.encoder]
    kind = "recurrent"
    cell = "lstm"
    d_hidden = 64
    dropout = 0.0

    [model.decoder]
    kind = "luong"
    recurrent = { cell = "lstm", d_hidden = 128 }
    attention = { scorer = { kind = "general" } }
    d_attentional = 128
    dropout = 0.0

    [batch]
    batch_size = 128

    [training]
    schedule = { kind = "cosine", lr = 4e-3, warmup = 200 }
    max_steps = 3600
    valid_every = 600
    log_every = 200
    metric = "per"

    [search]
    beam_size = 3
"#;

/// What the command line asks for.
struct Arguments {
    device: DeviceSpec,
    dictionary: String,
    words: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments {
        device,
        dictionary,
        words,
    } = arguments();
    let device = device.init()?;

    let Parts { train, valid, test } = split(Corpus::from_tsv(dictionary)?);
    Trainer::create(
        ExperimentConfig::from_toml(EXPERIMENT)?,
        &train,
        &valid,
        RUN,
        false,
    )?
    .run(&device, &mut PrintEvents)?;

    let translator = Translator::load(RUN, &device)?;
    let search = &translator.directory().search;
    // A word with several pronunciations is one item; any of them is right.
    let evaluation = evaluate(&translator, &test, search, Metric::Wer)?;
    let rates = error_rates(&evaluation.outputs, &evaluation.references)?;
    println!(
        "{} unseen words: WER = {:.2} %, PER = {:.2} %\n",
        rates.items,
        rates.item_error_rate(),
        rates.token_error_rate()
    );

    for (word, pronounced) in words.iter().zip(translator.translate(&words, search)?) {
        println!("{word:>20}  {}", pronounced.candidates[0].text);
    }
    Ok(())
}

/// `[device] [dictionary.tsv] word...`
fn arguments() -> Arguments {
    let mut rest = env::args().skip(1).peekable();
    let device = rest.peek().and_then(|name| name.parse().ok());
    if device.is_some() {
        rest.next();
    }
    let dictionary = rest.next_if(|name| name.ends_with(".tsv") || name.ends_with(".tsv.gz"));
    Arguments {
        device: device.unwrap_or_default(),
        dictionary: dictionary.unwrap_or(CMUDICT.into()),
        words: rest.collect(),
    }
}

/// A dictionary in parts that share no word.
#[derive(Default)]
struct Parts {
    train: Corpus,
    valid: Corpus,
    test: Corpus,
}

/// 98 % of the words to train on, 1 % to choose the best model by, 1 % to score it on.
fn split(dictionary: Corpus) -> Parts {
    let mut parts = Parts::default();
    for pair in dictionary.pairs {
        let part = match split_by_hash(&pair.src, 0) {
            0.00..0.01 => &mut parts.test,
            0.01..0.02 => &mut parts.valid,
            _ => &mut parts.train,
        };
        part.pairs.push(pair);
    }
    parts
}
