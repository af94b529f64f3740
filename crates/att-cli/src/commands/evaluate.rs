use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use att_data::write_atomic;
use att_eval::{Bleu, Chrf, Metric, by_bucket, error_rates, exact_match};
use clap::Args;

use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, SearchOptions, read_corpus};

#[derive(Args)]
pub struct Options {
    /// The model directory, as `att train` leaves it
    model: PathBuf,
    /// Pairs to score on: one file with lines of `source<TAB>target`, or two parallel files; plain
    /// or .gz. A source that occurs several times is translated once, each of its targets is right
    #[arg(long, num_args = 1..=2, required = true, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// A metric to print: wer (wrong outputs), per (token edits), exact_match, bleu or chrf; may be
    /// given several times [default: all]
    #[arg(long, value_name = "METRIC")]
    metric: Vec<Metric>,
    /// Also print the error rates for each source length, in tokens
    #[arg(long)]
    by_length: bool,
    /// Write `source<TAB>output` lines to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(options: &Options) -> CommandResult {
    let mut out = io::stdout().lock();
    let translator = options.search.load(&options.model, &options.device)?;
    let corpus = read_corpus(&options.data)?;
    let search = options
        .search
        .apply(&translator.directory().search, Some(1));
    let found = att_train::evaluate(&translator, &corpus, &search, Metric::ExactMatch)?;
    let (outputs, references) = (&found.outputs, &found.references);
    if let Some(path) = &options.output {
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
    let metrics = if options.metric.is_empty() {
        Metric::ALL.to_vec()
    } else {
        options.metric.clone()
    };
    let rates = error_rates(outputs, references)?;
    for metric in metrics {
        match metric {
            Metric::Wer => writeln!(out, "WER {:.2}  (wrong outputs)", rates.item_error_rate())?,
            Metric::Per => writeln!(out, "PER {:.2}  (token edits)", rates.token_error_rate())?,
            Metric::ExactMatch => writeln!(
                out,
                "exact match {:.2}",
                exact_match(outputs, references)?.percent()
            )?,
            Metric::Bleu => {
                let score = Bleu::default().score(outputs, references)?;
                writeln!(out, "{score}  {}", score.signature)?;
            }
            Metric::Chrf => {
                let score = Chrf::default().score(outputs, references)?;
                writeln!(out, "{score}  {}", score.signature)?;
            }
        }
    }
    if options.by_length {
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
