//! Reverses sequences of letters: `FKQAZ` becomes `ZAQKF`.
//!
//! ```sh
//! cargo run --release -p example-reverse           # half a minute on two cores
//! cargo run --release -p example-reverse -- flex   # a device by name: flex, wgpu, cuda:1, ...
//! cargo run --release -p example-reverse -- --attention all   # with each scorer in turn
//! ```
//!
//! Here the true alignment is known: letter `t` of the target is letter `n - 1 - t` of the
//! source. So besides how many sequences come out right, this example reports how often the
//! attention has its greatest weight at the true position.
//!
//! The run goes to `runs/reverse`, which must not exist. With `--attention` (also of a list such as
//! `dot,additive+coverage`) each goes below `runs/reverse-attention`; what is finished there is not
//! trained again.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::{env, fs, io};

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_eval::Metric;
use att_inspect::{AttentionMap, SvgHeatmap, TerminalHeatmap, TerminalStyle, hard_alignment};
use att_model::{Translation, Translator};
use att_train::{Comparison, ExperimentConfig, PrintEvents, Trainer, attention_variants};
use burn::tensor::Device;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

const RUN: &str = "runs/reverse";
const RUNS: &str = "runs/reverse-attention";

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
    let (mut spec, mut attentions) = (DeviceSpec::default(), None);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--attention" {
            let kinds = arguments
                .next()
                .ok_or("--attention needs kinds, such as all")?;
            attentions = Some(kinds);
        } else {
            spec = argument.parse()?;
        }
    }
    let device = spec.init()?;

    // Sequences are so many that a random one is hardly ever drawn twice.
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let train = random_corpus(20_000, &mut rng);
    let valid = random_corpus(200, &mut rng);
    let test = random_corpus(500, &mut rng);
    let experiment = ExperimentConfig::from_toml(EXPERIMENT)?;

    let Some(kinds) = attentions else {
        Trainer::create(experiment, &train, &valid, RUN, false)?.run(&device, &mut PrintEvents)?;
        let (tested, maps) = test_run(RUN, &test, &device)?;
        let Tested { exact, aligned } = tested;
        println!("exact match = {exact:.2} %");
        println!("attention at the true position = {aligned:.2} % of the steps");
        return show(&maps[0]);
    };
    let kinds: Vec<&str> = kinds.split(',').collect();
    let contestants = attention_variants(&experiment, &kinds)?.contestants;
    let given = BTreeMap::from([("device".into(), spec.to_string())]);
    let comparison = Comparison::new(contestants, &train, &valid, RUNS, given)?;
    let mut table = String::new();
    for contestant in comparison.contestants() {
        let tested: Tested = match comparison.finished(contestant)? {
            Some(tested) => tested,
            None => {
                println!("\n{}", contestant.name);
                comparison.train(contestant, &device, &mut PrintEvents)?;
                let (tested, _) = test_run(comparison.path(contestant), &test, &device)?;
                comparison.finish(contestant, &tested)?;
                tested
            }
        };
        let Tested { exact, aligned } = tested;
        table += &format!("{:<24}  {exact:>13.2}  {aligned:>30.2}\n", contestant.name);
    }
    println!(
        "\n{:<24}  exact match %  attention at the true place %\n{table}",
        "attention"
    );
    Ok(())
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

/// How well a model does, in percent.
#[derive(Serialize, Deserialize)]
struct Tested {
    /// Of the sequences.
    exact: f64,
    /// Of the steps, see [`percent_aligned`].
    aligned: f64,
}

/// Reverses the test's sequences; also gives the attention of each.
fn test_run(
    run: impl AsRef<Path>,
    test: &Corpus,
    device: &Device,
) -> Result<(Tested, Vec<AttentionMap>), Box<dyn Error>> {
    let translator = Translator::load(run, device)?;
    let sources: Vec<&str> = test.sources().collect();
    let translations = translator.translate(&sources, &translator.directory().search)?;
    let texts = translations.iter().map(|found| &found.candidates[0].text);
    let outputs: Vec<&String> = texts.collect();
    let references: Vec<[&str; 1]> = test.targets().map(|target| [target]).collect();
    let maps = translations.iter().map(attention);
    let maps = maps.collect::<Result<Vec<_>, _>>()?;
    let tested = Tested {
        exact: Metric::ExactMatch.score(&outputs, &references)?,
        aligned: percent_aligned(&maps),
    };
    Ok((tested, maps))
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
