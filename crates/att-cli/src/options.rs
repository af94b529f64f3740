//! Options that several commands share.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use att_core::ops::{Mixture, WeightFormat};
use att_core::{DeviceSpec, check};
use att_data::{Corpus, CorpusFiles, Shortlist};
use att_decoder::search::{
    DiverseConfig, LengthPenalty, SamplingConfig, SearchChanges, SearchConfig, StrategyConfig,
};
use att_model::{ModelDirectory, Translator};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

/// Where to compute.
#[derive(Args)]
pub struct DeviceOption {
    /// Where to compute: flex or ndarray (the CPU), wgpu or cuda (a GPU; wgpu:1 or cuda:1 is the
    /// second), as far as compiled in
    #[arg(long, default_value_t, value_parser = of_this_machine, value_name = "DEVICE")]
    pub device: DeviceSpec,
}

/// A device that is not another process's: those help in training alone.
fn of_this_machine(name: &str) -> Result<DeviceSpec, String> {
    match name
        .parse()
        .map_err(|error: att_core::Error| error.to_string())?
    {
        DeviceSpec::Remote(_) => Err("a remote device can help `att train` alone".into()),
        device => Ok(device),
    }
}

/// The token that a file holds, without the white space around it.
pub fn read_token(path: &Path) -> Result<String, String> {
    let token = fs::read_to_string(path);
    let token = token.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(token.trim().to_string())
}

/// Where to train.
#[derive(Args)]
pub struct DevicesOption {
    /// Where to compute: flex or ndarray (the CPU), wgpu or cuda (a GPU; wgpu:1 or cuda:1 is the
    /// second) or remote:IP:PORT (what `att lend` lends there, behind the first), as far as compiled in;
    /// several, such as cuda:0,cuda:1, take the batches of a step (training.accumulate) at the same
    /// time
    #[arg(
        long = "device",
        default_values_t = [DeviceSpec::default()],
        value_delimiter = ',',
        value_name = "DEVICE"
    )]
    pub devices: Vec<DeviceSpec>,
}

/// Models beside the first.
#[derive(Args, Default)]
pub struct EnsembleOptions {
    /// Ask these models too, as one with the first: they must have its target vocabulary
    #[arg(long, num_args = 1.., value_name = "MODEL")]
    pub ensemble: Vec<PathBuf>,
    /// With --ensemble: a weight for each model, the first one's first, such as 2,1,1 [default: equal]
    #[arg(
        long,
        value_delimiter = ',',
        requires = "ensemble",
        value_name = "WEIGHT"
    )]
    ensemble_weights: Vec<f64>,
    /// With --ensemble: how probabilities become one, average (their mean) or log_linear (their
    /// geometric mean)
    #[arg(long, default_value_t, requires = "ensemble", value_name = "MIXTURE")]
    mixture: Mixture,
}

impl EnsembleOptions {
    /// Loads a model, and those that join it.
    pub fn load(&self, model: &Path, on: &DeviceOption) -> Result<Translator, Box<dyn Error>> {
        let device = on.device.init()?;
        let first = Translator::load(model, &device)?;
        if self.ensemble.is_empty() {
            return Ok(first);
        }
        let mut models = vec![first];
        for model in &self.ensemble {
            models.push(Translator::load(model, &device)?);
        }
        let weights = if self.ensemble_weights.is_empty() {
            vec![1.0; models.len()]
        } else {
            self.ensemble_weights.clone()
        };
        Ok(Translator::ensemble(models, &weights, self.mixture)?)
    }
}

/// Changes to a model's own way of searching.
#[derive(Args)]
pub struct SearchOptions {
    /// Hypotheses kept at each step; 1 is greedy [default: the model's own]
    #[arg(long, value_name = "N")]
    pub beam_size: Option<usize>,
    /// Length penalty: none, gnmt:ALPHA or power:ALPHA, such as gnmt:0.6 [default: the model's own]
    #[arg(long, value_name = "PENALTY")]
    pub length_penalty: Option<LengthPenalty>,
    /// What a source token that got little attention costs (beta) [default: the model's own]
    #[arg(long, value_name = "BETA")]
    pub coverage_penalty: Option<f64>,
    /// What the scores of tokens that the output already has are divided by [default: the model's own]
    #[arg(long, value_name = "THETA")]
    pub repetition_penalty: Option<f64>,
    /// No N tokens stand in an output twice; 0 allows all [default: the model's own]
    #[arg(long, value_name = "N")]
    pub no_repeat_ngram: Option<usize>,
    /// Never put out an unknown token [default: the model's own]
    #[arg(long)]
    pub suppress_unk: bool,
    /// Least number of output tokens [default: the model's own]
    #[arg(long, value_name = "N")]
    pub min_len: Option<usize>,
    /// Least number of output tokens for each source token [default: the model's own]
    #[arg(long, value_name = "RATIO")]
    pub min_len_ratio: Option<f64>,
    /// Greatest number of output tokens [default: the model's own]
    #[arg(long, value_name = "N")]
    pub max_len: Option<usize>,
    /// Greatest number of output tokens for each source token, to which 10 are added [default: the
    /// model's own]
    #[arg(long, value_name = "RATIO")]
    pub max_len_ratio: Option<f64>,
    /// Put the source token with the greatest attention weight in the place of an unknown one [default:
    /// the model's own]
    #[arg(long)]
    pub replace_unk: bool,
    /// Lines translated together at most; changes speed, not results
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub batch_size: usize,
    #[command(flatten)]
    pub together: EnsembleOptions,
    /// Leave each source the target tokens alone that this file has for it, as `att shortlist` wrote
    /// it: faster with a large vocabulary
    #[arg(long, value_name = "FILE")]
    pub shortlist: Option<PathBuf>,
    /// What weights are rounded to on CPU: f32 (not at all), bf16 or int8; less is faster and not quite
    /// the same [default: as they are stored]
    #[arg(long, value_name = "FORMAT")]
    pub weights: Option<WeightFormat>,
}

