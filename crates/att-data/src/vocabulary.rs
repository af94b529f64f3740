use std::cmp::Reverse;
use std::collections::HashMap;

use crate::special;

/// Tokens and their ids, from 0 without gaps; the first four are the [special](crate::special)
/// ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    tokens: Vec<String>,
    /// The ids of all but the special tokens, so that no text is mistaken for one of them.
    ids: HashMap<String, u32>,
}

impl Vocabulary {
    /// The special tokens alone.
    pub(crate) fn new() -> Self {
        Self {
            tokens: special::NAMES.map(String::from).into(),
            ids: HashMap::new(),
        }
    }

    /// The tokens that occur at least `min_count` times, the most frequent first and equally
    /// frequent ones by code point; at most `max_size` tokens, the special ones included.
    pub(crate) fn from_counts(
        counts: HashMap<String, u64>,
        min_count: u64,
        max_size: Option<usize>,
    ) -> Self {
        let mut counts: Vec<_> = counts
            .into_iter()
            .filter(|(_, n)| *n >= min_count)
            .collect();
        counts.sort_unstable_by(|(a, n), (b, m)| (Reverse(n), a).cmp(&(Reverse(m), b)));
        let mut vocabulary = Self::new();
        for (token, _) in counts {
            if max_size.is_some_and(|size| vocabulary.len() >= size) {
                break;
            }
            vocabulary.insert(token);
        }
        vocabulary
    }

    /// A vocabulary of tokens in the order of their ids, or what is wrong with them.
    pub(crate) fn from_tokens(tokens: Vec<String>) -> Result<Self, String> {
        let mut tokens = tokens.into_iter();
        for (id, name) in special::NAMES.iter().enumerate() {
            let found = tokens.next();
            if found.as_deref() != Some(name) {
                let found = found.unwrap_or("nothing".into());
                return Err(format!("id {id} must be `{name}`, not `{found}`"));
            }
        }
        let mut vocabulary = Self::new();
        for token in tokens {
            let id = vocabulary.len() as u32;
            if vocabulary.insert(token) != Some(id) {
                return Err(format!(
                    "the token with id {id} is a second one of its name"
                ));
            }
        }
        Ok(vocabulary)
    }

    /// Adds a token unless it is there and returns its id; a special name is not added.
    pub(crate) fn insert(&mut self, token: String) -> Option<u32> {
        if special::id(&token).is_some() {
            return None;
        }
        let next = self.tokens.len() as u32;
        let id = *self.ids.entry(token).or_insert_with_key(|token| {
            self.tokens.push(token.clone());
            next
        });
        Some(id)
    }

    /// The id of a piece of text, which is never a special token's.
    pub(crate) fn text_id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }

    /// The number of tokens, the special ones included.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// All tokens in the order of their ids.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The token with this id.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// The id of this token; the special ones go by their printed names.
    pub fn id(&self, token: &str) -> Option<u32> {
        special::id(token).or_else(|| self.text_id(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> HashMap<String, u64> {
        counts
            .iter()
            .map(|(token, n)| (token.to_string(), *n))
            .collect()
    }

    #[test]
    fn the_most_frequent_come_first_and_ties_go_by_code_point() {
        let words = counts(&[("b", 2), ("rare", 1), ("a", 2), ("z", 9), ("é", 2)]);
        let vocabulary = Vocabulary::from_counts(words.clone(), 2, None);
        assert_eq!(vocabulary.tokens()[4..], ["z", "a", "b", "é"]);
        assert_eq!(
            Vocabulary::from_counts(words, 1, Some(6)).tokens()[4..],
            ["z", "a"]
        );
    }

    #[test]
    fn ids_and_tokens_are_inverse() {
        let vocabulary = Vocabulary::from_counts(counts(&[("a", 1), ("b", 1)]), 1, None);
        for id in 0..vocabulary.len() as u32 {
            assert_eq!(vocabulary.id(vocabulary.token(id).unwrap()), Some(id));
        }
        assert_eq!(vocabulary.token(6), None);
        assert_eq!(vocabulary.id("c"), None);
        let ids = [special::PAD, special::UNK, special::BOS, special::EOS];
        assert_eq!(
            special::NAMES.map(|name| vocabulary.id(name)),
            ids.map(Some)
        );
    }

    #[test]
    fn text_that_looks_special_is_not() {
        let vocabulary = Vocabulary::from_counts(counts(&[("<s>", 5), ("a", 1)]), 1, None);
        assert_eq!(vocabulary.len(), 5);
        assert_eq!(vocabulary.text_id("<s>"), None);
    }

    #[test]
    fn bad_token_lists_are_refused() {
        let list = |tokens: &[&str]| {
            Vocabulary::from_tokens(tokens.iter().map(|t| t.to_string()).collect())
        };
        let good = ["<pad>", "<unk>", "<s>", "</s>", "a"];
        assert_eq!(list(&good).unwrap().tokens(), good);
        let swapped = list(&["<pad>", "<s>", "<unk>", "</s>"]).unwrap_err();
        assert_eq!(swapped, "id 1 must be `<unk>`, not `<s>`");
        assert_eq!(
            list(&[]).unwrap_err(),
            "id 0 must be `<pad>`, not `nothing`"
        );
        for twice in ["a", "<pad>"] {
            let error = list(&[&good[..], &[twice]].concat()).unwrap_err();
            assert_eq!(error, "the token with id 5 is a second one of its name");
        }
    }
}
