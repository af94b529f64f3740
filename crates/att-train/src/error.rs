use std::io;
use std::path::PathBuf;

use crate::Skipped;

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
    /// A device of another process no longer answers.
    #[error(
        "{device} no longer answers ({reason}): lend it again and go on from the last checkpoint (`--resume` on the command line)"
    )]
    DeviceLost {
        /// Its name.
        device: String,
        /// What burn says.
        reason: String,
    },
    /// A checkpoint that is damaged, of another format, or another model's.
    #[error("{} is no usable checkpoint: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No checkpoint to resume from.
    #[error("{} has a run in it without a usable checkpoint{}: `--overwrite` begins again", path.display(), damaged.iter().map(|one| format!("; {one}")).collect::<String>())]
    NoCheckpoint {
        /// The run's directory.
        path: PathBuf,
        /// What is wrong with each that is there.
        damaged: Vec<String>,
    },
    /// A comparison's run that is of other settings or data, or that is no comparison's.
    #[error("{} {reason}", path.display())]
    Compared {
        /// The run's directory, or a file in it.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A file of alignments that is not one of the pairs.
    #[error("{} {reason}", path.display())]
    Alignments {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The run in the directory is of other settings or data.
    #[error(
        "the run in {} can't go on, because this one is another: {}; undo that, or begin a run in another directory",
        path.display(),
        changes.join("; ")
    )]
    OtherRun {
        /// The run's directory.
        path: PathBuf,
        /// What differs, a clause each.
        changes: Vec<String>,
    },
    /// Another process trains in the directory.
    #[error("another process trains in {}: wait for it, or choose another directory", path.display())]
    Busy {
        /// The run's directory.
        path: PathBuf,
    },
    /// A line of a run's log that is no event.
    #[error("{} is damaged at line {line}: {reason}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Too many steps in a row were skipped; what was saved before is untouched.
    #[error(transparent)]
    Diverged(Box<Diverged>),
    /// A state with weights that are not finite is not saved; what was saved before is untouched.
    #[error(
        "training diverged: at step {step} {} not finite: lower the learning rate, or set clip_norm; \
         what was saved before is kept",
        some(names)
    )]
    NotFinite {
        /// The step.
        step: usize,
        /// The tensors that have such numbers.
        names: Vec<String>,
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

/// Why training could not go on.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "training diverged: {} in a row were skipped, the last, step {step} at the learning rate {lr:.1e}, for {} (loss {loss}, gradient norm {grad_norm}){}: lower the learning rate, or set clip_norm; what was saved before is kept",
    steps(last.in_a_row),
    last.reason,
    if last.not_finite.is_empty() { String::new() } else { format!("; {} not finite", some(&last.not_finite)) }
)]
pub struct Diverged {
    /// The last step.
    pub step: usize,
    /// Its learning rate.
    pub lr: f64,
    /// Its loss.
    pub loss: f32,
    /// The norm of its gradient.
    pub grad_norm: f32,
    /// Why it was skipped.
    pub last: Skipped,
}

fn steps(n: usize) -> String {
    match n {
        1 => "1 step".into(),
        n => format!("{n} steps"),
    }
}

/// The first names, and how many there are, as a subject with its verb.
fn some(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("{name} is"),
        [first, rest @ ..] => format!("{first} and {} more are", rest.len()),
    }
}

impl Error {
    /// Says in which table of the experiment the setting stands.
    pub(crate) fn within(table: &'static str) -> impl Fn(att_data::Error) -> Self {
        move |source| Self::Setting { table, source }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
