use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A file that is written bit by bit, but is there whole or not at all: a temporary file in the same
/// folder until [`commit`](Self::commit), which flushes it to the disk and renames it over `path`.
/// Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    /// None once it is committed.
    file: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if there is no writing to the folder.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let create = || -> io::Result<_> {
            let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
            let id = std::process::id();
            let name = format!(".{}.{id}.tmp", name.to_string_lossy());
            let temporary = path.with_file_name(name);
            let file = File::create(&temporary)?;
            Ok((temporary, BufWriter::new(file)))
        };
        match create() {
            Ok((temporary, file)) => Ok(Self {
                path,
                temporary,
                file: Some(file),
            }),
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    /// Appends these bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if that fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().expect("not committed yet");
        file.write_all(bytes).map_err(|source| Error::Write {
            path: self.path.clone(),
            source,
        })
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if that fails; what was at the path is untouched then.
    pub fn commit(mut self) -> Result<()> {
        let file = self.file.as_mut().expect("not committed yet");
        let placed = file
            .flush()
            .and_then(|()| file.get_ref().sync_all())
            .and_then(|()| fs::rename(&self.temporary, &self.path));
        match placed {
            Ok(()) => {
                self.file = None;
                Ok(())
            }
            Err(source) => Err(Error::Write {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.temporary); // the first error is the one to report
        }
    }
}

/// Writes a file whole or not at all: an [`AtomicFile`] of these bytes.
///
/// # Errors
///
/// [`Error::Write`] if that fails; what was at `path` is untouched then.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path.as_ref())?;
    file.write(bytes)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.json");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.jsonl");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write(b"one").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut file = AtomicFile::create(&path).unwrap();
        file.write(b"one ").unwrap();
        file.write(b"two").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = write_atomic(&path, b"one").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_atomic(folder.path().join("no/such/folder"), b"").is_err());
    }
}
