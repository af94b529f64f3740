use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bpe::Bpe;
use super::unigram::Unigram;
use super::{Model, Tokenizer, TokenizerConfig};
use crate::{Error, Result, Vocabulary, atomic_file};

const FORMAT: &str = "att-tokenizer";
const VERSION: u32 = 1;

/// The beginning of a tokenizer file, which every version shares.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// A tokenizer file: JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenizerFile {
    /// [`FORMAT`].
    format: String,
    /// [`VERSION`].
    version: u32,
    config: TokenizerConfig,
    /// All tokens in the order of their ids.
    tokens: Vec<String>,
    /// Of byte pair encoding: the pairs, the first learnt first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    merges: Vec<String>,
    /// Of the unigram model: the log-probabilities of the tokens behind the special ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scores: Vec<f32>,
}

impl Tokenizer {
    /// The tokeniser as JSON, for a file or a browser.
    pub fn to_json(&self) -> String {
        let (merges, scores) = match &self.model {
            Model::Char | Model::Whitespace => (vec![], vec![]),
            Model::Bpe(bpe) => (bpe.merges(&self.vocabulary), vec![]),
            Model::Unigram(unigram) => (vec![], unigram.scores().to_vec()),
        };
        let file = TokenizerFile {
            format: FORMAT.into(),
            version: VERSION,
            config: self.config.clone(),
            tokens: self.vocabulary.tokens().to_vec(),
            merges,
            scores,
        };
        serde_json::to_string_pretty(&file).expect("strings and finite numbers can be JSON")
    }

    /// The tokeniser from its JSON; `name` stands for it in errors.
    ///
    /// # Errors
    ///
    /// [`Error::TokenizerFile`] if the JSON is cut short, is something else, has another
    /// version, or does not fit together: for example, if a special token has not its id.
    pub fn from_json(json: &str, name: impl AsRef<Path>) -> Result<Self> {
        parse(json)
            .map_err(|message| Error::TokenizerFile { path: name.as_ref().into(), message })
    }

    /// Writes the tokeniser to a file, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if that fails; what was there before is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        atomic_file::write(path.as_ref(), self.to_json().as_bytes())
    }

    /// Reads a tokeniser from a file that [`save`](Self::save) has written.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the file is missing, and those of [`from_json`](Self::from_json).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        Self::from_json(&String::from_utf8_lossy(&bytes), path)
    }
}
