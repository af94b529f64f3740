use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::{Corpus, Digest, Error, Lines, Pair, Result};

/// Where a corpus lies. It is read pair by pair, as often as needed, so it may be larger than memory.
///
/// ```no_run
/// use att_data::CorpusFiles;
///
/// for pair in CorpusFiles::Tsv("train.tsv.gz".into()).pairs()? {
///     println!("{}", pair?.src);
/// }
/// # Ok::<(), att_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorpusFiles {
    /// One file with lines of `source<TAB>target`, gzipped or not. The sides are kept as they are, white
    /// space included.
    Tsv(PathBuf),
    /// Two files, gzipped or not: line n of one is the source of line n of the other.
    Parallel {
        /// The sources.
        src: PathBuf,
        /// The targets.
        tgt: PathBuf,
    },
}

impl CorpusFiles {
    /// Opens the files.
    ///
    /// # Errors
    ///
    /// What [`Lines::open`] reports.
    pub fn pairs(&self) -> Result<Pairs> {
        Ok(match self {
            Self::Tsv(path) => Pairs::of_tsv(Lines::open(path)?, path),
            Self::Parallel { src, tgt } => Pairs {
                src: Numbered::new(Lines::open(src)?, src),
                tgt: Some(Numbered::new(Lines::open(tgt)?, tgt)),
                ended: false,
            },
        })
    }

    /// All pairs.
    ///
    /// # Errors
    ///
    /// Those of [`pairs`](Self::pairs) and of [`Pairs`].
    pub fn read(&self) -> Result<Corpus> {
        let pairs = self.pairs()?.collect::<Result<_>>()?;
        Ok(Corpus { pairs })
    }

    /// The files, the sources first.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Tsv(path) => vec![path],
            Self::Parallel { src, tgt } => vec![src, tgt],
        }
    }

    /// A number made of the files' bytes, not of their names.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn digest(&self) -> Result<Digest> {
        let mut all = Digest::new();
        for path in self.paths() {
            all.text(&Digest::of_file(path)?.to_string());
        }
        Ok(all)
    }
}

/// The pairs of a corpus, one at a time. After an error there are no more.
///
/// An item is an error as [`Lines`] reports it; [`Error::Empty`] for an empty line or side, [`Error::Tabs`]
/// for a line of `source<TAB>target` without exactly one tab, [`Error::LineCounts`] for parallel files of
/// different lengths, [`Error::NoPairs`] for empty files.
pub struct Pairs {
    src: Numbered,
    /// None if a line has both sides.
    tgt: Option<Numbered>,
    ended: bool,
}

impl Pairs {
    /// Lines of `source<TAB>target` from any reader; `name` stands for it in errors.
    ///
    /// # Errors
    ///
    /// What [`Lines::new`] reports.
    pub fn read_tsv(reader: impl BufRead + Send + 'static, name: impl AsRef<Path>) -> Result<Self> {
        let name = name.as_ref();
        Ok(Self::of_tsv(Lines::new(reader, name)?, name))
    }

    fn of_tsv(lines: Lines, path: &Path) -> Self {
        Self {
            src: Numbered::new(lines, path),
            tgt: None,
            ended: false,
        }
    }

    fn next_pair(&mut self) -> Result<Option<Pair>> {
        let pair = match &mut self.tgt {
            None => self.src.next_full()?.map(|text| self.src.split(&text)),
            Some(tgt) => match (self.src.next_full()?, tgt.next_full()?) {
                (Some(src), Some(tgt)) => Some(Ok(Pair { src, tgt })),
                (None, None) => None,
                _ => return Err(self.line_counts()?),
            },
        };
        if pair.is_none() && self.src.line == 0 {
            let path = self.src.path.clone();
            return Err(Error::NoPairs { path });
        }
        pair.transpose()
    }

    /// Reads on to the ends, to say how many lines there are.
    fn line_counts(&mut self) -> Result<Error> {
        let tgt = self.tgt.as_mut().expect("parallel files");
        for side in [&mut self.src, &mut *tgt] {
            while side.next_full()?.is_some() {}
        }
        Ok(Error::LineCounts {
            src_path: self.src.path.clone(),
            src_lines: self.src.line,
            tgt_path: tgt.path.clone(),
            tgt_lines: tgt.line,
        })
    }
}

impl Iterator for Pairs {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let pair = self.next_pair().transpose();
        self.ended = !matches!(pair, Some(Ok(_)));
        pair
    }
}

/// The lines of a file, none of them empty, and how many there were.
struct Numbered {
    lines: Lines,
    path: PathBuf,
    line: usize,
}

impl Numbered {
    fn new(lines: Lines, path: &Path) -> Self {
        let path = path.into();
        Self {
            lines,
            path,
            line: 0,
        }
    }

    fn next_full(&mut self) -> Result<Option<String>> {
        let Some(text) = self.lines.next().transpose()? else {
            return Ok(None);
        };
        self.line += 1;
        self.not_empty(&text, "line")?;
        Ok(Some(text))
    }

    /// The sides of a line with both.
    fn split(&self, text: &str) -> Result<Pair> {
        let tabs = text.matches('\t').count();
        let (Some((src, tgt)), 1) = (text.split_once('\t'), tabs) else {
            return Err(Error::Tabs {
                path: self.path.clone(),
                line: self.line,
                found: tabs,
            });
        };
        self.not_empty(src, "source")?;
        self.not_empty(tgt, "target")?;
        Ok(Pair::new(src, tgt))
    }

    fn not_empty(&self, text: &str, what: &'static str) -> Result<()> {
        if text.trim().is_empty() {
            return Err(Error::Empty {
                path: self.path.clone(),
                line: self.line,
                what,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::tests::{folder, gzip};

    #[test]
    fn a_corpus_ends_at_its_first_bad_line_and_can_be_read_again() {
        let folder = folder(&[("pairs.tsv", b"a\tb\nc\td\n\ne\tf\n")]);
        let files = CorpusFiles::Tsv(folder.path().join("pairs.tsv"));
        for _ in 0..2 {
            let pairs: Vec<_> = files.pairs().unwrap().collect();
            assert_eq!(pairs.len(), 3);
            assert_eq!(*pairs[1].as_ref().unwrap(), Pair::new("c", "d"));
            let error = pairs[2].as_ref().unwrap_err().to_string();
            assert!(error.contains("line 3"), "{error}");
        }
        assert!(files.read().is_err());
    }

    #[test]
    fn the_digest_is_that_of_the_bytes_and_not_of_the_names() {
        let folder = folder(&[
            ("a", b"a\n"),
            ("b", b"b\n"),
            ("other name", b"a\n"),
            ("zipped", &gzip(b"a\n")),
        ]);
        let digest = |src: &str, tgt: &str| {
            let [src, tgt] = [src, tgt].map(|name| folder.path().join(name));
            CorpusFiles::Parallel { src, tgt }.digest().unwrap()
        };
        assert_eq!(digest("a", "b"), digest("other name", "b"));
        assert_ne!(digest("a", "b"), digest("b", "a"));
        assert_ne!(digest("a", "b"), digest("zipped", "b"));
    }
}
