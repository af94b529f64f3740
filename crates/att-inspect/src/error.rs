use std::path::PathBuf;

/// What can go wrong when attention is read, parsed or exchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The number of weights is not `tgt_len * src_len`.
    #[error(
        "an attention map of {tgt_len} target by {src_len} source tokens needs {} weights, \
         found {found}: give one row of {src_len} weights for each target token",
        tgt_len * src_len
    )]
    WeightCount {
        /// Number of target tokens.
        tgt_len: usize,
        /// Number of source tokens.
        src_len: usize,
        /// Number of weights given.
        found: usize,
    },

    /// A row of the map has another length than the source.
    #[error(
        "row {row} of `weights` has {found} values, expected {src_len}: \
         each row holds one weight for each of `src_tokens`"
    )]
    RowLength {
        /// Index of the row, which is the target position.
        row: usize,
        /// Number of source tokens.
        src_len: usize,
        /// Number of weights in the row.
        found: usize,
    },

    /// A weight is negative, infinite or not a number.
    #[error(
        "the weight of target {tgt} and source {src} is {value}: weights must be finite and at least 0"
    )]
    BadWeight {
        /// Target position of the weight.
        tgt: usize,
        /// Source position of the weight.
        src: usize,
        /// The offending value.
        value: f32,
    },

    /// A node of a search tree is out of its place.
    #[error("node {node} of the search tree must stand behind its parent, one step further")]
    TreeNode {
        /// Index of the node.
        node: usize,
    },

    /// A word of an alignment line is not `source-target`.
    #[error(
        "word {position} of the alignment is `{word}`: write each link as `source-target`, \
         two positions counted from 0, such as `3-2`"
    )]
    Pharaoh {
        /// Which word of the line, counted from 1.
        position: usize,
        /// The offending word.
        word: String,
    },

    /// A line of a file of attention records is not a valid record.
    #[error(
        "{}:{line}: not an attention record: {}",
        path.display(),
        // The JSON reader sees one line, so its own line number would confuse.
        source.to_string().replace(" at line 1 column", " at column")
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the JSON reader said, with the key it stopped at.
        source: serde_json::Error,
    },

    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
