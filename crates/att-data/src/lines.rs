use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

/// The longest line that is read, in bytes: 1 MiB.
pub const MAX_LINE_BYTES: usize = 1 << 20;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BOM: &str = "\u{feff}";

/// Lines of UTF-8 text from a file or any reader, one at a time.
///
/// Gzip is recognised by its first bytes, whatever the file is called. `\n` and `\r\n` both end
/// a line, and a byte order mark is dropped. Empty lines are kept, so that line n of what is
/// written for this input can belong to line n of the input. After an error there are no more
/// lines.
pub struct Lines {
    reader: Box<dyn BufRead + Send>,
    path: PathBuf,
    gzip: bool,
    line: usize,
    failed: bool,
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the file is missing or unreadable.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        Self::new(BufReader::new(file), path)
    }

    /// Reads from any reader; `name` stands for it in errors, for example `<stdin>`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the first read fails.
    pub fn new(reader: impl BufRead + Send + 'static, name: impl Into<PathBuf>) -> Result<Self> {
        let mut reader: Box<dyn BufRead + Send> = Box::new(reader);
        let path = name.into();
        let gzip = match reader.fill_buf() {
            Ok(start) => start.starts_with(&GZIP_MAGIC),
            Err(source) => return Err(Error::Read { path, source }),
        };
        if gzip {
            reader = Box::new(BufReader::new(MultiGzDecoder::new(reader)));
        }
        Ok(Self {
            reader,
            path,
            gzip,
            line: 0,
            failed: false,
        })
    }

    fn read_line(&mut self) -> Result<Option<String>> {
        self.line += 1;
        let mut bytes = Vec::new();
        let limit = MAX_LINE_BYTES as u64 + 1; // one more byte than a line may have
        self.reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut bytes)
            .map_err(|source| self.read_error(source))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        } else if bytes.len() > MAX_LINE_BYTES {
            return Err(Error::LineTooLong {
                path: self.path.clone(),
                line: self.line,
                limit: MAX_LINE_BYTES,
            });
        }
        let text = String::from_utf8(bytes).map_err(|_| Error::InvalidUtf8 {
            path: self.path.clone(),
            line: self.line,
        })?;
        match text.strip_prefix(BOM) {
            Some(rest) if self.line == 1 => Ok(Some(rest.to_string())),
            _ => Ok(Some(text)),
        }
    }

    fn read_error(&self, source: io::Error) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        let path = self.path.clone();
        match source.kind() {
            InvalidData | InvalidInput | UnexpectedEof if self.gzip => Error::Gzip { path, source },
            _ => Error::Read { path, source },
        }
    }
}

impl Iterator for Lines {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let line = self.read_line().transpose();
        self.failed = matches!(line, Some(Err(_)));
        line
    }
}

/// All lines of a file, as [`Lines`] reads them.
///
/// # Errors
///
/// [`Error::Read`], [`Error::Gzip`], [`Error::InvalidUtf8`], [`Error::LineTooLong`].
pub fn read_lines(path: impl AsRef<Path>) -> Result<Vec<String>> {
    Lines::open(path)?.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A folder with one file in it for each `(name, bytes)`.
    pub(crate) fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<String>> {
        Lines::new(io::Cursor::new(bytes.to_vec()), "input")?.collect()
    }

    #[test]
    fn line_ends_byte_order_marks_and_empty_lines() {
        let lines = read(b"\xef\xbb\xbfone\r\ntwo\n\n\xef\xbb\xbffour").unwrap();
        assert_eq!(lines, ["one", "two", "", "\u{feff}four"]);
        assert!(read(b"").unwrap().is_empty());
    }

    #[test]
    fn gzip_is_seen_by_its_bytes_and_may_have_several_members() {
        let bytes = [gzip(b"one\ntw"), gzip(b"o\n")].concat();
        let folder = folder(&[("plain.txt", &bytes)]);
        assert_eq!(
            read_lines(folder.path().join("plain.txt")).unwrap(),
            ["one", "two"]
        );
    }

    #[test]
    fn truncated_and_damaged_gzip_is_named() {
        let whole = gzip("a line of text\n".repeat(50).as_bytes());
        for cut in [2, 12, whole.len() / 2, whole.len() - 1] {
            let error = read(&whole[..cut]).unwrap_err();
            assert!(matches!(error, Error::Gzip { .. }), "cut at {cut}: {error}");
        }
        let mut damaged = whole.clone();
        damaged[15] ^= 0xff;
        let error = read(&damaged).unwrap_err();
        assert!(matches!(error, Error::Gzip { .. }), "{error}");
        assert!(
            error
                .to_string()
                .starts_with("input is truncated or damaged"),
            "{error}"
        );
    }

    #[test]
    fn missing_files_and_folders_are_named() {
        let folder = folder(&[]);
        let missing = folder.path().join("missing.txt");
        let error = read_lines(&missing).unwrap_err().to_string();
        assert!(error.contains("missing.txt"), "{error}");
        assert!(matches!(read_lines(folder.path()), Err(Error::Read { .. })));
    }

    #[test]
    fn invalid_utf8_names_its_line_and_ends_the_lines() {
        let mut lines =
            Lines::new(io::Cursor::new(b"one\n\xff\nthree\n".to_vec()), "x.txt").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "one");
        let error = lines.next().unwrap().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("x.txt line 2: not valid UTF-8"),
            "{error}"
        );
        assert!(lines.next().is_none());
    }

    #[test]
    fn the_longest_line_is_read_and_a_longer_one_is_not() {
        let longest = vec![b'a'; MAX_LINE_BYTES];
        assert_eq!(read(&longest).unwrap()[0].len(), MAX_LINE_BYTES);
        assert_eq!(read(&[&longest[..], b"\nb"].concat()).unwrap().len(), 2);
        let error = read(&[b"b\n", &longest[..], b"a\n"].concat()).unwrap_err();
        assert!(
            matches!(error, Error::LineTooLong { line: 2, .. }),
            "{error}"
        );
    }
}
