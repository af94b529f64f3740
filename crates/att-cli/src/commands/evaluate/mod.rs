mod files;
mod model;
mod named_metric;
mod report;

use std::path::PathBuf;

use clap::Args;

use super::CommandResult;
use crate::options::{DeviceOption, SearchOptions};

#[derive(Args)]
pub struct Options {
    /// A model directory, as `att train` leaves it; or with --ref, files of outputs, a line each,
    /// plain or .gz, the baseline first
    #[arg(required = true, value_name = "MODEL|OUTPUT")]
    inputs: Vec<PathBuf>,
    /// A metric to print; may be given several times or with commas. Of a model [default: the first
    /// five]: wer (wrong outputs), per (token edits), exact_match, bleu, chrf, chrf++, ter, cer,
    /// rouge1, rouge2, rougeL. Of files [default: bleu, chrf]: the same, but wer (word edits) and
    /// per (words wrong wherever they stand), besides ser (wrong lines) and aer (word alignments)
    #[arg(long, value_delimiter = ',', value_name = "METRIC")]
    metric: Vec<String>,
    #[command(flatten)]
    model: model::ModelOptions,
    #[command(flatten)]
    files: files::FileOptions,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(options: &Options) -> CommandResult {
    if !options.files.references.is_empty() {
        return files::run(options);
    }
    match (&options.inputs[..], options.model.data.is_empty()) {
        ([model], false) => model::run(model, options),
        (_, true) => Err(
            "nothing to score against: give --data with pairs for a model, or --ref with \
                          references for files of outputs"
                .into(),
        ),
        (inputs, false) => {
            let n = inputs.len();
            Err(
                format!("--data takes one model, and there are {n}: give them one after another")
                    .into(),
            )
        }
    }
}
