use std::collections::HashMap;

use crate::{Tokenizer, special};

/// A target vocabulary extended by the tokens of one source that it lacks, so that a model can copy them
/// (See, Liu and Manning 2017, "Get To The Point", sec. 2.2): each different one has the next id behind
/// the vocabulary, in the order of the source.
///
/// ```
/// use att_data::{ExtendedVocabulary, TokenizerConfig};
///
/// let src = TokenizerConfig::whitespace().train(["is in"])?;
/// let tgt = TokenizerConfig::whitespace().train(["ist in"])?;
/// let extended = ExtendedVocabulary::new(&src, &tgt, "Ada is in Ghent , Ada");
/// let [ist, ghent] = [5, 8];
/// assert_eq!(extended.encode(&tgt, "Ada ist in Gent"), [6, ist, 4, 1]); // UNK is in neither
/// assert_eq!(extended.src_ids(), [6, 7, 4, ghent, 9, 6]); // "is" could be copied too
/// assert_eq!(extended.token(ghent), Some("Ghent"));
/// # Ok::<(), att_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedVocabulary {
    /// How many tokens the target vocabulary has.
    known: u32,
    /// The tokens behind it.
    extra: Vec<String>,
    /// Their ids.
    extra_ids: HashMap<String, u32>,
    /// Of the source's tokens.
    src_ids: Vec<u32>,
}

impl ExtendedVocabulary {
    /// For one source text. Tokens are the same if their texts are, as [`copied_tokens`] spells them.
    pub fn new(src: &Tokenizer, tgt: &Tokenizer, text: &str) -> Self {
        let known = tgt.vocab_size() as u32;
        let mut extra = Vec::new();
        let mut extra_ids = HashMap::new();
        let id = |token: String| {
            tgt.vocabulary().text_id(&token).unwrap_or_else(|| {
                *extra_ids.entry(token).or_insert_with_key(|token| {
                    extra.push(token.clone());
                    known + extra.len() as u32 - 1
                })
            })
        };
        let src_ids = copied_tokens(src, tgt, text).into_iter().map(id).collect();
        Self {
            known,
            extra,
            extra_ids,
            src_ids,
        }
    }

    /// The id of each token of the source.
    pub fn src_ids(&self) -> &[u32] {
        &self.src_ids
    }

    /// The same as a list of its own.
    pub fn into_src_ids(self) -> Vec<u32> {
        self.src_ids
    }

    /// The ids of a target: as by [`Tokenizer::encode`] of the vocabulary's tokeniser, but that a token
    /// which is in the source alone has its id here, rather than UNK.
    pub fn encode(&self, tgt: &Tokenizer, text: &str) -> Vec<u32> {
        let tokens = tgt.tokens(text);
        let ids = tgt.encode(text).into_iter().zip(tokens);
        let id = |(id, token): (u32, String)| match id {
            special::UNK => self.id(&token).unwrap_or(id),
            known => known,
        };
        ids.map(id).collect()
    }

    /// The id of a token of the source that the vocabulary lacks.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.extra_ids.get(token).copied()
    }

    /// The token with this id, if it is behind the vocabulary.
    pub fn token(&self, id: u32) -> Option<&str> {
        let place = id.checked_sub(self.known)?;
        self.extra.get(place as usize).map(String::as_str)
    }
}

/// The tokens of a source as they stand in the place of a target's: with the mark before a word where the
/// target has such marks, and without where it has none.
pub fn copied_tokens(src: &Tokenizer, tgt: &Tokenizer, text: &str) -> Vec<String> {
    let tokens = src.tokens(text).into_iter();
    match (src.marks_words(), tgt.marks_words()) {
        (false, true) => tokens.map(|token| format!("▁{token}")).collect(),
        (true, false) => tokens
            .map(|token| token.trim_start_matches('▁').to_string())
            .collect(),
        _ => tokens.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizerConfig;

    #[test]
    fn each_unknown_token_has_one_id_and_is_found_again() {
        let tokenizer = TokenizerConfig::whitespace().train(["a b"]).unwrap();
        let extended = ExtendedVocabulary::new(&tokenizer, &tokenizer, "x a y x <unk> b");
        assert_eq!(extended.src_ids(), [6, 4, 7, 6, 8, 5]);
        let target = extended.encode(&tokenizer, "y a <unk> z");
        assert_eq!(target, [7, 4, 8, special::UNK]);
        assert_eq!(extended.token(7), Some("y"));
        assert_eq!([extended.id("y"), extended.id("a")], [Some(7), None]);
        assert_eq!(extended.token(8), Some("<unk>"), "as text");
        assert_eq!((extended.token(5), extended.token(9)), (None, None));

        let none = ExtendedVocabulary::new(&tokenizer, &tokenizer, "");
        assert!(none.src_ids().is_empty());
        assert_eq!(none.encode(&tokenizer, "x b"), [special::UNK, 5]);
    }

    #[test]
    fn copies_have_the_marks_of_the_target() {
        let words = TokenizerConfig::whitespace().train(["ab cd"]).unwrap();
        let subwords = TokenizerConfig::bpe(12).train(["ab cd"]).unwrap();
        assert_eq!(copied_tokens(&words, &words, "ab x"), ["ab", "x"]);
        assert_eq!(copied_tokens(&words, &subwords, "ab x"), ["▁ab", "▁x"]);
        let cut = copied_tokens(&subwords, &words, "ab");
        assert_eq!(cut.concat(), "ab");
        let same = copied_tokens(&subwords, &subwords, "ab");
        assert_eq!(same, subwords.tokens("ab"));
    }
}
