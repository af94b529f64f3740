use std::io;
use std::path::PathBuf;

/// What can go wrong with a model, its configuration or its directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that is not TOML, or has an unknown or ill-typed key.
    #[error("{place}: {message}")]
    Toml {
        /// The file, or what else was read.
        place: String,
        /// What the parser says, with line and key.
        message: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory that cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a model directory.
    #[error("{} is not a model directory: it has no {missing}; give a directory that `att train` wrote", path.display())]
    NotAModel {
        /// The directory.
        path: PathBuf,
        /// The file that is not there.
        missing: &'static str,
    },
    /// A model directory of another format.
    #[error("{} has format version {found}, this program reads {expected}: use a program of that version, or train again", path.display())]
    FormatVersion {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: u32,
        /// What can be read.
        expected: u32,
    },
    /// A file of weights that is damaged or belongs to another model.
    #[error("{} does not hold this model's weights: {reason}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A tokeniser of another size than the model's table.
    #[error("{} has {found} tokens, but the model's {side} table has {expected}: these files belong to different models", path.display())]
    Vocabulary {
        /// The tokeniser's file.
        path: PathBuf,
        /// `source` or `target`.
        side: &'static str,
        /// Tokens in the file.
        found: usize,
        /// Tokens in the model.
        expected: usize,
    },
    /// Models of an ensemble that do not predict the same tokens.
    #[error("{} and {} are different target vocabularies ({reason}): the models of an ensemble must have one", first.display(), other.display())]
    TargetVocabularies {
        /// The first model's tokeniser.
        first: PathBuf,
        /// That of another.
        other: PathBuf,
        /// Where they differ.
        reason: String,
    },
    /// A setting that does not fit, or a device that is not there.
    #[error(transparent)]
    Core(#[from] att_core::Error),
    /// A tokeniser or a text that can't be used.
    #[error(transparent)]
    Data(#[from] att_data::Error),
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
