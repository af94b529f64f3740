use std::error::Error;
use std::io::{self, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};

use att_core::check;
use att_data::Lines;
use att_train::{DecodeBench, ExperimentConfig, TrainBench};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, SearchOptions, TrainOption};

#[derive(Subcommand)]
pub enum Options {
    /// Time steps of training, with batches, model and optimiser of an experiment; writes nothing
    #[command(override_usage = "att bench train <CONFIG> --train <FILE>... [OPTIONS]")]
    Train(TrainOptions),
    /// Time the translation of lines of text with a trained model
    Decode(Box<DecodeOptions>),
}

#[derive(Args)]
pub struct TrainOptions {
    /// The experiment: a TOML file such as those in the repository's configs/
    config: PathBuf,
    #[command(flatten)]
    train: TrainOption,
    /// Steps that are timed together
    #[arg(long, default_value_t = TrainBench::default().steps, value_name = "N")]
    steps: usize,
    /// Steps before these that are not timed
    #[arg(long, default_value_t = TrainBench::default().warmup, value_name = "N")]
    warmup: usize,
    /// How often the same batches are timed
    #[arg(long, default_value_t = TrainBench::default().repeats, value_name = "N")]
    repeats: usize,
    #[command(flatten)]
    device: DeviceOption,
}

#[derive(Args)]
pub struct DecodeOptions {
    /// The model directory, as `att train` leaves it
    model: PathBuf,
    /// Source text, a line each, plain or .gz; `-` is the standard input. Blank lines are skipped
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Take this many lines at most
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
    /// How often the lines are translated
    #[arg(long, default_value_t = DecodeBench::default().repeats, value_name = "N")]
    repeats: usize,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(options: &Options) -> CommandResult {
    match options {
        Options::Train(options) => train(options),
        Options::Decode(options) => decode(options),
    }
}

fn train(options: &TrainOptions) -> CommandResult {
    let bench = TrainBench {
        steps: options.steps,
        warmup: options.warmup,
        repeats: options.repeats,
    };
    bench.validate()?;
    let device = options.device.device.init()?;
    let experiment = ExperimentConfig::load(&options.config)?;
    tell(&format!(
        "training {} steps to warm up, then {} times {}",
        bench.warmup, bench.repeats, bench.steps
    ));
    let speed = bench.run(&experiment, &options.train.corpora, &device)?;
    print("train", &options.device, speed)
}

fn decode(options: &DecodeOptions) -> CommandResult {
    let bench = DecodeBench {
        repeats: options.repeats,
    };
    bench.validate()?;
    check::size("limit", options.limit)?;
    let translator = options.search.load(&options.model, &options.device)?;
    let search = options
        .search
        .apply(&translator.directory().search, Some(1));
    search.validate()?;
    let lines = read_lines(&options.data, options.limit)?;
    tell(&format!(
        "translating {} lines {} times",
        lines.len(),
        bench.repeats
    ));
    let speed = bench.run(&translator, &lines, &search)?;
    print("decode", &options.device, speed)
}

/// The first lines that are not blank.
fn read_lines(path: &Path, limit: usize) -> Result<Vec<String>, Box<dyn Error>> {
    let (name, lines) = if path == Path::new("-") {
        let name = "standard input".to_string();
        (name.clone(), Lines::new(BufReader::new(io::stdin()), name)?)
    } else {
        (path.display().to_string(), Lines::open(path)?)
    };
    let mut found = Vec::new();
    for line in lines {
        let line = line?;
        if !line.trim().is_empty() {
            found.push(line);
        }
        if found.len() == limit {
            break;
        }
    }
    if found.is_empty() {
        return Err(format!("{name} has no text: give lines to translate").into());
    }
    Ok(found)
}

/// For who waits at a terminal.
fn tell(text: &str) {
    if io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}

/// What was measured, and by which program where.
#[derive(Serialize)]
struct Line<'a, T> {
    bench: &'a str,
    version: &'a str,
    device: String,
    #[serde(flatten)]
    speed: T,
}

fn print<T: Serialize>(bench: &str, device: &DeviceOption, speed: T) -> CommandResult {
    let line = Line {
        bench,
        version: env!("CARGO_PKG_VERSION"),
        device: device.device.to_string(),
        speed,
    };
    writeln!(io::stdout().lock(), "{}", serde_json::to_string(&line)?)?;
    Ok(Outcome::Done)
}
