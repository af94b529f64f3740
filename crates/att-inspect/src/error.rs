use std::path::PathBuf;

use crate::View;

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

    /// There is not one word number a token.
    #[error(
        "`{key}` has {found} numbers for {n_tokens} tokens: give each token the number of its word"
    )]
    WordCount {
        /// `src_words` or `tgt_words`.
        key: &'static str,
        /// Number of tokens.
        n_tokens: usize,
        /// Number of words given.
        found: usize,
    },

    /// The numbers of words do not rise one by one.
    #[error(
        "`{key}` calls the word of token {token} {found}: words are counted from 0, each token's is the one \
         before it or one more"
    )]
    WordOrder {
        /// `src_words` or `tgt_words`.
        key: &'static str,
        /// Position of the token.
        token: usize,
        /// The offending number.
        found: usize,
    },

    /// Words are asked for and not known.
    #[error(
        "the record does not say which token belongs to which word (`src_words` and `tgt_words`): write it \
         anew with `att translate --attention`, or leave its tokens as they are"
    )]
    NoWords,

    /// The weights of a head are not those of the tokens.
    #[error(
        "head {head} of layer {layer} has no {tgt_len} rows of {src_len} weights, finite and at least 0: \
         `head_weights` is [layer][head][target][source]"
    )]
    HeadWeights {
        /// From the bottom.
        layer: usize,
        /// Of the layer.
        head: usize,
        /// Number of target tokens.
        tgt_len: usize,
        /// Number of source tokens.
        src_len: usize,
    },

    /// A text does not name weights to look at.
    #[error(
        "'{text}' names no weights: use weights (what the decoder reports), mean, a layer such as 2, or a \
         head such as 2.0, counted from 0"
    )]
    View {
        /// The text.
        text: String,
    },

    /// The weights to look at are not there.
    #[error("{}", match layers {
        0 => format!(
            "there is no `{view}`: the record has no weights of layers and heads, which \
             `att translate --attention FILE --heads` writes where a model has several"
        ),
        layers => format!("there is no `{view}`: there are {layers} layers of {heads} heads, counted from 0"),
    })]
    NoSuchView {
        /// What was asked for.
        view: View,
        /// How many layers there are.
        layers: usize,
        /// How many heads the lowest layer has.
        heads: usize,
    },

    /// A text does not name a way to align.
    #[error(
        "'{text}' is no way to align: use argmax, threshold:T with T above 0 and up to 1, such as \
         threshold:0.2, or, of two directions, intersection, union, grow-diag, grow-diag-final or \
         grow-diag-final-and"
    )]
    Method {
        /// The text.
        text: String,
    },

    /// Gold links can't be read.
    #[error("gold alignments: {source}")]
    Gold {
        /// What is wrong, and where.
        source: att_eval::Error,
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

    /// The parts of a record do not belong together.
    #[error("{}:{line}: not an attention record: {source}", path.display())]
    RecordParts {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        source: Box<Error>,
    },

    /// No font of the system has a letter that is to be drawn.
    #[cfg(feature = "png")]
    #[error(
        "no font of this system has {letters}: install one that does (on Debian fonts-noto-core, and \
         fonts-noto-cjk for Chinese, Japanese and Korean), or write SVG, which is drawn where it is looked at"
    )]
    Fonts {
        /// The letters, each in quotes, the first few of them.
        letters: String,
    },

    /// A picture is too large, or could not be made.
    #[cfg(feature = "png")]
    #[error("cannot draw the PNG: {reason}")]
    Png {
        /// What is wrong.
        reason: String,
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
