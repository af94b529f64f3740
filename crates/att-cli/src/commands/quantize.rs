use std::io::{self, Write};
use std::path::PathBuf;

use att_core::DeviceSpec;
use att_core::ops::WeightFormat;
use att_eval::Metric;
use att_model::{ModelDirectory, Translator};
use clap::Args;

use super::{CommandResult, Outcome};
use crate::options::{not_there_yet, read_corpus};

#[derive(Args)]
pub struct Options {
    /// The model directory, as `att train` leaves it
    model: PathBuf,
    /// The directory to write; it must be empty, or not there yet
    out: PathBuf,
    /// What to round matrices to: int8 or bf16
    #[arg(long, default_value_t = WeightFormat::Int8, value_name = "FORMAT")]
    weights: WeightFormat,
    /// Translate these pairs with both models and print what the rounding costs: one file with lines of
    /// `source<TAB>target`, or two parallel files; plain or .gz
    #[arg(long, num_args = 1..=2, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Scores to print with --data
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "exact_match,bleu,chrf",
        value_name = "METRIC"
    )]
    metric: Vec<Metric>,
}

pub fn run(options: &Options) -> CommandResult {
    let shown = options.out.display();
    not_there_yet(&options.out)?;
    let corpus = (!options.data.is_empty())
        .then(|| read_corpus(&options.data))
        .transpose()?;
    let device = DeviceSpec::default().init()?;
    let from = ModelDirectory::open(&options.model)?;
    let model = from.load_weights(&device)?;
    let to = ModelDirectory::create(
        &options.out,
        from.model.clone(),
        from.search.clone(),
        from.src_tokenizer.clone(),
        from.tgt_tokenizer.clone(),
    )?;
    to.save_weights_as(&model, options.weights)?;

    let mut out = io::stdout().lock();
    let [before, after] = [&from, &to].map(ModelDirectory::weights_len);
    let (before, after) = (before?, after?);
    let format = from.weight_format()?;
    writeln!(
        out,
        "{shown}: {} weights, {:.1} MB, {:.2} of the {:.1} MB in {format}",
        options.weights,
        after as f64 * 1e-6,
        after as f64 / before as f64,
        before as f64 * 1e-6,
    )?;
    let Some(corpus) = corpus else {
        return Ok(Outcome::Done);
    };
    let search = &from.search;
    let found = [&from, &to].map(|directory| {
        let translator = Translator::load(directory.path(), &device)?;
        att_train::evaluate(&translator, &corpus, search, Metric::ExactMatch)
    });
    let [before, after] = found;
    let (before, after) = (before?, after?);
    writeln!(out, "metric\t{format}\t{}", options.weights)?;
    for metric in &options.metric {
        writeln!(
            out,
            "{metric}\t{:.2}\t{:.2}",
            metric.score(&before.outputs, &before.references)?,
            metric.score(&after.outputs, &after.references)?,
        )?;
    }
    let outputs = before.outputs.iter().zip(&after.outputs);
    let changed = outputs.filter(|(before, after)| before != after).count();
    writeln!(
        out,
        "outputs changed\t{changed} of {}",
        before.outputs.len()
    )?;
    Ok(Outcome::Done)
}
