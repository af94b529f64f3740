//! The ids of the special tokens: the same in every vocabulary.

/// Padding: fills the end of a row, never predicted, never attended to.
pub const PAD: u32 = 0;
/// Stands for every token that the vocabulary lacks.
pub const UNK: u32 = 1;
/// Begins the target as the decoder reads it.
pub const BOS: u32 = 2;
/// Ends a source and a target.
pub const EOS: u32 = 3;
/// How many ids are special: ordinary tokens begin here.
pub const N_SPECIAL: u32 = 4;
