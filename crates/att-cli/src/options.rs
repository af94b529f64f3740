//! Options that several commands share.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use att_core::ops::WeightFormat;
use att_core::{DeviceSpec, check};
use att_data::Corpus;
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
    /// What weights are rounded to on CPU: f32 (not at all), bf16 or int8; less is faster and not quite
    /// the same [default: as they are stored]
    #[arg(long, value_name = "FORMAT")]
    pub weights: Option<WeightFormat>,
}

impl SearchOptions {
    /// Loads a model to be searched with these options.
    pub fn load(&self, model: &Path, on: &DeviceOption) -> Result<Translator, Box<dyn Error>> {
        check::size("batch_size", self.batch_size)?;
        let device = on.device.init()?;
        let translator = Translator::load(model, &device)?.with_batch_size(self.batch_size);
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