impl SearchOptions {
    /// Loads a model to be searched with these options, and those that join it.
    pub fn load(&self, model: &Path, on: &DeviceOption) -> Result<Translator, Box<dyn Error>> {
        check::size("batch_size", self.batch_size)?;
        let mut translator = self.together.load(model, on)?;
        if let Some(path) = &self.shortlist {
            let directory = translator.directory();
            let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
            let shortlist = Shortlist::load(path, src, tgt)?;
            translator = translator.with_shortlist(shortlist)?;
        }
        let translator = translator.with_batch_size(self.batch_size);
        Ok(match self.weights {
            Some(format) => translator.with_weight_format(format),
            None => translator,
        })
    }

    /// A model's search with these changes, and with `n_best` hypotheses where it is told.
    pub fn apply(&self, search: &SearchConfig, n_best: Option<usize>) -> SearchConfig {
        let changes = SearchChanges {
            strategy: None,
            beam_size: self.beam_size,
            n_best,
            length_penalty: self.length_penalty,
            coverage_penalty: self.coverage_penalty,
            repetition_penalty: self.repetition_penalty,
            no_repeat_ngram: self.no_repeat_ngram,
            suppress_unk: self.suppress_unk.then_some(true),
            min_len: self.min_len,
            min_len_ratio: self.min_len_ratio,
            max_len: self.max_len,
            max_len_ratio: self.max_len_ratio,
            replace_unk: self.replace_unk.then_some(true),
        };
        changes.apply(search)
    }
}

/// Another strategy than a model's own.
#[derive(Args)]
pub struct StrategyOptions {
    /// Draw the outputs by their probabilities, --n-best of them a line
    #[arg(long, conflicts_with_all = ["beam_size", "diverse_groups", "diversity"])]
    sample: bool,
    /// With --sample: below 1 sharper than the model, above it flatter
    #[arg(long, value_name = "T", requires = "sample")]
    temperature: Option<f64>,
    /// With --sample: draw from the K most probable tokens; 0 is all of them
    #[arg(long, value_name = "K", requires = "sample")]
    top_k: Option<usize>,
    /// With --sample: draw from the most probable tokens that have the probability P together
    #[arg(long, value_name = "P", requires = "sample")]
    top_p: Option<f64>,
    /// With --sample: which samples; a line has the same wherever it stands
    #[arg(long, value_name = "SEED", requires = "sample")]
    seed: Option<u64>,
    /// Divide the beam into this many groups that avoid each other's tokens
    #[arg(long, value_name = "N")]
    diverse_groups: Option<usize>,
    /// With --diverse-groups: what a token costs that another group takes
    #[arg(long, value_name = "STRENGTH", requires = "diverse_groups")]
    diversity: Option<f64>,
}

impl StrategyOptions {
    /// The strategy that is told, with the model's own settings of it where those are not; else the
    /// model's own.
    pub fn apply(&self, own: StrategyConfig) -> StrategyConfig {
        if self.sample {
            let own = match own {
                StrategyConfig::Sampling(own) => own,
                _ => SamplingConfig::default(),
            };
            return StrategyConfig::Sampling(SamplingConfig {
                temperature: self.temperature.unwrap_or(own.temperature),
                top_k: self.top_k.unwrap_or(own.top_k),
                top_p: self.top_p.unwrap_or(own.top_p),
                seed: self.seed.unwrap_or(own.seed),
            });
        }
        let Some(groups) = self.diverse_groups else {
            return own;
        };
        let own = match own {
            StrategyConfig::Diverse(own) => own,
            _ => DiverseConfig::default(),
        };
        StrategyConfig::Diverse(DiverseConfig {
            groups,
            strength: self.diversity.unwrap_or(own.strength),
        })
    }
}

