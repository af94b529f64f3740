use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use crate::positioned::PositionedFile;
use crate::{AtomicFile, Error, Example, Result};

/// Examples by their number. Their lengths are in memory, 12 bytes an example; their ids are there too, or in
/// a file, from which each is read when it is asked for.
///
/// ```
/// use att_data::{Example, Examples};
///
/// let example = Example { src: vec![4, 5], tgt: vec![6], ..Example::default() };
/// let examples = Examples::from(vec![example.clone()]);
/// assert_eq!((examples.len(), examples.src_len(0)), (1, 2));
/// assert_eq!(examples.get(0)?, example);
/// # Ok::<(), att_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Examples {
    index: Index,
    ids: Ids,
}

/// Where examples lie among all ids: each is its source, its target, and what its source is to copy.
#[derive(Clone, Debug)]
struct Index {
    copies: bool,
    /// Where each begins, and behind the last.
    starts: Vec<u64>,
    /// The length of each source, and [`DUPLICATE`].
    src_lens: Vec<u32>,
}

/// Marks an example that was there before. No line is as long.
const DUPLICATE: u32 = 1 << 31;

#[derive(Clone, Debug)]
enum Ids {
    Memory(Arc<Vec<u32>>),
    File(Arc<PositionedFile>),
}

impl Index {
    fn new(copies: bool) -> Self {
        Self {
            copies,
            starts: vec![0],
            src_lens: Vec::new(),
        }
    }

    fn push(&mut self, src: u32, tgt: u32) {
        let src_len = u64::from(src & !DUPLICATE);
        let ids = src_len * (1 + u64::from(self.copies)) + u64::from(tgt);
        self.starts.push(self.ids() + ids);
        self.src_lens.push(src);
    }

    /// All ids.
    fn ids(&self) -> u64 {
        self.starts[self.src_lens.len()]
    }

    fn src_len(&self, i: usize) -> usize {
        (self.src_lens[i] & !DUPLICATE) as usize
    }

    fn tgt_len(&self, i: usize) -> usize {
        let ids = (self.starts[i + 1] - self.starts[i]) as usize;
        ids - self.src_len(i) * (1 + usize::from(self.copies))
    }
}

impl Examples {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.index.src_lens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of a source, special tokens not counted.
    ///
    /// # Panics
    ///
    /// If there is no example `i`.
    pub fn src_len(&self, i: usize) -> usize {
        self.index.src_len(i)
    }

    /// The length of a target, likewise.
    ///
    /// # Panics
    ///
    /// If there is no example `i`.
    pub fn tgt_len(&self, i: usize) -> usize {
        self.index.tgt_len(i)
    }

    /// Whether it was pushed as one that was there before ([`ExampleWriter::push`]).
    ///
    /// # Panics
    ///
    /// If there is no example `i`.
    pub fn is_duplicate(&self, i: usize) -> bool {
        self.index.src_lens[i] & DUPLICATE != 0
    }

    /// An example.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if its file can't be read.
    ///
    /// # Panics
    ///
    /// If there is no example `i`.
    pub fn get(&self, i: usize) -> Result<Example> {
        let [start, end] = [self.index.starts[i], self.index.starts[i + 1]];
        let mut ids = match &self.ids {
            Ids::Memory(ids) => ids[start as usize..end as usize].to_vec(),
            Ids::File(file) => {
                let mut bytes = vec![0; 4 * (end - start) as usize];
                file.read_at(&mut bytes, MAGIC.len() as u64 + 4 * start)?;
                numbers(&bytes).collect()
            }
        };
        let (src_len, tgt_len) = (self.src_len(i), self.tgt_len(i));
        let copy_ids = ids.split_off(src_len + tgt_len);
        let tgt = ids.split_off(src_len);
        Ok(Example {
            src: ids,
            tgt,
            copy_ids: self.index.copies.then_some(copy_ids),
        })
    }

