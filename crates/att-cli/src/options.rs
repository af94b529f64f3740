//! Options that several commands share.

use std::error::Error;
use std::path::{Path, PathBuf};

use att_core::ops::{Mixture, WeightFormat};
use att_core::{DeviceSpec, check};
use att_data::{Corpus, Shortlist};
use att_decoder::search::{LengthPenalty, SearchConfig};
use att_model::Translator;
use clap::Args;

/// Where to compute.
#[derive(Args)]
pub struct DeviceOption {
    /// Where to compute: flex or ndarray (the CPU), wgpu or cuda (a GPU; wgpu:1 or cuda:1 is the
    /// second), as far as compiled in
    #[arg(long, default_value_t, value_name = "DEVICE")]
    pub device: DeviceSpec,
}

/// Changes to a model's own way of searching.
#[derive(Args)]
pub struct SearchOptions {
    /// Hypotheses kept at each step; 1 is greedy [default: the model's own]
    #[arg(long, value_name = "N")]
    pub beam_size: Option<usize>,
    /// Length penalty: none, gnmt:ALPHA or power:ALPHA, such as gnmt:0.6 [default: the model's own]
    #[arg(long, value_name = "PENALTY", value_parser = parse_length_penalty)]
    pub length_penalty: Option<LengthPenalty>,
    /// Least number of output tokens [default: the model's own]
    #[arg(long, value_name = "N")]
    pub min_len: Option<usize>,
    /// Greatest number of output tokens [default: the model's own]
    #[arg(long, value_name = "N")]
    pub max_len: Option<usize>,
    /// Put the source token with the greatest attention weight in the place of an unknown one [default:
    /// the model's own]
    #[arg(long)]
    pub replace_unk: bool,
    /// Lines translated together at most; changes speed, not results
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub batch_size: usize,
    /// Decode with these models too, as one with the first: they must have its target vocabulary
    #[arg(long, num_args = 1.., value_name = "MODEL")]
    pub ensemble: Vec<PathBuf>,
    /// With --ensemble: a weight for each model, the first one's first, such as 2,1,1 [default: equal]
    #[arg(
        long,
        value_delimiter = ',',
        requires = "ensemble",
        value_name = "WEIGHT"
    )]
    pub ensemble_weights: Vec<f64>,
    /// With --ensemble: how probabilities become one, average (their mean) or log_linear (their
    /// geometric mean)
    #[arg(long, default_value_t, requires = "ensemble", value_name = "MIXTURE")]
    pub mixture: Mixture,
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
        let device = on.device.init()?;
        let mut translator = Translator::load(model, &device)?;
        if !self.ensemble.is_empty() {
            let mut models = vec![translator];
            for model in &self.ensemble {
                models.push(Translator::load(model, &device)?);
            }
            let weights = if self.ensemble_weights.is_empty() {
                vec![1.0; models.len()]
            } else {
                self.ensemble_weights.clone()
            };
            translator = Translator::ensemble(models, &weights, self.mixture)?;
        }
        if let Some(path) = &self.shortlist {
            let directory = translator.directory();
            let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
            let shortlist = Shortlist::load(path, src, tgt)?;
            translator = translator.with_shortlist(shortlist);
        }
        let translator = translator.with_batch_size(self.batch_size);
        Ok(match self.weights {
            Some(format) => translator.with_weight_format(format),
            None => translator,
        })
    }

    /// A model's search with these changes, and with `n_best` hypotheses where it is told.
    pub fn apply(&self, search: &SearchConfig, n_best: Option<usize>) -> SearchConfig {
        let n_best = n_best.unwrap_or(search.n_best);
        let beam_size = self.beam_size.unwrap_or(search.beam_size.max(n_best));
        SearchConfig {
            beam_size,
            n_best,
            length_penalty: self.length_penalty.unwrap_or(search.length_penalty),
            min_len: self.min_len.unwrap_or(search.min_len),
            max_len: self.max_len.unwrap_or(search.max_len),
            replace_unk: self.replace_unk || search.replace_unk,
            ..search.clone()
        }
    }
}

fn parse_length_penalty(text: &str) -> Result<LengthPenalty, String> {
    let unknown =
        || format!("'{text}' is not a length penalty: use none, gnmt:ALPHA or power:ALPHA");
    if text == "none" {
        return Ok(LengthPenalty::None);
    }
    let (kind, alpha) = text.split_once(':').ok_or_else(unknown)?;
    let alpha = alpha.parse().map_err(|_| unknown())?;
    match kind {
        "gnmt" => Ok(LengthPenalty::Gnmt { alpha }),
        "power" => Ok(LengthPenalty::Power { alpha }),
        _ => Err(unknown()),
    }
}

/// A corpus in one file of tab-separated pairs or in two parallel files.
pub fn read_corpus(files: &[PathBuf]) -> att_data::Result<Corpus> {
    match files {
        [src, tgt] => Corpus::from_parallel(src, tgt),
        files => Corpus::from_tsv(files.first().map_or(Path::new(""), PathBuf::as_path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_is_the_models_own() {
        let options = SearchOptions {
            beam_size: None,
            length_penalty: None,
            min_len: None,
            max_len: Some(9),
            replace_unk: true,
            batch_size: 64,
            ensemble: Vec::new(),
            ensemble_weights: Vec::new(),
            mixture: Mixture::default(),
            shortlist: None,
            weights: None,
        };
        let own = SearchConfig {
            beam_size: 4,
            n_best: 3,
            ..Default::default()
        };
        let applied = options.apply(&own, None);
        assert_eq!(
            applied,
            SearchConfig {
                max_len: 9,
                replace_unk: true,
                ..own.clone()
            }
        );
        let applied = options.apply(&own, Some(6));
        assert_eq!((applied.n_best, applied.beam_size), (6, 6));
    }
}
