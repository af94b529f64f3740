//! The files of a run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use att_data::write_atomic;
use att_model::ModelDirectory;

use crate::{Error, ExperimentConfig, Result, checkpoint, data, forgetting, tensorboard};

/// Writes all settings of a run, and gives them.
pub(crate) fn write_experiment(config: &ExperimentConfig, run: &Path) -> Result<String> {
    let experiment = toml::to_string(config).expect("a configuration can be TOML");
    write_atomic(run.join(EXPERIMENT), experiment.as_bytes())?;
    Ok(experiment)
}

/// The checkpoints of a run, the last one last; none where there is no run.
///
/// # Errors
///
/// If the directory can't be read.
pub fn checkpoints(run: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    checkpoint::list(run.as_ref())
}

const EXPERIMENT: &str = "experiment.toml";
pub(crate) const LAST: &str = "last.safetensors";
pub(crate) const LOG: &str = "log.jsonl";
/// What commands may add to a run.
const ADDED: [&str; 2] = ["attention.svg", "report.html"];
/// What a [`Comparison`](crate::Comparison) keeps of a run.
pub(crate) const COMPARED: &str = "compared.json";

/// The files of the run that is in a directory.
///
/// # Errors
///
/// If there are any and they may not be replaced, or if there is anything else.
pub(crate) fn old_run(run: &Path, overwrite: bool) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(run) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if data::is_cache(&name) {
            continue; // of any run that can use it
        }
        if !is_of_a_run(&name) && !is_temporary(&name) {
            return Err(Error::NotARun {
                path: run.into(),
                entry: name,
            });
        }
        files.push(entry.path());
    }
    if !files.is_empty() && !overwrite {
        return Err(Error::RunExists { path: run.into() });
    }
    Ok(files)
}

/// Whether a run writes a file of this name.
fn is_of_a_run(name: &str) -> bool {
    [EXPERIMENT, LAST, LOG, COMPARED].contains(&name)
        || ADDED.contains(&name)
        || name.starts_with(tensorboard::PREFIX)
        || ModelDirectory::FILES.contains(&name)
        || forgetting::FILES.contains(&name)
        || checkpoint::step_of(Path::new(name)).is_some()
}

/// Whether a file of this name is what a write that was killed has left ([`write_atomic`]).
pub(crate) fn is_temporary(name: &str) -> bool {
    let written = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".tmp"));
    let parts = written.and_then(|written| written.rsplit_once('.'));
    let is_ours = |file: &str| is_of_a_run(file) || data::is_cache(file);
    parts.is_some_and(|(file, process)| is_ours(file) && process.parse::<u32>().is_ok())
}

/// The log of a run, behind its last line, and locked: a process that writes to it is alone.
pub(crate) fn open_log(run: &Path) -> Result<File> {
    let path = run.join(LOG);
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(|source| Error::Write { path, source })?;
    match log.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::Busy { path: run.into() }),
        // Some file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(log),
    }
}