    /// Opens a file that an [`ExampleWriter`] has made, and reads it once to its end to compare its checksum;
    /// also the text that it was given.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if it can't be read, [`Error::ExampleFile`] if it is truncated, damaged or no such file.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, String)> {
        let path = path.as_ref();
        let read = |source| Error::Read {
            path: path.into(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        let len = file.metadata().map_err(read)?.len();
        let file = PositionedFile::new(file, path);
        let refuse = |message: &str| Error::ExampleFile {
            path: path.into(),
            message: message.into(),
        };
        let least = (MAGIC.len() + TAIL) as u64;
        let mut magic = [0; MAGIC.len()];
        if len < least || file.read_at(&mut magic, 0).is_err() || magic != *MAGIC {
            return Err(refuse("it is no file of examples, or of another version"));
        }
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        let end = len - 4;
        let mut at = 0;
        while at < end {
            let part = &mut buffer[..(end - at).min(1 << 20) as usize];
            file.read_at(part, at)?;
            hasher.update(part);
            at += part.len() as u64;
        }
        let mut tail = [0; TAIL];
        file.read_at(&mut tail, len - TAIL as u64)?;
        let [about_len, crc32] = [&tail[..4], &tail[4..]].map(|bytes| numbers(bytes).next());
        if crc32 != Some(hasher.finalize()) {
            return Err(refuse("it is truncated or damaged: its checksum differs"));
        }
        // From here on it is as it was written.
        let about_len = u64::from(about_len.unwrap_or(0));
        let about_at = len - TAIL as u64 - about_len;
        let mut about = vec![0; about_len as usize];
        file.read_at(&mut about, about_at)?;
        let About {
            copies,
            examples,
            about,
        } = serde_json::from_slice(&about).map_err(|error| refuse(&error.to_string()))?;
        let mut index = Index::new(copies);
        let mut at = about_at - 8 * examples;
        while at < about_at {
            let part = &mut buffer[..(about_at - at).min(1 << 20) as usize];
            file.read_at(part, at)?;
            let mut lens = numbers(part);
            while let (Some(src), Some(tgt)) = (lens.next(), lens.next()) {
                index.push(src, tgt);
            }
            at += part.len() as u64;
        }
        let ids = Ids::File(Arc::new(file));
        Ok((Self { index, ids }, about))
    }
}

/// All in memory. They have `copy_ids` if all of them have.
impl From<Vec<Example>> for Examples {
    fn from(examples: Vec<Example>) -> Self {
        let copies = examples.iter().all(|example| example.copy_ids.is_some());
        let mut writer = ExampleWriter::in_memory(copies && !examples.is_empty());
        for example in &examples {
            let pushed = writer.push(example, false);
            pushed.expect("memory takes all");
        }
        writer.finish("").expect("memory takes all")
    }
}

const MAGIC: &[u8; 8] = b"attids\0\x01";

/// The bytes at the end: the length of the text and the checksum.
const TAIL: usize = 8;

/// The JSON in a file, for which its length is at the end.
#[derive(Serialize, Deserialize)]
struct About {
    copies: bool,
    examples: u64,
    about: String,
}

/// Collects [`Examples`], in memory or into a file, which is there whole or not at all:
///
/// | bytes | what |
/// | --- | --- |
/// | 8 | `attids`, 0, and the version 1 |
/// | 4 each | the ids of all examples: of each the source, the target, and its `copy_ids` if there are any |
/// | 8 each example | length of the source (its highest bit: a duplicate), length of the target |
/// | | JSON: whether there are `copy_ids`, how many examples, and a text of the caller |
/// | 4 | the length of the JSON |
/// | 4 | CRC-32 of everything before |
///
/// Numbers are unsigned, of 32 bits, the lowest byte first.
pub struct ExampleWriter {
    index: Index,
    sink: Sink,
}

enum Sink {
    Memory(Vec<u32>),
    File {
        file: AtomicFile,
        path: PathBuf,
        hasher: Hasher,
    },
}

impl ExampleWriter {
    /// - `copies`: whether the examples have `copy_ids`
    pub fn in_memory(copies: bool) -> Self {
        Self {
            index: Index::new(copies),
            sink: Sink::Memory(Vec::new()),
        }
    }

    /// Begins a file.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub fn create(path: impl Into<PathBuf>, copies: bool) -> Result<Self> {
        let path = path.into();
        let mut sink = Sink::File {
            file: AtomicFile::create(&path)?,
            path,
            hasher: Hasher::new(),
        };
        sink.write(MAGIC)?;
        Ok(Self {
            index: Index::new(copies),
            sink,
        })
    }

    /// Appends an example.
    ///
    /// - `duplicate`: whether it was there before; such examples have a number like others, but are not
    ///   trained on
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    ///
    /// # Panics
    ///
    /// If it has no `copy_ids` where the others have, or they are not as many as its source's ids.
    pub fn push(&mut self, example: &Example, duplicate: bool) -> Result<()> {
        let Example { src, tgt, copy_ids } = example;
        let copy_ids = match (self.index.copies, copy_ids) {
            (true, Some(ids)) if ids.len() == src.len() => &ids[..],
            (true, _) => panic!("examples of a model that copies have an id for each source token"),
            (false, _) => &[],
        };
        let mark = if duplicate { DUPLICATE } else { 0 };
        self.index.push(src.len() as u32 | mark, tgt.len() as u32);
        match &mut self.sink {
            Sink::Memory(ids) => [src, tgt, copy_ids].map(|part| ids.extend_from_slice(part)),
            sink => {
                let ids = [src, tgt, copy_ids].into_iter().flatten();
                let bytes: Vec<u8> = ids.flat_map(|id| id.to_le_bytes()).collect();
                return sink.write(&bytes);
            }
        };
        Ok(())
    }

