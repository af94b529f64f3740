//! What the two subword tokenisers share: how text becomes the words that they cut, and the
//! alphabet of these.

use std::collections::{BTreeSet, HashMap};

use crate::{Error, Result, Vocabulary, special};

/// Stands before each word, as in SentencePiece, so that the tokens alone give the text back.
pub(super) const MARK: char = '▁';

/// A longer word, in characters, is cut as if it were several: the time of `tokenizers` grows
/// with the square of a word's length.
const LONGEST_WORD: usize = 1000;

/// In training, the unigram model of `tokenizers` has a piece of this name.
const TRAINERS_UNKNOWN: &str = "<UNK>";

/// Training counts in `i32`.
const MAX_BYTES: u64 = i32::MAX as u64;

/// The words of a text, each with the mark before it, between single spaces.
///
/// Two kinds of words have spaces inside, so that no token can be made across these: words that
/// are very long, and those that read like a special token, such as `<s >`.
pub(super) fn mark_words(text: &str) -> String {
    let mut marked = String::with_capacity(text.len() + 16);
    let is_gap = |c: char| c.is_whitespace() || c == MARK;
    for word in text.split(is_gap).filter(|word| !word.is_empty()) {
        if !marked.is_empty() {
            marked.push(' ');
        }
        marked.push(MARK);
        for (i, c) in word.chars().enumerate() {
            let is_long = i > 0 && i % LONGEST_WORD == 0;
            if is_long || c == '>' && ends_with_special_name(&marked) {
                marked.push(' ');
            }
            marked.push(c);
        }
    }
    marked
}

/// Whether `>` would make the end of the text a special token.
fn ends_with_special_name(text: &str) -> bool {
    let mut names = special::NAMES.into_iter().chain([TRAINERS_UNKNOWN]);
    names.any(|name| text.ends_with(name.trim_end_matches('>')))
}

/// The text that tokens stand for.
pub(super) fn join(tokens: &[&str]) -> String {
    let text = tokens.concat().replace(MARK, " ");
    text.strip_prefix(' ').unwrap_or(&text).to_string()
}

/// The vocabulary that training begins with: the special tokens and all characters of the
/// words, by code point.
pub(super) fn alphabet(counts: &HashMap<String, u64>, vocab_size: usize) -> Result<Vocabulary> {
    let length = |(word, count): (&String, &u64)| count.saturating_mul(word.len() as u64);
    if counts.iter().map(length).fold(0, u64::saturating_add) > MAX_BYTES {
        return Err(Error::TooMuchText { limit: MAX_BYTES });
    }
    let characters: BTreeSet<char> = counts.keys().flat_map(|word| word.chars()).collect();
    if special::COUNT + characters.len() > vocab_size {
        return Err(Error::VocabularyTooSmall {
            vocab_size,
            characters: characters.len(),
        });
    }
    let mut vocabulary = Vocabulary::new();
    for character in characters {
        vocabulary.insert(character.to_string());
    }
    Ok(vocabulary)
}

/// `vocab_size`, or what is surely enough for these words: the trainers reserve memory for it,
/// and a user may write a huge number for "no limit".
///
/// A merge makes the words shorter, and the unigram model's candidates are the inner nodes of a
/// suffix tree, so there are no more of them than characters in what it is trained on.
pub(super) fn enough(vocab_size: usize, counts: &HashMap<String, u64>) -> usize {
    let lengths: usize = counts.keys().map(|word| word.len() + 1).sum();
    vocab_size.min(special::COUNT + 4 * lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_marked_and_joined_again() {
        assert_eq!(mark_words("  a  bc\td▁e "), "▁a ▁bc ▁d ▁e");
        assert_eq!(mark_words(" \u{a0} "), "");
        assert_eq!(join(&["▁a", "▁b", "c"]), "a bc");
        assert_eq!(join(&["b", "▁c"]), "b c");
    }

    #[test]
    fn no_part_of_a_word_reads_like_a_special_token() {
        assert_eq!(mark_words("a<s></s>>"), "▁a<s ></s >>");
        assert_eq!(mark_words("<unk> <UNK> <pad>"), "▁<unk > ▁<UNK > ▁<pad >");
        assert_eq!(mark_words("<u> a>b"), "▁<u> ▁a>b");
    }

    #[test]
    fn very_long_words_have_parts() {
        let parts = |length| {
            let marked = mark_words(&"é".repeat(length));
            assert_eq!(
                marked.replace(' ', ""),
                "▁".to_string() + &"é".repeat(length)
            );
            marked.split(' ').count()
        };
        assert_eq!([1000, 1001, 2000, 2001].map(parts), [1, 2, 2, 3]);
    }

    #[test]
    fn too_much_text_is_an_error() {
        let counts = |count| HashMap::from([("ab".to_string(), count)]);
        assert!(alphabet(&counts(1 << 29), 6).is_ok());
        for count in [1 << 30, u64::MAX] {
            let error = alphabet(&counts(count), 6).unwrap_err().to_string();
            assert!(error.contains("2147483647 bytes"), "{error}");
        }
    }
}
