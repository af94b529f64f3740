//! Turns dates in eight formats and three languages into ISO 8601: `6 mars 2031` becomes
//! `2031-03-06`.
//!
//! ```sh
//! cargo run --release -p example-dates           # a minute on two cores
//! cargo run --release -p example-dates -- flex   # a device by name: flex, wgpu, cuda:1, ...
//! ```
//!
//! Each format says which number is the day and which the month, so every date has one right
//! answer. The dates to score on are held out in all formats: the model can't have learnt them by
//! heart in another one.
//!
//! The run goes to `runs/dates`, which must not exist.

use std::error::Error;
use std::{env, fs, io};

use att_core::DeviceSpec;
use att_data::{Corpus, Pair, split_by_hash};
use att_eval::exact_match;
use att_inspect::{AttentionMap, SvgHeatmap, TerminalHeatmap, TerminalStyle};
use att_model::{Translation, Translator};
use att_train::{ExperimentConfig, PrintEvents, Trainer};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const RUN: &str = "runs/dates";

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

    [model.decoder]
    kind = "bahdanau"
    recurrent = { cell = "gru", d_hidden = 128 }
    attention = { scorer = { kind = "additive", d_attn = 64 } }
    d_output = 64

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

    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let pairs = (0..20_000).map(|_| random_pair(&mut rng));
    let (mut valid, train): (Vec<Pair>, Vec<Pair>) =
        pairs.partition(|pair| split_by_hash(&pair.tgt, 0) < 0.05);
    let test = valid.split_off(200);
    let [train, valid, test] = [train, valid, test].map(|pairs| Corpus { pairs });
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

    println!("{}\n", exact_match(&outputs, &references)?);
    for (source, output) in sources.iter().zip(&outputs).take(5) {
        println!("{source:>20} -> {output}");
    }
    show(&translations[0])
}

#[rustfmt::skip]
const ENGLISH: [&str; 12] = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
];
#[rustfmt::skip]
const GERMAN: [&str; 12] = [
    "Januar", "Februar", "März", "April", "Mai", "Juni",
    "Juli", "August", "September", "Oktober", "November", "Dezember",
];
#[rustfmt::skip]
const FRENCH: [&str; 12] = [
    "janvier", "février", "mars", "avril", "mai", "juin",
    "juillet", "août", "septembre", "octobre", "novembre", "décembre",
];

/// A random date from 1900 to 2099 in a random format, and in ISO 8601.
fn random_pair(rng: &mut Xoshiro256PlusPlus) -> Pair {
    let year = rng.random_range(1900..=2099);
    let month = rng.random_range(1..=12);
    let day = rng.random_range(1..=days_in(month, year));
    let name = |names: [&'static str; 12]| names[month - 1];
    let src = match rng.random_range(0..8) {
        0 => format!("{day} {} {year}", name(ENGLISH)),
        1 => format!("{} {day}, {year}", name(ENGLISH)),
        2 => format!("{} {day}, {year}", &name(ENGLISH)[..3]),
        3 => format!("{day}. {} {year}", name(GERMAN)),
        4 if day == 1 => format!("1er {} {year}", name(FRENCH)),
        4 => format!("{day} {} {year}", name(FRENCH)),
        5 => format!("{day:02}/{month:02}/{year}"),
        6 => format!("{day}.{month}.{year}"),
        _ => format!("{year}{month:02}{day:02}"),
    };
    Pair::new(src, format!("{year}-{month:02}-{day:02}"))
}

/// Days of a month in the Gregorian calendar.
fn days_in(month: usize, year: usize) -> usize {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn best_text(translation: &Translation) -> &str {
    &translation.candidates[0].text
}

/// Draws the attention here, and as a picture in the run's folder.
fn show(translation: &Translation) -> Result<(), Box<dyn Error>> {
    let found = translation.attention(0).ok_or("no attention")?;
    let map = AttentionMap::new(found.src_tokens, found.tgt_tokens, found.weights)?;

    let drawing = TerminalHeatmap {
        style: TerminalStyle::of(&io::stdout()),
        ..Default::default()
    };
    println!("\n{}", drawing.render(&map));

    let picture = SvgHeatmap {
        title: "A date".into(),
        ..Default::default()
    };
    let path = format!("{RUN}/attention.svg");
    fs::write(&path, picture.render(&map))?;
    println!("the same as a picture: {path}");
    Ok(())
}
