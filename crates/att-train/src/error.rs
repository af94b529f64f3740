use std::io;
use std::path::PathBuf;

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An experiment that is not TOML, or has an unknown or ill-typed key.
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
    /// The directory has a run in it.
    #[error(
        "{} has a run in it: choose another directory, or allow overwriting (`--overwrite` on the command line)",
        path.display()
    )]
    RunExists {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds something that no run writes.
    #[error(
        "{} holds '{entry}', which is not part of a run: it stays as it is, choose another directory",
        path.display()
    )]
    NotARun {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        entry: String,
    },
    /// A comparison's run that is of other settings or data, or that is no comparison's.
    #[error("{} {reason}", path.display())]
    Compared {
        /// The run's directory, or a file in it.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The loss or the gradient left the numbers; what was saved before is untouched.
    #[error(
        "training diverged at step {step} (loss {loss}, gradient norm {grad_norm}): lower the learning rate, or set clip_norm; what was saved before is kept"
    )]
    Diverged {
        /// The step.
        step: usize,
        /// The loss.
        loss: f32,
        /// The norm of the gradient.
        grad_norm: f32,
    },
    /// A setting that does not fit.
    #[error(transparent)]
    Core(#[from] att_core::Error),
    /// A setting of tokenisers or batches that can't be used.
    #[error("{table}: {source}")]
    Setting {
        /// Where it stands in the experiment, such as `tokenizer.src`.
        table: &'static str,
        /// What is wrong and what to do.
        source: att_data::Error,
    },
    /// A corpus or tokeniser that can't be used.
    #[error(transparent)]
    Data(#[from] att_data::Error),
    /// A model or its directory that can't be used.
    #[error(transparent)]
    Model(#[from] att_model::Error),
    /// Outputs that can't be scored.
    #[error(transparent)]
    Eval(#[from] att_eval::Error),
}

impl Error {
    /// Says in which table of the experiment the setting stands.
    pub(crate) fn within(table: &'static str) -> impl Fn(att_data::Error) -> Self {
        move |source| Self::Setting { table, source }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
