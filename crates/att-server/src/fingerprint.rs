use std::fs::Metadata;
use std::path::PathBuf;
use std::time::SystemTime;

use att_model::ModelDirectory;

/// What tells whether the files of a model are other ones than before: of each its time, length and, where
/// there are such numbers, its inode; none of a file that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(Vec<Option<(SystemTime, u64, u64)>>);

impl Fingerprint {
    /// Of the model directories.
    pub(crate) fn of(directories: &[PathBuf]) -> Self {
        let files = directories
            .iter()
            .flat_map(|directory| ModelDirectory::FILES.map(|file| directory.join(file)));
        let of_file = |path: PathBuf| {
            let found = path.metadata().ok()?;
            Some((found.modified().ok()?, found.len(), inode(&found)))
        };
        Self(files.map(of_file).collect())
    }
}

#[cfg(unix)]
fn inode(file: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(not(unix))]
fn inode(_file: &Metadata) -> u64 {
    0
}
