use std::path::{Path, PathBuf};

use att_core::{DeviceSpec, is_cpu};
use att_data::CorpusFiles;
use att_train::{Error, ExperimentConfig, ForgettingReport, NewVocabulary, Start, Trainer};
use clap::Args;

use super::{CommandResult, Outcome};
use crate::options::{DevicesOption, TrainOption, parse_bytes, read_corpus};
use crate::progress::{Display, Progress};
use crate::run_files::RunFiles;

#[derive(Args)]
pub struct Options {
    /// The experiment: a TOML file such as those in the repository's configs/
    config: PathBuf,
    #[command(flatten)]
    train: TrainOption,
    /// Validation pairs, likewise, but one corpus
    #[arg(long, num_args = 1..=2, required = true, value_name = "FILE")]
    valid: Vec<PathBuf>,
    /// The run's directory; becomes the model directory for the other commands
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Replace the run that is in the directory
    #[arg(long, conflicts_with = "resume")]
    overwrite: bool,
    /// Go on from the last checkpoint of the run that is in the directory, with the settings and data that it
    /// was begun with; begin where there is none. So the same command can be given again and again
    #[arg(long)]
    resume: bool,
    /// Begin with the tokenisers and weights of this model directory
    #[arg(long, value_name = "DIR")]
    init_from: Option<PathBuf>,
    /// With --init-from: train the experiment's tokenisers on the new data (and --replay); replace takes them,
    /// extend adds their tokens to the model's. Tokens that the model has keep their weights
    #[arg(long, value_name = "extend|replace", requires = "init_from")]
    new_vocab: Option<NewVocabulary>,
    /// Old data, as --train, to mix in with the share that `replay` says, so that less is forgotten
    #[arg(long, num_args = 1..=2, value_name = "FILE")]
    replay: Vec<PathBuf>,
    /// With --init-from: held-out data of the model's old domain, as --valid; at the end scores before and
    /// after are told and written to the run's directory (forgetting.json, forgetting.md)
    #[arg(long, num_args = 1..=2, value_name = "FILE", requires = "init_from")]
    forgetting: Vec<PathBuf>,
    /// Alignments of the training pairs, a line each as `0-0 1-2 2p3`, for guided_alignment. Positions are
    /// words, or characters where the tokeniser has those
    #[arg(long, value_name = "FILE")]
    alignments: Option<PathBuf>,
    /// Keep the tokens of the training pairs in this directory, which may be the run's, and not in memory: for
    /// a corpus larger than memory, and to begin sooner the next time
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Take the largest batches, counted in tokens, that fit into memory, instead of the experiment's
    /// batch_size: steps, a validation and a checkpoint are tried first. On a CPU alone
    #[arg(long)]
    auto_batch: bool,
    /// With --auto-batch: memory that the process may hold, such as 8G or 512M [default: what the machine has
    /// left]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, requires = "auto_batch")]
    memory: Option<u64>,
    /// Take this seed instead of the experiment's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Stop after this many minutes, instead of the experiment's max_minutes; 0 is no limit
    #[arg(long, value_name = "MINUTES")]
    max_minutes: Option<f64>,
    /// Stop after this many steps, instead of the experiment's max_steps; 0 is no limit
    #[arg(long, value_name = "N")]
    max_steps: Option<usize>,
    /// How the run shows itself
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    progress: Display,
    /// Also write the run's figures for TensorBoard into its directory
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    device: DevicesOption,
}

pub fn run(options: &Options) -> CommandResult {
    let mut config = ExperimentConfig::load(&options.config)?;
    let devices = DeviceSpec::init_all(&options.device.devices)?;
    config.training.validate_devices(devices.len())?;
    if options.auto_batch && !is_cpu(&devices[0]) {
        let device = options.device.devices[0];
        return Err(format!(
            "--auto-batch measures the memory of a CPU, not of {device}: set batch_size in the experiment instead"
        )
        .into());
    }
    config.seed = options.seed.unwrap_or(config.seed);
    if let Some(minutes) = options.max_minutes {
        config.training.max_minutes = minutes;
    }
    if let Some(steps) = options.max_steps {
        config.training.max_steps = steps;
    }
    let valid = read_corpus(&options.valid)?;
    let given = |files: &[PathBuf]| match files {
        [] => Ok(None),
        files => read_corpus(files).map(Some),
    };
    let old = given(&options.forgetting)?;
    let metric = config.training.metric;
    let start = Start {
        overwrite: options.overwrite,
        resume: options.resume,
        init_from: options.init_from.clone(),
        new_vocabulary: options.new_vocab,
        replay: given(&options.replay)?,
        alignments: options.alignments.clone(),
        cache: options.cache.clone(),
        auto_batch: options.auto_batch,
    };
    let train = &options.train.corpora;
    let trainer = Trainer::start(config, train, &valid, &options.out, &start);
    let mut trainer = trainer.map_err(|error| name_files(error, options))?;
    if options.auto_batch
        && let Some(found) = trainer.find_batch_size(&devices[0], options.memory)?
    {
        eprintln!("{found}");
    }
    let progress = Progress::of_run(options.progress, &options.out)?;
    let mut files = RunFiles::new(options.out.clone(), options.tensorboard, progress);
    let summary = trainer.run_on(&devices, &mut files);
    files.finish();
    drop(files); // a dashboard would hide what is printed
    let summary = summary?;
    eprintln!("{summary}");
    if summary.interrupted {
        eprintln!("the same command with --resume goes on from here");
        return Ok(Outcome::Interrupted);
    }
    if let (Some(old), Some(before)) = (&old, &options.init_from) {
        let models = [before.as_path(), &options.out];
        let report = ForgettingReport::new(models, [old, &valid], metric, &devices[0])?;
        report.write(&options.out)?;
        eprint!("{report}");
    }
    let out = options.out.display();
    eprintln!("the model is in {out}, its report is {out}/report.html; next: att translate {out}");
    Ok(Outcome::Done)
}

/// Says which files the data are that a run has changed.
fn name_files(error: Error, options: &Options) -> Box<dyn std::error::Error> {
    if !matches!(error, Error::OtherRun { .. }) {
        return error.into();
    }
    let list = |files: Vec<&Path>| {
        let files: Vec<_> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        files.join(" and ")
    };
    let corpora = options.train.corpora.iter();
    let train = list(corpora.flat_map(CorpusFiles::paths).collect());
    let valid = list(options.valid.iter().map(PathBuf::as_path).collect());
    format!("{error} (training data: {train}; validation data: {valid})").into()
}
