use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use att_data::write_atomic;
use att_eval::{Metric, Statistics, by_bucket, error_rates};
use clap::Args;

use super::Options;
use crate::commands::{CommandResult, Outcome};
use crate::options::read_corpus;

/// What is asked of a model.
#[derive(Args)]
#[command(next_help_heading = "A model")]
pub struct ModelOptions {
    /// Pairs to score a model on: one file with lines of `source<TAB>target`, or two parallel
    /// files; plain or .gz. A source that occurs several times is translated once, each of its
    /// targets is right
    #[arg(long, num_args = 1..=2, conflicts_with = "references", value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Also print the error rates for each source length, in tokens
    #[arg(long, requires = "data")]
    by_length: bool,
    /// Write `source<TAB>output` lines to this file
    #[arg(long, requires = "data", value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What is printed unless told.
const DEFAULT: [Metric; 5] = [
    Metric::Wer,
    Metric::Per,
    Metric::ExactMatch,
    Metric::Bleu,
    Metric::Chrf,
];

pub fn run(model: &Path, options: &Options) -> CommandResult {
    let metrics = if options.metric.is_empty() {
        DEFAULT.to_vec()
    } else {
        let names = options.metric.iter();
        names.map(|name| name.parse()).collect::<Result<_, _>>()?
    };
    let mut out = io::stdout().lock();
    let translator = options.search.load(model, &options.device)?;
    let corpus = read_corpus(&options.model.data)?;
    let search = options
        .search
        .apply(&translator.directory().search, Some(1));
    let found = att_train::evaluate(&translator, &corpus, &search, Metric::ExactMatch)?;
    let (outputs, references) = (&found.outputs, &found.references);
    if let Some(path) = &options.model.output {
        let pairs = found.sources.iter().zip(outputs);
        let lines: String = pairs.map(|(src, out)| format!("{src}\t{out}\n")).collect();
        write_atomic(path, lines.as_bytes())?;
    }

    writeln!(
        out,
        "{} sources, beam size {}, length penalty {}",
        found.sources.len(),
        search.beam_size,
        search.length_penalty
    )?;
    for metric in metrics {
        match metric {
            Metric::Wer => {
                let wrong = metric.score(outputs, references)?;
                writeln!(out, "WER {wrong:.2}  (wrong outputs)")?;
            }
            Metric::Per => {
                let edits = metric.score(outputs, references)?;
                writeln!(out, "PER {edits:.2}  (token edits)")?;
            }
            Metric::ExactMatch => {
                writeln!(out, "exact match {:.2}", metric.score(outputs, references)?)?;
            }
            _ => {
                let metric = metric.corpus_metric();
                let statistics = Statistics::new(metric.as_ref(), outputs, references)?;
                let detail = statistics
                    .detail()
                    .map_or(String::new(), |text| format!(" {text}"));
                writeln!(
                    out,
                    "{} = {:.2}{detail}  {}",
                    metric.name(),
                    statistics.score(),
                    statistics.signature()
                )?;
            }
        }
    }
    if options.model.by_length {
        let tokenizer = &translator.directory().src_tokenizer;
        let lengths: Vec<usize> = found
            .sources
            .iter()
            .map(|source| tokenizer.encode(source).len())
            .collect();
        let buckets: BTreeMap<usize, _> = by_bucket(outputs, references, &lengths, error_rates)?;
        writeln!(out, "length\tsources\tWER\tPER")?;
        for (length, rates) in buckets {
            writeln!(
                out,
                "{length}\t{}\t{:.2}\t{:.2}",
                rates.items,
                rates.item_error_rate(),
                rates.token_error_rate()
            )?;
        }
    }
    Ok(Outcome::Done)
}
