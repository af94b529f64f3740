use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use crate::{Error, Example, Lines, Result, Tokenizer};

/// A source text and its target text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The source side.
    pub src: String,
    /// The target side.
    pub tgt: String,
}

impl Pair {
    /// A pair of two texts.
    pub fn new(src: impl Into<String>, tgt: impl Into<String>) -> Self {
        Self {
            src: src.into(),
            tgt: tgt.into(),
        }
    }
}

/// A source with all its targets, see [`Corpus::group_by_source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The source side.
    pub src: String,
    /// Its different targets, in the order of the corpus.
    pub tgts: Vec<String>,
}

/// Pairs of source and target text, in the order of their files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    /// The pairs.
    pub pairs: Vec<Pair>,
}

impl Corpus {
    /// Reads lines of `source<TAB>target`, gzipped or not. The sides are kept as they are, white
    /// space included.
    ///
    /// # Errors
    ///
    /// What [`Lines`] reports, and [`Error::Empty`] for an empty line or side, [`Error::Tabs`]
    /// for a line without exactly one tab, [`Error::NoPairs`] for an empty file.
    pub fn from_tsv(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_tsv_lines(Lines::open(path)?, path)
    }

    /// Reads lines of `source<TAB>target` from any reader, gzipped or not; `name` stands for it
    /// in errors.
    ///
    /// # Errors
    ///
    /// As [`from_tsv`](Self::from_tsv).
    pub fn read_tsv(reader: impl BufRead + Send + 'static, name: impl AsRef<Path>) -> Result<Self> {
        let name = name.as_ref();
        Self::from_tsv_lines(Lines::new(reader, name)?, name)
    }

    fn from_tsv_lines(lines: Lines, path: &Path) -> Result<Self> {
        let mut pairs = Vec::new();
        for (line, text) in (1..).zip(lines) {
            let text = text?;
            not_empty(&text, path, line, "line")?;
            let tabs = text.matches('\t').count();
            let (Some((src, tgt)), 1) = (text.split_once('\t'), tabs) else {
                return Err(Error::Tabs {
                    path: path.into(),
                    line,
                    found: tabs,
                });
            };
            not_empty(src, path, line, "source")?;
            not_empty(tgt, path, line, "target")?;
            pairs.push(Pair::new(src, tgt));
        }
        Self::some(pairs, path)
    }

    /// Reads two files, gzipped or not: line n of one is the source of line n of the other.
    ///
    /// # Errors
    ///
    /// What [`Lines`] reports, and [`Error::Empty`] for an empty line, [`Error::LineCounts`] for
    /// files of different lengths, [`Error::NoPairs`] for empty files.
    pub fn from_parallel(src_path: impl AsRef<Path>, tgt_path: impl AsRef<Path>) -> Result<Self> {
        let (src_path, tgt_path) = (src_path.as_ref(), tgt_path.as_ref());
        let (src, tgt) = (full_lines(src_path)?, full_lines(tgt_path)?);
        if src.len() != tgt.len() {
            return Err(Error::LineCounts {
                src_path: src_path.into(),
                src_lines: src.len(),
                tgt_path: tgt_path.into(),
                tgt_lines: tgt.len(),
            });
        }
        let pairs = src
            .into_iter()
            .zip(tgt)
            .map(|(src, tgt)| Pair { src, tgt })
            .collect();
        Self::some(pairs, src_path)
    }

    fn some(pairs: Vec<Pair>, path: &Path) -> Result<Self> {
        if pairs.is_empty() {
            return Err(Error::NoPairs { path: path.into() });
        }
        Ok(Self { pairs })
    }

    /// The source sides.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|pair| pair.src.as_str())
    }

    /// The target sides.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|pair| pair.tgt.as_str())
    }

    /// The pairs as ids, in the same order.
    pub fn encode(&self, src: &Tokenizer, tgt: &Tokenizer) -> Vec<Example> {
        let encode = |pair: &Pair| Example {
            src: src.encode(&pair.src),
            tgt: tgt.encode(&pair.tgt),
        };
        self.pairs.iter().map(encode).collect()
    }

    /// Each different source once, with its different targets, in the order in which the
    /// sources first occur. A word with several pronunciations is one group.
    pub fn group_by_source(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut places = HashMap::new();
        for Pair { src, tgt } in &self.pairs {
            let place = *places.entry(src).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Group {
                    src: src.clone(),
                    tgts: Vec::new(),
                });
            }
            let tgts = &mut groups[place].tgts;
            if !tgts.contains(tgt) {
                tgts.push(tgt.clone());
            }
        }
        groups
    }
}

