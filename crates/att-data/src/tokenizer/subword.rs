//! What the two subword tokenisers share: marked words, their alphabet, and spans of a word.

use std::collections::{BTreeSet, HashMap};

use crate::{Error, Result, Vocabulary, special};

/// Stands before each word, as in SentencePiece, so that the tokens alone give the text back.
pub(super) const MARK: char = '▁';

/// The words of a text, each with the mark before it, between single spaces.
pub(super) fn mark_words(text: &str) -> String {
    let mut marked = String::with_capacity(text.len() + 16);
    let is_gap = |c: char| c.is_whitespace() || c == MARK;
    for word in text.split(is_gap).filter(|word| !word.is_empty()) {
        if !marked.is_empty() {
            marked.push(' ');
        }
        marked.push(MARK);
        marked.push_str(word);
    }
    marked
}

/// The text that tokens stand for.
pub(super) fn join(tokens: &[&str]) -> String {
    let text = tokens.concat().replace(MARK, " ");
    text.strip_prefix(' ').unwrap_or(&text).to_string()
}

/// The vocabulary that training begins with: the special tokens and all characters of the
/// words, by code point.
pub(super) fn alphabet(counts: &HashMap<String, u64>, vocab_size: usize) -> Result<Vocabulary> {
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

/// A token of a word, and where in the word it begins and ends, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) id: u32,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Appends a span; unknown characters side by side become one piece.
pub(super) fn push_span(spans: &mut Vec<Span>, span: Span) {
    match spans.last_mut() {
        Some(last) if last.id == special::UNK && span.id == special::UNK => last.end = span.end,
        _ => spans.push(span),
    }
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
}
