mod measure;
mod report;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use att_model::Translator;
use att_train::{
    Comparison, Contestant, ExperimentConfig, GoldAlignments, Observer, TokenizersConfig,
    attention_variants, digest,
};
use clap::Args;

use self::measure::{Figures, measure};
use self::report::{Report, Row};
use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, read_corpus};
use crate::progress::Progress;

#[derive(Args)]
#[command(
    after_help = "Each run is a directory in DIR, and what came out of it is kept there (compared.json). The \
                  same command again goes on after an interrupt: it skips runs that are finished, and trains \
                  one that is not from its beginning."
)]
pub struct Options {
    /// Experiments: TOML files such as those in the repository's configs/; with --attentions one
    #[arg(required = true, value_name = "CONFIG")]
    configs: Vec<PathBuf>,
    /// Vary the attention of the one experiment: kinds of scorers, normalisers, windows and histories
    /// with commas between them, several at once joined by +, such as general,dot+sparsemax,local_p;
    /// all is every scorer that fits
    #[arg(long, value_delimiter = ',', value_name = "KINDS")]
    attentions: Vec<String>,
    /// Training pairs: one file with lines of `source<TAB>target`, or two parallel files; plain or
    /// .gz
    #[arg(long, num_args = 1..=2, required = true, value_name = "FILE")]
    train: Vec<PathBuf>,
    /// Validation pairs, likewise; what is compared is measured on them
    #[arg(long, num_args = 1..=2, required = true, value_name = "FILE")]
    valid: Vec<PathBuf>,
    /// The directory of the runs, and of the table: compare.json, compare.md, compare.svg
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Take this seed instead of the experiments'
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Train for this many epochs at most, instead of the experiments' max_epochs
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Train for this many steps at most, instead of the experiments' max_steps; 0 is no limit. Such a
    /// comparison is repeatable to the byte, speeds aside
    #[arg(long, value_name = "N")]
    max_steps: Option<usize>,
    /// Train each for this many minutes at most, instead of the experiments' max_minutes; 0 is no limit.
    /// How many steps that is, and so what comes out, depends on the machine and on what else it does
    #[arg(long, value_name = "MINUTES")]
    max_minutes: Option<f64>,
    /// Word alignments of the validation pairs, a line each, as `0-0 1-2 2p3` (sure, sure, possible):
    /// adds the alignment error rate. Positions are words, or characters where the tokeniser has those
    #[arg(long, value_name = "FILE")]
    gold_alignments: Option<PathBuf>,
    /// Alignments of the training pairs, likewise, for the experiments with guided_alignment
    #[arg(long, value_name = "FILE")]
    alignments: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(options: &Options) -> CommandResult {
    let device = options.device.device.init()?;
    let contestants = options.contestants()?;
    let train = read_corpus(&options.train)?;
    let valid = read_corpus(&options.valid)?;
    let mut given = BTreeMap::from([("device".into(), options.device.device.to_string())]);
    let gold = match &options.gold_alignments {
        Some(path) => {
            let gold = GoldAlignments::read(path, &valid, "validation")?;
            for contestant in &contestants {
                let TokenizersConfig {
                    shared, src, tgt, ..
                } = &contestant.config.tokenizer;
                gold.check(src, if *shared { src } else { tgt }, &valid)?;
            }
            given.insert("gold_alignments".into(), digest(gold.lines()));
            Some(gold)
        }
        None => None,
    };
    let comparison = Comparison::new(contestants, &train, &valid, &options.out, given)?
        .with_alignments(options.alignments.clone())?;
    let contestants = comparison.contestants();
    // All that may be refused is refused before the first step.
    let finished: Vec<Option<Figures>> = contestants
        .iter()
        .map(|contestant| comparison.finished(contestant))
        .collect::<Result<_, _>>()?;

    let mut progress = Progress::new()?;
    let mut report = Report::new(&contestants[0].config, &train, &valid, &options.device);
    for (i, (contestant, finished)) in contestants.iter().zip(finished).enumerate() {
        let name = &contestant.name;
        let place = format!("{name} ({} of {})", i + 1, contestants.len());
        let figures = match finished {
            Some(figures) => {
                progress.line(&format!("{place}: finished before"));
                figures
            }
            None => {
                progress.line(&place);
                let summary = comparison.train(contestant, &device, &mut progress)?;
                progress.clear();
                if summary.interrupted {
                    return Ok(Outcome::Interrupted);
                }
                let translator = Translator::load(comparison.path(contestant), &device)?;
                let metric = contestant.config.training.metric;
                let figures = measure(&translator, &valid, metric, gold.as_ref(), &summary)?;
                comparison.finish(contestant, &figures)?;
                progress.line(&format!("{place}: {figures}"));
                figures
            }
        };
        report.rows.push(Row {
            name: name.clone(),
            figures,
        });
        // Each time, so that an interrupted comparison has a table.
        report.write(&options.out)?;
        if i + 1 < contestants.len() && progress.poll().is_break() {
            return Ok(Outcome::Interrupted);
        }
    }
    drop(progress);
    write!(io::stdout().lock(), "{}", report.markdown())?;
    eprintln!(
        "the table is in {}: compare.md, compare.json, compare.svg",
        options.out.display()
    );
    Ok(Outcome::Done)
}

impl Options {
    /// What is compared, with the changes that the options make.
    fn contestants(&self) -> Result<Vec<Contestant>, Box<dyn Error>> {
        let mut contestants = Vec::new();
        for path in &self.configs {
            let name = path.file_stem().unwrap_or(path.as_os_str());
            let mut config = ExperimentConfig::load(path)?;
            self.change(&mut config);
            contestants.push(Contestant {
                name: name.to_string_lossy().into_owned(),
                config,
            });
        }
        if self.attentions.is_empty() {
            return Ok(contestants);
        }
        let [base] = &contestants[..] else {
            return Err("--attentions varies one experiment: give one file".into());
        };
        let variants = attention_variants(&base.config, &self.attentions)?;
        for left_out in &variants.left_out {
            eprintln!("{} is left out: {}", left_out.name, left_out.reason);
        }
        Ok(variants.contestants)
    }

    fn change(&self, config: &mut ExperimentConfig) {
        config.seed = self.seed.unwrap_or(config.seed);
        let training = &mut config.training;
        training.max_epochs = self.epochs.unwrap_or(training.max_epochs);
        training.max_steps = self.max_steps.unwrap_or(training.max_steps);
        training.max_minutes = self.max_minutes.unwrap_or(training.max_minutes);
    }
}