    /// Puts the file in its place, if it is one.
    ///
    /// - `about`: a text to find in the file again
    ///
    /// # Errors
    ///
    /// [`Error::Write`]; then there is no such file.
    pub fn finish(self, about: &str) -> Result<Examples> {
        let Self { index, mut sink } = self;
        if let Sink::File { .. } = sink {
            let mut bytes = Vec::with_capacity(1 << 16);
            for i in 0..index.src_lens.len() {
                bytes.extend(index.src_lens[i].to_le_bytes());
                bytes.extend((index.tgt_len(i) as u32).to_le_bytes());
                if bytes.len() == 1 << 16 {
                    sink.write(&bytes)?;
                    bytes.clear();
                }
            }
            let about = serde_json::to_vec(&About {
                copies: index.copies,
                examples: index.src_lens.len() as u64,
                about: about.into(),
            })
            .expect("a text can be JSON");
            bytes.extend(&about);
            bytes.extend((about.len() as u32).to_le_bytes());
            sink.write(&bytes)?;
        }
        let ids = match sink {
            Sink::Memory(mut ids) => {
                ids.shrink_to_fit();
                Ids::Memory(Arc::new(ids))
            }
            Sink::File {
                mut file,
                path,
                hasher,
            } => {
                file.write(&hasher.finalize().to_le_bytes())?;
                file.commit()?;
                let opened = File::open(&path).map_err(|source| Error::Read {
                    path: path.clone(),
                    source,
                })?;
                Ids::File(Arc::new(PositionedFile::new(opened, &path)))
            }
        };
        Ok(Examples { index, ids })
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Self::File { file, hasher, .. } = self {
            hasher.update(bytes);
            file.write(bytes)?;
        }
        Ok(())
    }
}

/// Numbers of 32 bits, the lowest byte first.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|&bytes| u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn example(i: u32, copies: bool) -> Example {
        Example {
            src: (4..4 + i % 5).collect(),
            tgt: vec![7 + i; 1 + i as usize % 3],
            copy_ids: copies.then(|| vec![9 + i; i as usize % 5]),
        }
    }

    fn fill(mut writer: ExampleWriter, copies: bool) -> Examples {
        for i in 0..20 {
            writer.push(&example(i, copies), i == 7).unwrap();
        }
        writer.finish("about it").unwrap()
    }

    #[test]
    fn a_file_has_what_memory_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples");
        for copies in [false, true] {
            let memory = fill(ExampleWriter::in_memory(copies), copies);
            let written = fill(ExampleWriter::create(&path, copies).unwrap(), copies);
            let (opened, about) = Examples::open(&path).unwrap();
            assert_eq!(about, "about it");
            for examples in [memory, written, opened] {
                assert_eq!(examples.len(), 20);
                for i in 0..20 {
                    let expected = example(i as u32, copies);
                    assert_eq!(examples.src_len(i), expected.src.len());
                    assert_eq!(examples.tgt_len(i), expected.tgt.len());
                    assert_eq!(examples.is_duplicate(i), i == 7);
                    assert_eq!(examples.get(i).unwrap(), expected);
                }
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_list_has_copies_if_all_have() {
        let all = Examples::from(vec![example(3, true), example(4, true)]);
        assert_eq!(all.get(1).unwrap(), example(4, true));
        let some = Examples::from(vec![example(3, true), example(4, false)]);
        assert_eq!(some.get(0).unwrap(), example(3, false));
        assert!(Examples::from(Vec::new()).is_empty());
    }

    #[test]
    fn any_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples");
        fill(ExampleWriter::create(&path, false).unwrap(), false);
        let whole = fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = Examples::open(&path).unwrap_err();
            assert!(matches!(error, Error::ExampleFile { .. }), "{error}");
            assert!(error.to_string().contains("examples"), "{error}");
        };
        for cut in [0, 7, 8, 15, whole.len() / 2, whole.len() - 1] {
            refused(&whole[..cut]);
        }
        for i in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[i] ^= 1;
            refused(&damaged);
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(Examples::open(&path), Err(Error::Read { .. })));
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_and_no_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples");
        let mut writer = ExampleWriter::create(&path, false).unwrap();
        writer.push(&example(1, false), false).unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let nowhere = ExampleWriter::create(path.join("nowhere"), false);
        assert!(matches!(nowhere.err(), Some(Error::Write { .. })));
    }

    #[test]
    fn a_file_that_loses_its_end_later_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples");
        let examples = fill(ExampleWriter::create(&path, false).unwrap(), false);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(20).unwrap();
        let error = examples.get(15).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error}");
    }
}