/// Says what a setting of the search needs that a model does not have.
pub fn check_attention(translator: &Translator, search: &SearchConfig) -> att_core::Result<()> {
    if translator.directory().model.decoder.has_attention() {
        return Ok(());
    }
    search.validate_without_attention()
}

/// Refuses the weights of layers and heads where no model has them.
pub fn check_heads(translator: &Translator) -> Result<(), String> {
    let has_heads = |directory: &ModelDirectory| directory.model.decoder.has_head_weights();
    if translator.directories().any(has_heads) {
        return Ok(());
    }
    let model = translator.directory().path().display();
    Err(format!(
        "{model} attends once a step, not in several layers or heads: leave out --heads"
    ))
}

/// Refuses a directory to write that has something in it.
pub fn not_there_yet(out: &Path) -> Result<(), String> {
    let shown = out.display();
    match fs::read_dir(out).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => Err(format!("{shown} is not empty: choose another directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// Training pairs in one or more corpora. Each `--train` is a corpus, which a list of values would not tell.
#[derive(Clone, Debug)]
pub struct TrainOption {
    /// The corpora, in the order given.
    pub corpora: Vec<CorpusFiles>,
}

impl TrainOption {
    const ID: &str = "train";
}

impl Args for TrainOption {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new(Self::ID)
                .long(Self::ID)
                .num_args(1..=2)
                .required(true)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .value_name("FILE")
                .help(
                    "Training pairs: one file with lines of `source<TAB>target`, or two parallel files; plain or \
                     .gz. Given again, it adds a corpus",
                ),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for TrainOption {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = matches.get_occurrences::<PathBuf>(Self::ID);
        let corpora = given.into_iter().flatten().map(|files| {
            let files: Vec<PathBuf> = files.cloned().collect();
            corpus_files(&files)
        });
        Ok(Self {
            corpora: corpora.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A size in bytes, such as `8G`, `512M` or `100000`: G, M and K are powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok((number * f64::from(unit)) as u64),
        _ => Err(format!(
            "'{text}' is not a size: use one such as 8G or 512M"
        )),
    }
}

/// A corpus in one file of tab-separated pairs or in two parallel files.
pub fn read_corpus(files: &[PathBuf]) -> att_data::Result<Corpus> {
    corpus_files(files).read()
}

fn corpus_files(files: &[PathBuf]) -> CorpusFiles {
    match files {
        [src, tgt] => CorpusFiles::Parallel {
            src: src.clone(),
            tgt: tgt.clone(),
        },
        files => CorpusFiles::Tsv(files.first().cloned().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_bytes("1.5G"), Ok(3 << 29));
        assert_eq!(parse_bytes("512m"), Ok(512 << 20));
        assert_eq!(parse_bytes("4096"), Ok(4096));
        for text in ["", "G", "-1G", "8 GB", "nan"] {
            assert!(parse_bytes(text).unwrap_err().contains("8G"), "{text}");
        }
    }

    #[test]
    fn what_is_not_told_is_the_models_own() {
        let options = SearchOptions {
            beam_size: None,
            length_penalty: None,
            coverage_penalty: None,
            repetition_penalty: Some(1.2),
            no_repeat_ngram: None,
            suppress_unk: false,
            min_len: None,
            min_len_ratio: None,
            max_len: Some(9),
            max_len_ratio: None,
            replace_unk: true,
            batch_size: 64,
            together: EnsembleOptions::default(),
            shortlist: None,
            weights: None,
        };
        let own = SearchConfig {
            beam_size: 4,
            n_best: 3,
            no_repeat_ngram: 3,
            suppress_unk: true,
            ..Default::default()
        };
        let applied = options.apply(&own, None);
        assert_eq!(
            applied,
            SearchConfig {
                repetition_penalty: 1.2,
                max_len: 9,
                replace_unk: true,
                ..own.clone()
            }
        );
        let applied = options.apply(&own, Some(6));
        assert_eq!((applied.n_best, applied.beam_size), (6, 6));
    }

    #[test]
    fn a_strategy_keeps_the_models_own_settings_of_it() {
        let options = StrategyOptions {
            sample: true,
            temperature: None,
            top_k: Some(3),
            top_p: None,
            seed: None,
            diverse_groups: None,
            diversity: None,
        };
        let own = SamplingConfig {
            temperature: 0.5,
            ..Default::default()
        };
        let expected = SamplingConfig { top_k: 3, ..own };
        let expected = StrategyConfig::Sampling(expected);
        let own = StrategyConfig::Sampling(own);
        assert_eq!(options.apply(own), expected);
        let nothing = StrategyOptions {
            sample: false,
            top_k: None,
            ..options
        };
        assert_eq!(nothing.apply(own), own);
        let groups = StrategyOptions {
            diverse_groups: Some(2),
            ..nothing
        };
        let expected = DiverseConfig {
            groups: 2,
            ..Default::default()
        };
        assert_eq!(groups.apply(own), StrategyConfig::Diverse(expected));
    }
}
