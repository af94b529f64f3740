use std::io;
use std::path::PathBuf;

use crate::Dropped;

/// What can be wrong with data, a configuration or a tokenizer file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that is missing or unreadable.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A file that could not be written; what was at `path` before is untouched.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Gzip data that ends too early or is damaged.
    #[error("{} is truncated or damaged gzip data ({source}); make or fetch it again", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        source: io::Error,
    },

    /// Bytes that are not UTF-8.
    #[error("{} line {line}: not valid UTF-8; convert the file to UTF-8", path.display())]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },

    /// A line longer than [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES).
    #[error("{} line {line}: longer than {limit} bytes; is this a text file?", path.display())]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The limit in bytes.
        limit: usize,
    },

    /// A line, or one side of it, with nothing but white space.
    #[error("{} line {line}: the {what} is empty; remove or complete the line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// `line`, `source` or `target`.
        what: &'static str,
    },

    /// A TSV line that does not have exactly one tab.
    #[error(
        "{} line {line}: expected `source<TAB>target` with one tab, found {found} tabs",
        path.display()
    )]
    Tabs {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// How many tabs the line has.
        found: usize,
    },

    /// Parallel files of different lengths.
    #[error(
        "{} has {src_lines} lines but {} has {tgt_lines}; line n of one must belong to line n of the other",
        src_path.display(), tgt_path.display()
    )]
    LineCounts {
        /// The source file.
        src_path: PathBuf,
        /// Its number of lines.
        src_lines: usize,
        /// The target file.
        tgt_path: PathBuf,
        /// Its number of lines.
        tgt_lines: usize,
    },

    /// A corpus without a single pair.
    #[error("{} has no lines; a corpus needs at least one pair", path.display())]
    NoPairs {
        /// The file.
        path: PathBuf,
    },

    /// A configuration value that cannot be used.
    #[error("`{key}` {message}")]
    Config {
        /// The key in the configuration.
        key: &'static str,
        /// What is wrong with it and what to do.
        message: String,
    },

    /// A subword vocabulary with no room for the characters of the text.
    #[error(
        "`vocab_size` is {vocab_size}, but the text has {characters} different characters; make it at least {}",
        characters + crate::special::COUNT
    )]
    VocabularyTooSmall {
        /// The configured size.
        vocab_size: usize,
        /// How many different characters the text has.
        characters: usize,
    },

    /// More text than a subword tokeniser can be trained on.
    #[error(
        "the text to train the tokenizer on has more than {limit} bytes; train it on a part of the text"
    )]
    TooMuchText {
        /// The limit in bytes.
        limit: u64,
    },

    /// Nothing to train a tokeniser on.
    #[error("the text to train the tokenizer on has no words; give it at least one line of text")]
    NoText,

    /// No example short enough to train on.
    #[error(
        "none of the {examples} examples is left to train on, {dropped}; raise `max_src_len` ({max_src_len}) or `max_tgt_len` ({max_tgt_len}), or lower other limits"
    )]
    NoExamples {
        /// How many examples there were before the limits.
        examples: usize,
        /// Why they are left out.
        dropped: Dropped,
        /// The limit on the source.
        max_src_len: usize,
        /// The limit on the target.
        max_tgt_len: usize,
    },

    /// Something that is not a whole and sound file of examples.
    #[error("{} is not usable: {message}", path.display())]
    ExampleFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// A lexical table that cannot be used.
    #[error("{} is not a usable lexical table: {message}", path.display())]
    Lexicon {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// Something that is not a whole and sound shortlist file of these vocabularies.
    #[error("{} is not a usable shortlist: {message}", path.display())]
    Shortlist {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// Something that is not a whole and sound tokenizer file.
    #[error("{} is not a usable tokenizer file: {message}", path.display())]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
