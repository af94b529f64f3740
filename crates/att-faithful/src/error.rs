//! What can go wrong.

/// The crate's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model whose attention there is none of.
    #[error(
        "the model has no attention, so there is nothing to be faithful: take one with attention"
    )]
    NoAttention,

    /// No sentence has two source tokens and a target token.
    #[error(
        "none of {sentences} sentences has two source tokens or more, to rank, and a target token: give others"
    )]
    NothingToMeasure {
        /// How many there were.
        sentences: usize,
    },

    /// A setting out of its range.
    #[error(transparent)]
    Setting(#[from] att_core::Error),

    /// Too many sentences for resampling.
    #[error(transparent)]
    Resampling(#[from] att_eval::Error),
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;
