//! Reverses sequences of letters: `FKQAZ` becomes `ZAQKF`.
//!
//! ```sh
//! cargo run --release -p example-reverse           # half a minute on two cores
//! cargo run --release -p example-reverse -- flex   # a device by name: flex, wgpu, cuda:1, ...
//! ```
//!
//! Here the true alignment is known: letter `t` of the target is letter `n - 1 - t` of the
//! source. So besides how many sequences come out right, this example reports how often the
//! attention has its greatest weight at the true position.
//!
//! The run goes to `runs/reverse`, which must not exist.

use std::error::Error;
use std::{env, fs, io};

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_eval::exact_match;
use att_inspect::{AttentionMap, SvgHeatmap, TerminalHeatmap, TerminalStyle, hard_alignment};
use att_model::{Translation, Translator};
use att_train::{ExperimentConfig, PrintEvents, Trainer};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const RUN: &str = "runs/reverse";

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
    kind = "luong"
    recurrent = { cell = "gru", d_hidden = 128 }
    attention = { scorer = { kind = "general" } }
    d_attentional = 128
    dropout = 0.0

    [training]
    schedule = { kind = "cosine", lr = 3e-3, warmup = 50 }
    label_smoothing = 0.0
    max_steps = 800
    valid_every = 200
    metric = "exact_match"

    [search]
    beam_size = 1
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let spec = match env::args().nth(1) {
        Some(name) => name.parse()?,
        None => DeviceSpec::default(),
    };
    let device = spec.init()?;

    // Sequences are so many that a random one is hardly ever drawn twice.
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let train = random_corpus(20_000, &mut rng);
    let valid = random_corpus(200, &mut rng);
    let test = random_corpus(500, &mut rng);
    Trainer::create(
        ExperimentConfig::from_toml(EXPERIMENT)?,
        &train,
        &valid,
        RUN,
        false,
    )?
    .run(&device, &mut PrintEvents)?;

    let translator = Translator::load(RUN, &device)?;
    let sources: Vec<&str> = test.sources().collect();
    let search = &translator.directory().search;
    let translations = translator.translate(&sources, search)?;
    let outputs: Vec<&str> = translations.iter().map(best_text).collect();
    let references: Vec<[&str; 1]> = test.targets().map(|target| [target]).collect();
    let maps: Vec<AttentionMap> = translations
        .iter()
        .map(attention)
        .collect::<Result<_, _>>()?;

    println!("{}", exact_match(&outputs, &references)?);
    println!(
        "attention at the true position = {:.2} % of the steps",
        percent_aligned(&maps)
    );
    show(&maps[0])
}

/// Random sequences of 8 to 12 letters, and each of them reversed.
fn random_corpus(size: usize, rng: &mut Xoshiro256PlusPlus) -> Corpus {
    let pair = |_| {
        let len = rng.random_range(8..=12);
        let src: String = (0..len).map(|_| rng.random_range('A'..='Z')).collect();
        let tgt: String = src.chars().rev().collect();
        Pair { src, tgt }
    };
    Corpus {
        pairs: (0..size).map(pair).collect(),
    }
}

fn best_text(translation: &Translation) -> &str {
    &translation.candidates[0].text
}

/// The weights of the best output over its source, EOS on both sides.
fn attention(translation: &Translation) -> Result<AttentionMap, Box<dyn Error>> {
    let found = translation.attention(0).ok_or("no attention")?;
    let map = AttentionMap::new(found.src_tokens, found.tgt_tokens, found.weights)?;
    Ok(map)
}

/// Of all steps but EOS, how many look most at letter `n - 1 - t` of the `n` in the source.
fn percent_aligned(maps: &[AttentionMap]) -> f64 {
    let (mut steps, mut right) = (0, 0);
    for map in maps {
        let n = map.src_len() - 1;
        for (t, looked_at) in hard_alignment(map)
            .into_iter()
            .enumerate()
            .take(map.tgt_len() - 1)
        {
            steps += 1;
            right += usize::from(looked_at.is_some() && looked_at == (n - 1).checked_sub(t));
        }
    }
    100.0 * right as f64 / steps as f64
}

/// Draws a map here, and as a picture in the run's folder.
fn show(map: &AttentionMap) -> Result<(), Box<dyn Error>> {
    let drawing = TerminalHeatmap {
        style: TerminalStyle::of(&io::stdout()),
        ..Default::default()
    };
    println!("\n{}", drawing.render(map));

    let picture = SvgHeatmap {
        title: "Reversing".into(),
        ..Default::default()
    };
    let path = format!("{RUN}/attention.svg");
    fs::write(&path, picture.render(map))?;
    println!("the same as a picture: {path}");
    Ok(())
}
