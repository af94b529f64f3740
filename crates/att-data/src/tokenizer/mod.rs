mod bpe;
mod config;
mod extend;
mod file;
mod normalization;
mod subword;
mod unigram;

pub use config::{SubwordConfig, SymbolConfig, TokenizerConfig, TokenizerTrainer};
pub use normalization::Normalization;

use crate::{Vocabulary, special};
use bpe::Bpe;
use tokenizers::Token;
use unigram::Unigram;

/// Cuts text into tokens, gives their ids, and makes text of ids again. It is trained by
/// [`TokenizerConfig::train`].
///
/// ```
/// use att_data::{TokenizerConfig, special};
///
/// let tokenizer = TokenizerConfig::bpe(20).train(["low low lower", "slow slower"])?;
/// assert_eq!(tokenizer.tokens("slower"), ["▁slow", "er"]);
/// let ids = tokenizer.encode("slower lower");
/// assert_eq!(tokenizer.decode(&ids), "slower lower");
/// assert_eq!(tokenizer.encode("▁x")[1], special::UNK);
/// # Ok::<(), att_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tokenizer {
    config: TokenizerConfig,
    vocabulary: Vocabulary,
    model: Model,
}

/// What a tokeniser needs besides its vocabulary.
#[derive(Clone, Debug, PartialEq)]
enum Model {
    Char,
    Whitespace,
    Bpe(Bpe),
    Unigram(Unigram),
}

/// A part of a text and the id of its token.
struct Piece<'t> {
    id: u32,
    text: &'t str,
}

impl Tokenizer {
    /// How this tokeniser was trained.
    pub fn config(&self) -> &TokenizerConfig {
        &self.config
    }

