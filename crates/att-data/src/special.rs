//! The four special tokens. Every vocabulary begins with them, so their ids are constants.
//!
//! No text encodes to PAD, BOS or EOS: a word that reads `<s>` is a word like any other.

/// Fills a row up to the length of its batch.
pub const PAD: u32 = 0;
/// Stands for a token that the vocabulary does not hold.
pub const UNK: u32 = 1;
/// Begins a target.
pub const BOS: u32 = 2;
/// Ends a target, and a source where the model wants it.
pub const EOS: u32 = 3;

/// How the special tokens are printed; a token's place is its id.
pub const NAMES: [&str; 4] = ["<pad>", "<unk>", "<s>", "</s>"];

/// How many there are.
pub const COUNT: usize = NAMES.len();

/// The id of a special token given its printed name.
pub(crate) fn id(name: &str) -> Option<u32> {
    NAMES.iter().position(|n| *n == name).map(|i| i as u32)
}
