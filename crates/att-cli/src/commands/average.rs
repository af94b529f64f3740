use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use att_core::DeviceSpec;
use att_model::{ModelDirectory, weights};
use clap::Args;

use super::{CommandResult, Outcome};
use crate::options::not_there_yet;

#[derive(Args)]
pub struct Options {
    /// Run and model directories, or files of weights and checkpoints in them
    #[arg(required = true)]
    of: Vec<PathBuf>,
    /// Take the last K checkpoints of each directory instead of its model
    #[arg(long, value_name = "K")]
    last: Option<usize>,
    /// The model directory to write; it must be empty, or not there yet
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(options: &Options) -> CommandResult {
    not_there_yet(&options.out)?;
    let mut files = Vec::new();
    for path in &options.of {
        files.extend(weights_of(path, options.last)?);
    }
    let from = open(&files[0])?;
    for file in &files[1..] {
        let other = open(file)?;
        if other.src_tokenizer != from.src_tokenizer || other.tgt_tokenizer != from.tgt_tokenizer {
            let (file, first) = (file.display(), files[0].display());
            return Err(format!("{file} and {first} have different tokenisers").into());
        }
    }
    let device = DeviceSpec::default().init()?;
    let model = weights::mean(from.init(0, &device)?, &files)?;
    let to = ModelDirectory::create(
        &options.out,
        from.model,
        from.search,
        from.src_tokenizer,
        from.tgt_tokenizer,
    )?;
    to.save_weights(&model)?;
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    writeln!(
        io::stdout(),
        "{}: the mean of {}",
        options.out.display(),
        names.join(", ")
    )?;
    Ok(Outcome::Done)
}

/// The model directory that a file of weights lies in.
fn open(file: &Path) -> att_model::Result<ModelDirectory> {
    ModelDirectory::open(file.parent().unwrap_or(Path::new(".")))
}

/// The files of weights that an argument stands for.
fn weights_of(path: &Path, last: Option<usize>) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let Some(last) = last else {
        let [.., weights] = ModelDirectory::FILES;
        let file = if path.is_dir() {
            path.join(weights)
        } else {
            path.into()
        };
        return Ok(vec![file]);
    };
    let mut found = att_train::checkpoints(path)?;
    if last == 0 || last > found.len() {
        let (path, n) = (path.display(), found.len());
        let reason = format!("{path} has {n} checkpoints, not {last}: see `keep` in [training]");
        return Err(reason.into());
    }
    Ok(found.split_off(found.len() - last))
}
