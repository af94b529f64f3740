//! What can go wrong: the input does not line up, or a name is not known.

/// The crate's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to score.
    #[error("there are no hypotheses to score: give at least one")]
    Empty,

    /// Hypotheses and what goes with them (references, bucket keys) differ in number.
    #[error(
        "counts differ (hypotheses: {hypotheses}, {what}: {others}): give one of each per item"
    )]
    UnequalCounts {
        /// How many hypotheses there are.
        hypotheses: usize,
        /// What is counted against them: `reference lists`, `bucket keys`, ....
        what: &'static str,
        /// How many of those there are.
        others: usize,
    },

    /// An item has an empty list of references.
    #[error("item {item} (counted from 0) has no reference: give it at least one")]
    NoReference {
        /// The item's index.
        item: usize,
    },

    /// A corpus can't be resampled zero times.
    #[error("0 samples say nothing: draw at least one, 1000 as a rule")]
    NoSamples,

    /// More segments than resampling can number.
    #[error("resampling takes no more than 4294967295 segments")]
    TooManySegments,

    /// A word of an alignment that is not a link.
    #[error(
        "item {item} (counted from 0): word {word} of the {side}, `{text}`, is not a link such as 0-1 (sure) or 0p1 (possible)"
    )]
    Link {
        /// `hypothesis` or `reference`.
        side: &'static str,
        /// The item's index.
        item: usize,
        /// Which word of the line, from 1.
        word: usize,
        /// The word.
        text: String,
    },

    /// Alignments are held against one reference each.
    #[error("item {item} (counted from 0) has {found} reference alignments: give one")]
    OneReference {
        /// The item's index.
        item: usize,
        /// How many there are.
        found: usize,
    },

    /// A name is not among the known ones.
    #[error("unknown {what} `{name}`: use one of {known}")]
    UnknownName {
        /// What was to be named: `metric`, `tokenizer` or `smoothing`.
        what: &'static str,
        /// The name that was given.
        name: String,
        /// The names that are known.
        known: String,
    },
}

/// A result with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Finds the value whose printed form is `name`.
pub(crate) fn parse_name<T: Copy + std::fmt::Display>(
    what: &'static str,
    name: &str,
    all: &[T],
) -> Result<T> {
    let found = all.iter().find(|value| value.to_string() == name);
    found.copied().ok_or_else(|| Error::UnknownName {
        what,
        name: name.to_owned(),
        known: all.iter().map(T::to_string).collect::<Vec<_>>().join(", "),
    })
}
