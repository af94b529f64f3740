use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use crate::{CorpusFiles, Example, ExtendedVocabulary, Pairs, Result, Tokenizer};

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

    /// The pair as ids.
    pub fn encode(&self, src: &Tokenizer, tgt: &Tokenizer) -> Example {
        Example {
            src: src.encode(&self.src),
            tgt: tgt.encode(&self.tgt),
            copy_ids: None,
        }
    }

    /// The pair as ids for a model that copies, with the vocabulary of its own source.
    pub fn encode_copying(&self, src: &Tokenizer, tgt: &Tokenizer) -> Example {
        let extended = ExtendedVocabulary::new(src, tgt, &self.src);
        Example {
            src: src.encode(&self.src),
            tgt: extended.encode(tgt, &self.tgt),
            copy_ids: Some(extended.into_src_ids()),
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
    /// Reads lines of `source<TAB>target`, gzipped or not ([`CorpusFiles::Tsv`]).
    ///
    /// # Errors
    ///
    /// As [`CorpusFiles::read`].
    pub fn from_tsv(path: impl AsRef<Path>) -> Result<Self> {
        CorpusFiles::Tsv(path.as_ref().into()).read()
    }

    /// Reads lines of `source<TAB>target` from any reader, gzipped or not; `name` stands for it
    /// in errors.
    ///
    /// # Errors
    ///
    /// As [`from_tsv`](Self::from_tsv).
    pub fn read_tsv(reader: impl BufRead + Send + 'static, name: impl AsRef<Path>) -> Result<Self> {
        let pairs = Pairs::read_tsv(reader, name)?.collect::<Result<_>>()?;
        Ok(Self { pairs })
    }

    /// Reads two files, gzipped or not ([`CorpusFiles::Parallel`]).
    ///
    /// # Errors
    ///
    /// As [`CorpusFiles::read`].
    pub fn from_parallel(src_path: impl AsRef<Path>, tgt_path: impl AsRef<Path>) -> Result<Self> {
        let (src, tgt) = (src_path.as_ref().into(), tgt_path.as_ref().into());
        CorpusFiles::Parallel { src, tgt }.read()
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
        self.pairs
            .iter()
            .map(|pair| pair.encode(src, tgt))
            .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
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