    /// The tokens and their ids.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The number of tokens, the special ones included.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The token with this id.
    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        self.vocabulary.token(id)
    }

    /// The id of this token; the special ones go by their printed names.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.vocabulary.id(token)
    }

    /// The ids of a text. Of the special tokens only UNK is among them: for each unknown
    /// character or word; for subwords, for unknown characters side by side.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let text = self.config.prepare(text);
        self.pieces(&text)
            .into_iter()
            .map(|piece| piece.id)
            .collect()
    }

    /// The pieces of the text that [`encode`](Self::encode) gives the ids of, one for one. What
    /// is unknown stands here as it is in the text, so a picture can show it and a translation
    /// can copy it.
    pub fn tokens(&self, text: &str) -> Vec<String> {
        let text = self.config.prepare(text);
        self.pieces(&text)
            .into_iter()
            .map(|piece| piece.text.to_string())
            .collect()
    }

    /// The pieces of a prepared text.
    fn pieces<'t>(&self, text: &'t str) -> Vec<Piece<'t>> {
        let symbol = |text: &'t str| Piece {
            id: self.vocabulary.text_id(text).unwrap_or(special::UNK),
            text,
        };
        let subwords = |segment: &dyn Fn(&str) -> Vec<Token>| {
            let cut = |word: &'t str| {
                let piece = |token: Token| Piece {
                    id: token.id,
                    text: &word[token.offsets.0..token.offsets.1],
                };
                segment(word).into_iter().map(piece)
            };
            text.split_whitespace().flat_map(cut).collect()
        };
        match &self.model {
            Model::Char => text.split_inclusive(|_| true).map(symbol).collect(),
            Model::Whitespace => text.split_whitespace().map(symbol).collect(),
            Model::Bpe(bpe) => subwords(&|word| bpe.segment(word)),
            Model::Unigram(unigram) => subwords(&|word| unigram.segment(word)),
        }
    }

    /// The text of ids. It ends at the first EOS; PAD and BOS are passed over, and UNK, or an id
    /// outside the vocabulary, reads `<unk>`.
    ///
    /// Characters are put together as they are, words with a space between them, and subwords
    /// by their marks. So `decode(encode(text))` is `text` where all its tokens are known, its
    /// words are separated by one space, and it is in lower case if the tokeniser makes it so. What
    /// the tokeniser decomposes ([`Normalization`]) is composed again.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.decode_with(ids, |_| None)
    }

    /// [`decode`](Self::decode) with a token of another text in the place of an UNK: `copied` gives that
    /// of the UNK at a position of `ids`, or none where it is to read `<unk>`.
    ///
    /// A token from [`tokens`](Self::tokens) of a tokeniser with the same
    /// [`marks_words`](Self::marks_words) fits in.
    pub fn decode_with<'t>(
        &'t self,
        ids: &[u32],
        copied: impl Fn(usize) -> Option<&'t str>,
    ) -> String {
        let ids = ids.iter().enumerate();
        let ids = ids.take_while(|(_, id)| **id != special::EOS);
        let tokens: Vec<&str> = ids
            .filter(|(_, id)| ![special::PAD, special::BOS].contains(id))
            .map(|(position, id)| {
                let copy = || copied(position).unwrap_or(special::NAMES[special::UNK as usize]);
                match self.id_to_token(*id) {
                    Some(token) if *id != special::UNK => token,
                    _ => copy(),
                }
            })
            .collect();
        let text = match self.model {
            Model::Char => tokens.concat(),
            Model::Whitespace => tokens.join(" "),
            Model::Bpe(_) | Model::Unigram(_) => subword::join(&tokens),
        };
        self.config.normalization().compose(text)
    }

    /// Whether the first token of each word begins with the mark `▁`: those of subwords do.
    pub fn marks_words(&self) -> bool {
        matches!(self.model, Model::Bpe(_) | Model::Unigram(_))
    }

    /// The word that each of these tokens belongs to, counted from 0: `[n_tokens]`, each the one before it
    /// or one more.
    ///
    /// Words begin at subwords with the mark `▁`, and at characters that are a space behind one that is
    /// none, so that the space goes with what follows it; tokens of whitespace tokenisers are words. The
    /// end of a sentence is a word of its own.
    pub fn words<T: AsRef<str>>(&self, tokens: &[T]) -> Vec<usize> {
        let is_space = |token: &str| token.chars().all(char::is_whitespace);
        let eos = special::NAMES[special::EOS as usize];
        let begins = |before: &str, token: &str| match self.model {
            _ if token == eos || before == eos => true,
            Model::Char => is_space(token) && !is_space(before),
            Model::Whitespace => true,
            Model::Bpe(_) | Model::Unigram(_) => token.starts_with(subword::MARK),
        };
        let mut word = 0;
        let mut words = Vec::with_capacity(tokens.len());
        for (position, token) in tokens.iter().enumerate() {
            if position > 0 && begins(tokens[position - 1].as_ref(), token.as_ref()) {
                word += 1;
            }
            words.push(word);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::{Rng, SeedableRng};

    const TEXT: [&str; 4] = [
        "the cat sat on the mat",
        "a cat and a rat <s> here",
        "Über naïve Käfer, über uns!",
        "the rat sat; the cat ran",
    ];

    fn train(config: TokenizerConfig) -> Tokenizer {
        config.train(TEXT).unwrap()
    }

    fn all_kinds() -> [Tokenizer; 4] {
        [
            TokenizerConfig::char(),
            TokenizerConfig::whitespace(),
            TokenizerConfig::bpe(60),
            TokenizerConfig::unigram(50),
        ]
        .map(train)
    }

    #[test]
    fn the_special_tokens_have_their_ids_and_no_text_gives_them() {
        for tokenizer in all_kinds() {
            for (id, name) in (0..).zip(special::NAMES) {
                assert_eq!(tokenizer.id_to_token(id), Some(name));
                assert_eq!(tokenizer.token_to_id(name), Some(id));
                let ids = tokenizer.encode(name);
                assert!(
                    ids.iter()
                        .all(|id| *id == special::UNK || *id > special::EOS),
                    "{ids:?}"
                );
            }
            assert_eq!(tokenizer.id_to_token(tokenizer.vocab_size() as u32), None);
        }
    }

    #[test]
    fn decoding_gives_the_text_back() {
        for tokenizer in all_kinds() {
            for text in TEXT.iter().filter(|text| !text.contains("<s>")) {
                assert_eq!(tokenizer.decode(&tokenizer.encode(text)), *text);
            }
            assert!(tokenizer.encode("").is_empty());
            assert_eq!(tokenizer.decode(&[]), "");
        }
    }

    #[test]
    fn tokens_are_the_pieces_of_the_ids() {
        for tokenizer in all_kinds() {
            for text in TEXT.into_iter().chain(["unknown 漢字 words", "  a   b\t"]) {
                let (ids, tokens) = (tokenizer.encode(text), tokenizer.tokens(text));
                assert_eq!(ids.len(), tokens.len());
                for (id, token) in ids.into_iter().zip(tokens) {
                    let known = tokenizer.id_to_token(id) == Some(&token);
                    assert!(known != (id == special::UNK), "{id} {token}");
                }
            }
        }
    }

    #[test]
    fn each_kind_cuts_in_its_way() {
        let [char, whitespace, bpe, unigram] = all_kinds();
        assert_eq!(char.tokens("é a"), ["é", " ", "a"]);
        assert_eq!(whitespace.tokens(" the\u{a0}hat "), ["the", "hat"]);
        assert_eq!(whitespace.encode("the hat")[1], special::UNK);
        for subword in [bpe, unigram] {
            assert_eq!(subword.tokens("the the"), ["▁the", "▁the"]);
            assert_eq!(subword.tokens("漢字"), ["▁", "漢字"]);
            assert_eq!(
                subword.decode(&subword.encode(" the  漢字▁cat ")),
                "the <unk> cat"
            );
        }
    }

    #[test]
    fn tokens_know_their_words() {
        let [char, whitespace, bpe, unigram] = all_kinds();
        let with_end = |tokenizer: &Tokenizer, text| {
            let mut tokens = tokenizer.tokens(text);
            tokens.push("</s>".into());
            tokenizer.words(&tokens)
        };
        assert_eq!(with_end(&char, "a bc  d"), [0, 1, 1, 1, 2, 2, 2, 3]);
        assert_eq!(with_end(&whitespace, "the <unk> sat"), [0, 1, 2, 3]);
        for subword in [bpe, unigram] {
            let words = with_end(&subword, "the catsat 漢字");
            assert_eq!((words[0], words.last()), (0, Some(&3)));
            assert_eq!(subword.words(&["the", "r", "▁", "<unk>"]), [0, 0, 1, 1]);
            assert_eq!(subword.words::<&str>(&[]), [0; 0]);
        }
    }

    #[test]
    fn decoding_ends_at_eos_and_passes_over_padding() {
        let tokenizer = train(TokenizerConfig::whitespace());
        let [the, cat] = ["the", "cat"].map(|token| tokenizer.token_to_id(token).unwrap());
        let ids = [
            special::BOS,
            the,
            special::UNK,
            special::PAD,
            cat,
            999,
            special::EOS,
            cat,
        ];
        assert_eq!(tokenizer.decode(&ids), "the <unk> cat <unk>");
    }

    #[test]
    fn lower_case_is_for_training_and_encoding() {
        let config = TokenizerConfig::Whitespace(SymbolConfig {
            lowercase: true,
            ..SymbolConfig::default()
        });
        let tokenizer = config.train(["ÜBER Uns"]).unwrap();
        assert_eq!(tokenizer.tokens("über UNS"), ["über", "uns"]);
        assert_eq!(tokenizer.decode(&tokenizer.encode("Über UNS")), "über uns");
    }

    #[test]
    fn the_same_text_gives_the_same_tokenizer() {
        for tokenizer in all_kinds() {
            let again = tokenizer.config().train(TEXT).unwrap();
            assert_eq!(again.to_json(), tokenizer.to_json());
        }
    }

    /// Small corpora of few letters bring out what is rare in real ones: equal counts, words
    /// that overlap with themselves, candidates that are all dropped, NUL in the text.
    #[test]
    fn any_text_trains_and_training_again_gives_the_same() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut random = |n: usize| rng.next_u64() as usize % n;
        for _ in 0..200 {
            let alphabet: Vec<char> = "\0ab<s>é".chars().take(2 + random(6)).collect();
            let mut word = || -> String {
                let longest = 1 + random(30);
                (0..1 + random(longest))
                    .map(|_| alphabet[random(alphabet.len())])
                    .collect()
            };
            let words: Vec<String> = (0..20).map(|_| word()).collect();
            let lines: Vec<String> = words.chunks(1 + random(20)).map(|w| w.join(" ")).collect();
            let vocab_size = 13 + random(40);
            for config in [
                TokenizerConfig::bpe(vocab_size),
                TokenizerConfig::unigram(vocab_size),
            ] {
                let train = || config.train(lines.iter().map(String::as_str)).unwrap();
                let tokenizer = train();
                assert_eq!(train().to_json(), tokenizer.to_json(), "{lines:?}");
                assert!(tokenizer.vocab_size() <= vocab_size);
                for line in &lines {
                    let ids = tokenizer.encode(line);
                    assert_eq!(tokenizer.decode(&ids), *line);
                    assert!(ids.iter().all(|id| *id > special::EOS));
                }
            }
        }
    }

    /// Uncut, training alone would take minutes.
    #[test]
    fn a_very_long_word_is_no_trouble() {
        let word = "abcab".repeat(80_000);
        for config in [TokenizerConfig::bpe(30), TokenizerConfig::unigram(30)] {
            let tokenizer = config.train([word.as_str()]).unwrap();
            let ids = tokenizer.encode(&word);
            assert!(ids.len() < word.len() / 4);
            assert_eq!(tokenizer.decode(&ids), word);
        }
    }
}