/// The lines of a file, none of them empty.
fn full_lines(path: &Path) -> Result<Vec<String>> {
    let full = |(line, text): (usize, Result<String>)| {
        let text = text?;
        not_empty(&text, path, line, "line")?;
        Ok(text)
    };
    (1..).zip(Lines::open(path)?).map(full).collect()
}

fn not_empty(text: &str, path: &Path, line: usize, what: &'static str) -> Result<()> {
    if text.trim().is_empty() {
        return Err(Error::Empty {
            path: path.into(),
            line,
            what,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::tests::{folder, gzip};

    fn tsv(bytes: &[u8]) -> Result<Corpus> {
        let folder = folder(&[("corpus.tsv", bytes)]);
        Corpus::from_tsv(folder.path().join("corpus.tsv"))
    }

    fn parallel(src: &[u8], tgt: &[u8]) -> Result<Corpus> {
        let folder = folder(&[("x.src", src), ("x.tgt", tgt)]);
        Corpus::from_parallel(folder.path().join("x.src"), folder.path().join("x.tgt"))
    }

    fn message(result: Result<Corpus>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn reads_tsv_plain_and_gzipped() {
        let text = "\u{feff}CAT\tK AE T\r\nTACK\tT AE K".as_bytes();
        let corpus = tsv(text).unwrap();
        assert_eq!(
            corpus.pairs,
            [Pair::new("CAT", "K AE T"), Pair::new("TACK", "T AE K")]
        );
        assert_eq!(tsv(&gzip(text)).unwrap(), corpus);
    }

    #[test]
    fn reads_parallel_files_plain_and_gzipped() {
        let corpus = parallel(b"a b\nc\n", b"A B\nC").unwrap();
        assert_eq!(corpus.pairs, [Pair::new("a b", "A B"), Pair::new("c", "C")]);
        assert_eq!(parallel(&gzip(b"a b\nc\n"), b"A B\nC").unwrap(), corpus);
        assert_eq!(corpus.sources().collect::<Vec<_>>(), ["a b", "c"]);
        assert_eq!(corpus.targets().collect::<Vec<_>>(), ["A B", "C"]);
    }

    #[test]
    fn bad_tsv_lines_are_named() {
        for (bytes, end) in [
            (
                &b"a\tb\n\nc\td\n"[..],
                "corpus.tsv line 2: the line is empty; remove or complete the line",
            ),
            (
                b"a\tb\n \tb\n",
                "corpus.tsv line 2: the source is empty; remove or complete the line",
            ),
            (
                b"a\t\r\n",
                "corpus.tsv line 1: the target is empty; remove or complete the line",
            ),
            (
                b"a b\n",
                "corpus.tsv line 1: expected `source<TAB>target` with one tab, found 0 tabs",
            ),
            (
                b"a\tb\tc\n",
                "corpus.tsv line 1: expected `source<TAB>target` with one tab, found 2 tabs",
            ),
            (
                b"a\tb\nc\t\xff\n",
                "corpus.tsv line 2: not valid UTF-8; convert the file to UTF-8",
            ),
            (
                b"",
                "corpus.tsv has no lines; a corpus needs at least one pair",
            ),
        ] {
            let message = message(tsv(bytes));
            assert!(message.ends_with(end), "{message}");
        }
    }

    #[test]
    fn bad_parallel_files_are_named() {
        let unequal = message(parallel(b"a\nb\nc\n", b"A\nB\n"));
        assert!(unequal.contains("x.src has 3 lines but "), "{unequal}");
        assert!(unequal.contains("x.tgt has 2;"), "{unequal}");
        let empty = message(parallel(b"a\nb\n", b"A\n  \n"));
        assert!(empty.contains("x.tgt line 2: the line is empty"), "{empty}");
        assert!(matches!(parallel(b"", b""), Err(Error::NoPairs { .. })));
        let missing = message(Corpus::from_parallel("/nowhere/a", "/nowhere/b"));
        assert!(missing.starts_with("cannot read /nowhere/a"), "{missing}");
    }

    #[test]
    fn groups_keep_first_occurrence_order_and_different_targets() {
        let corpus = tsv(b"READ\tR IY D\nA\tAH\nREAD\tR EH D\nREAD\tR IY D\nA\tEY\n").unwrap();
        let group = |src: &str, tgts: [&str; 2]| Group {
            src: src.into(),
            tgts: tgts.map(String::from).into(),
        };
        assert_eq!(
            corpus.group_by_source(),
            [
                group("READ", ["R IY D", "R EH D"]),
                group("A", ["AH", "EY"])
            ]
        );
    }
}
