//! The command `att`: trains, decodes, evaluates and explains encoder-decoder models with
//! attention. `att --help` lists what it can do.

mod commands;
#[cfg(unix)]
mod dashboard;
mod options;
mod printed;
mod progress;
mod report;
mod run_files;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{
    average, bench, compare, evaluate, export_web, faithful, inspect, quantize, quickstart, score,
    serve, shortlist, train, translate, tree,
};
use printed::visible_lines;

/// Train, decode and explain encoder-decoder models with attention.
#[derive(Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Start with `att quickstart`: it trains a small model of English pronunciation in \
                  about two minutes and shows its attention."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a small model of English pronunciation and show what it does
    Quickstart(quickstart::Options),
    /// Train a model from an experiment file and a corpus
    // The name first: behind `--train a.tsv` it would be taken for a second file.
    #[command(
        override_usage = "att train <CONFIG> --train <FILE>... --valid <FILE>... --out <DIR> [OPTIONS]"
    )]
    Train(train::Options),
    /// Write a run's report again: curves, samples with their attention, settings
    Report(commands::report::Options),
    /// Train several experiments, or one with several kinds of attention, and compare them in a table
    #[command(
        override_usage = "att compare <CONFIG>... --train <FILE>... --valid <FILE>... --out <DIR> [OPTIONS]"
    )]
    Compare(compare::Options),
    /// Translate lines of text with a trained model
    Translate(translate::Options),
    /// Score a trained model on a corpus, or files of outputs against references
    #[command(
        override_usage = "att evaluate <MODEL> --data <FILE>... [OPTIONS]\n       att evaluate <OUTPUT>... --ref <FILE> [OPTIONS]"
    )]
    Evaluate(evaluate::Options),
    /// Record or draw all that the search for a translation weighs
    Tree(tree::Options),
    /// Print how probable a model finds given translations
    Score(score::Options),
    /// Describe a trained model: configuration, weights by part, vocabularies
    Inspect(inspect::Options),
    /// Ask whether a model's attention says what it used: erasure, other weights, gradients
    #[command(override_usage = "att faithful <MODEL> --data <FILE>... [OPTIONS]")]
    Faithful(faithful::Options),
    /// Write the mean of several models' weights, such as the last checkpoints of a run
    #[command(override_usage = "att average <OF>... --out <DIR> [OPTIONS]")]
    Average(average::Options),
    /// Write a trained model with smaller weights: int8 or bf16
    Quantize(quantize::Options),
    /// Find which target tokens a source may need, for faster decoding with a large vocabulary
    #[command(override_usage = "att shortlist <MODEL> --data <FILE>... --out <FILE> [OPTIONS]")]
    Shortlist(shortlist::Options),
    /// Answer requests of translations over HTTP
    #[command(override_usage = "att serve <MODEL>... [OPTIONS]")]
    Serve(serve::Options),
    /// Lend a device of this machine to training elsewhere, which names it as --device remote:IP:PORT
    #[cfg(feature = "remote")]
    Lend(commands::lend::Options),
    /// Write the studio with models as a static site, which needs no server to compute
    #[command(override_usage = "att export-web <MODEL>... <OUT> [OPTIONS]")]
    ExportWeb(export_web::Options),
    /// Measure the speed of training or decoding on this machine; one line of JSON
    #[command(subcommand)]
    Bench(bench::Options),
}

/// The exit status after an interrupt: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Quickstart(options) => quickstart::run(&options),
        Command::Train(options) => train::run(&options),
        Command::Report(options) => commands::report::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Translate(options) => translate::run(&options),
        Command::Evaluate(options) => evaluate::run(&options),
        Command::Tree(options) => tree::run(&options),
        Command::Score(options) => score::run(&options),
        Command::Inspect(options) => inspect::run(&options),
        Command::Faithful(options) => faithful::run(&options),
        Command::Average(options) => average::run(&options),
        Command::Quantize(options) => quantize::run(&options),
        Command::Shortlist(options) => shortlist::run(&options),
        Command::Serve(options) => serve::run(&options),
        #[cfg(feature = "remote")]
        Command::Lend(options) => commands::lend::run(&options),
        Command::ExportWeb(options) => export_web::run(&options),
        Command::Bench(options) => bench::run(&options),
    };
    match result {
        Ok(commands::Outcome::Done) => ExitCode::SUCCESS,
        Ok(commands::Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        // Whoever read our output has seen enough, as `head` does.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", visible_lines(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
