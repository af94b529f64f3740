//! Trains a translator on a parallel corpus of your own and scores it with BLEU.
//!
//! ```sh
//! cargo run --release -p example-translation -- train.en train.de valid.en valid.de
//! cargo run --release -p example-translation -- cuda train.en train.de valid.en valid.de
//! ```
//!
//! Line n of a source file belongs to line n of its target file; files may be gzipped. Both
//! languages share one vocabulary of subwords, and one table of vectors. The settings suit some
//! ten thousand sentence pairs, such as Multi30k.
//!
//! The run goes to `runs/translation`, which must not exist.

use std::error::Error;
use std::{env, fs, process};

use att_core::DeviceSpec;
use att_data::Corpus;
use att_eval::Bleu;
use att_inspect::{AttentionMap, SvgHeatmap};
use att_model::{Translation, Translator};
use att_train::{ExperimentConfig, PrintEvents, Trainer};

const RUN: &str = "runs/translation";

const USAGE: &str = "\
usage: example-translation [DEVICE] TRAIN_SRC TRAIN_TGT VALID_SRC VALID_TGT

  DEVICE     flex, ndarray, wgpu, wgpu:1, cuda:0, ...; as compiled in
  TRAIN_SRC  sentences to train on, one a line; may be gzipped
  TRAIN_TGT  their translations, line by line
  VALID_SRC  sentences to choose and score the model by
  VALID_TGT  their translations";

const EXPERIMENT: &str = r#"
    [tokenizer]
    shared = true
    src = { kind = "bpe", vocab_size = 4000 }

    [model]
    tie_embeddings = true
    tie_output = true
    tgt_embedding = { d_embed = 256, dropout = 0.2 }

    [model.encoder]
    kind = "recurrent"
    cell = "gru"
    d_hidden = 128
    dropout = 0.2

    [model.decoder]
    kind = "bahdanau"
    recurrent = { cell = "gru", d_hidden = 256 }
    attention = { scorer = { kind = "additive", d_attn = 128 } }
    d_output = 256
    dropout = 0.2

    [batch]
    batch_by = "tokens"
    batch_size = 2000
    max_src_len = 100
    max_tgt_len = 100

    [training]
    schedule = { kind = "inverse_sqrt", lr = 1e-3, warmup = 500 }
    label_smoothing = 0.1
    max_epochs = 15
    metric = "bleu"
    patience = 3
    log_every = 50

    [search]
    beam_size = 5
    length_penalty = { kind = "gnmt", alpha = 0.6 }
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let device = match arguments.first().and_then(|name| name.parse().ok()) {
        Some(device) => {
            arguments.remove(0);
            device
        }
        None => DeviceSpec::default(),
    };
    let [train_src, train_tgt, valid_src, valid_tgt] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        process::exit(2);
    };
    let device = device.init()?;

    let train = Corpus::from_parallel(train_src, train_tgt)?;
    let valid = Corpus::from_parallel(valid_src, valid_tgt)?;
    Trainer::create(
        ExperimentConfig::from_toml(EXPERIMENT)?,
        &train,
        &valid,
        RUN,
        false,
    )?
    .run(&device, &mut PrintEvents)?;

    let translator = Translator::load(RUN, &device)?;
    let sources: Vec<&str> = valid.sources().collect();
    let search = &translator.directory().search;
    let translations = translator.translate(&sources, search)?;
    let outputs: Vec<&str> = translations.iter().map(best_text).collect();
    let references: Vec<[&str; 1]> = valid.targets().map(|target| [target]).collect();

    let bleu = Bleu::default().score(&outputs, &references)?;
    println!("{bleu}\n{}", bleu.signature);
    for (n, (translation, pair)) in (1..).zip(translations.iter().zip(&valid.pairs)).take(3) {
        println!("\nsource:    {}", pair.src);
        println!("output:    {}", best_text(translation));
        println!("reference: {}", pair.tgt);
        let path = format!("{RUN}/attention-{n}.svg");
        fs::write(&path, picture(translation)?)?;
        println!("attention: {path}");
    }
    Ok(())
}

fn best_text(translation: &Translation) -> &str {
    &translation.candidates[0].text
}

/// The attention of the best output, as SVG.
fn picture(translation: &Translation) -> Result<String, Box<dyn Error>> {
    let found = translation.attention(0).ok_or("no attention")?;
    let map = AttentionMap::new(found.src_tokens, found.tgt_tokens, found.weights)?;
    let heatmap = SvgHeatmap {
        title: best_text(translation).into(),
        ..Default::default()
    };
    Ok(heatmap.render(&map))
}
