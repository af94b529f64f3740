use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A file that is read at given places, by any thread.
#[derive(Debug)]
pub(crate) struct PositionedFile {
    path: PathBuf,
    #[cfg(unix)]
    file: File,
    /// Its position is shared, so one reads at a time.
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
}

impl PositionedFile {
    pub(crate) fn new(file: File, path: &Path) -> Self {
        Self {
            path: path.into(),
            #[allow(clippy::useless_conversion)] // into the mutex, where there is one
            file: file.into(),
        }
    }

    /// Fills the buffer from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], also where the file ends before.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.read(buffer, offset).map_err(|source| Error::Read {
            path: self.path.clone(),
            source,
        })
    }

    #[cfg(unix)]
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.read_exact_at(buffer, offset)
    }

    #[cfg(not(unix))]
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let poisoned = std::sync::PoisonError::into_inner;
        let mut file = self.file.lock().unwrap_or_else(poisoned);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }
}
