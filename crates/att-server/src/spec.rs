use std::path::PathBuf;
use std::str::FromStr;

use att_core::ops::{Mixture, WeightFormat};
use att_model::{ModelDirectory, Translator};
use burn::tensor::Device;

use crate::{Error, Result};

/// A model to serve: what requests call it, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSpec {
    /// What requests call it.
    pub name: String,
    /// Its directory; of an ensemble those of all its models, which have equal weights.
    pub paths: Vec<PathBuf>,
    /// The languages it translates between, for LibreTranslate's API.
    pub languages: Option<Languages>,
}

impl FromStr for ModelSpec {
    type Err = Error;

    /// Reads `DIR` or `NAME=DIR`; an ensemble is `NAME=DIR,DIR,...`. Without a name it is that of the
    /// (first) directory.
    ///
    /// # Errors
    ///
    /// If a part is missing, or the name has other characters than letters, digits, `-`, `_` and `.`.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |reason: &str| Err(Error::config(format!("model '{text}'"), reason));
        let (name, paths) = match text.split_once('=') {
            Some((name, paths)) => (Some(name), paths),
            None => (None, text),
        };
        let paths: Vec<PathBuf> = paths.split(',').map(PathBuf::from).collect();
        if paths.iter().any(|path| path.as_os_str().is_empty()) {
            return refuse("a directory is empty: write DIR, NAME=DIR or NAME=DIR,DIR");
        }
        let of_directory = || {
            let whole = std::path::absolute(&paths[0]).ok()?;
            Some(whole.file_name()?.to_str()?.to_string())
        };
        let Some(name) = name.map(String::from).or_else(of_directory) else {
            return refuse("its directory has no name: write NAME=DIR");
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(fits) {
            return refuse(
                "a name has letters, digits, '-', '_' and '.' alone: write NAME=DIR with another name",
            );
        }
        Ok(Self {
            name,
            paths,
            languages: None,
        })
    }
}

/// What a model translates between, as codes such as `en`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Languages {
    /// The language of its sources.
    pub source: String,
    /// The language of its targets.
    pub target: String,
}

/// How the directories of a [`ModelSpec`] become a translator.
#[derive(Clone, Debug)]
pub struct Loading {
    /// Where to compute.
    pub device: Device,
    /// What weights are rounded to in products on CPU; `None` is what they are stored in.
    pub weights: Option<WeightFormat>,
}

impl ModelSpec {
    /// About how many bytes it takes when it is loaded.
    pub(crate) fn loaded_size(&self, loading: &Loading) -> att_model::Result<u64> {
        let size = |path| ModelDirectory::open(path)?.loaded_size(loading.weights);
        self.paths.iter().map(size).sum()
    }

    pub(crate) fn load(&self, loading: &Loading) -> att_model::Result<Translator> {
        let load = |path| Translator::load(path, &loading.device);
        let mut models: Vec<Translator> = self.paths.iter().map(load).collect::<Result<_, _>>()?;
        let translator = if models.len() == 1 {
            models.remove(0)
        } else {
            let weights = vec![1.0; models.len()];
            Translator::ensemble(models, &weights, Mixture::Average)?
        };
        let translator = translator.with_head_weights();
        Ok(match loading.weights {
            Some(format) => translator.with_weight_format(format),
            None => translator,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_or_has_its_directorys_name() {
        let read = |text: &str| text.parse::<ModelSpec>().unwrap();
        assert_eq!(read("runs/g2p").name, "g2p");
        assert_eq!(read("runs/g2p/").name, "g2p");
        assert_eq!(read("en-de=/models/7").name, "en-de");
        let both = read("both=a,b/c");
        assert_eq!(both.paths, [PathBuf::from("a"), PathBuf::from("b/c")]);
        assert_eq!(both.name, "both");
        for text in ["", "a=", "=a", "a=b,,c", "a b=c", "ä=b", "/", "../x/.."] {
            let error = text.parse::<ModelSpec>().unwrap_err().to_string();
            assert!(error.contains("NAME=DIR"), "{error}");
        }
    }
}
