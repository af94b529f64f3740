use std::collections::HashMap;

use serde::Deserialize;
use tokenizers::models::bpe::{BPE, BpeTrainer, Vocab};
use tokenizers::{AddedToken, Model, Token};

use super::subword;
use crate::{Result, Vocabulary, special};

/// A pair that occurs once is not merged: it says nothing about other words.
const MIN_PAIR_COUNT: u64 = 2;

/// Byte pair encoding by the crate `tokenizers`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bpe {
    model: BPE,
    merges: Vec<String>,
}

impl Bpe {
    /// Learns merges from words and their counts (Sennrich et al. 2016, algorithm 1): again and
    /// again the most frequent pair becomes one token, until the vocabulary is full. Among
    /// equally frequent pairs the one with the lower ids is first.
    pub(super) fn train(
        counts: HashMap<String, u64>,
        vocab_size: usize,
    ) -> Result<(Vocabulary, Self)> {
        subword::alphabet(&counts, vocab_size)?; // that there is room for it
        let trainer = BpeTrainer::builder()
            .special_tokens(
                special::NAMES
                    .map(|name| AddedToken::from(name, true))
                    .into(),
            )
            .vocab_size(subword::enough(vocab_size, &counts))
            .min_frequency(MIN_PAIR_COUNT)
            .show_progress(false)
            .build();
        let counts = counts.into_iter().map(|(word, n)| (word.into(), n));
        let mut trained = BPE::default();
        trainer
            .do_train(&counts.collect(), &mut trained)
            .expect("any words can be trained on");

        let ids = 0..trained.get_vocab_size() as u32;
        let tokens = ids.map_while(|id| trained.id_to_token(id)).collect();
        let vocabulary = Vocabulary::from_tokens(tokens)
            .expect("the special tokens come first, each token once");
        let bpe = Self::from_merges(merges(&trained), &vocabulary)
            .expect("what two merged tokens make is a token");
        Ok((vocabulary, bpe))
    }

    /// From the merges as [`merges`](Self::merges) gives them, or what is wrong with them.
    pub(super) fn from_merges(
        merges: Vec<String>,
        vocabulary: &Vocabulary,
    ) -> std::result::Result<Self, String> {
        // `tokenizers` would panic if the two together were no token.
        let pair = |merge: &String| {
            let (left, right) = merge.split_once(' ')?;
            let all_known = [left, right, &[left, right].concat()]
                .iter()
                .all(|token| vocabulary.text_id(token).is_some());
            all_known.then(|| (left.to_string(), right.to_string()))
        };
        let pairs = merges
            .iter()
            .map(|merge| {
                pair(merge).ok_or_else(|| format!("the merge `{merge}` does not fit the tokens"))
            })
            .collect::<std::result::Result<_, _>>()?;
        let ids: Vocab = vocabulary.tokens().iter().cloned().zip(0..).collect();
        let model = BPE::builder()
            .vocab_and_merges(ids, pairs)
            .unk_token(special::NAMES[special::UNK as usize].into())
            .fuse_unk(true)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { model, merges })
    }

    /// The merges, the first learnt first, each as its two tokens with a space between them.
    pub(super) fn merges(&self) -> &[String] {
        &self.merges
    }

    /// Cuts a word into tokens by the merges, each time the first learnt and leftmost.
    pub(super) fn segment(&self, word: &str) -> Vec<Token> {
        let tokens = self.model.tokenize(word);
        tokens.expect("the unknown token is in the vocabulary")
    }
}

/// The merges of a trained model, which only its JSON tells.
fn merges(trained: &BPE) -> Vec<String> {
    #[derive(Deserialize)]
    struct Trained {
        merges: Vec<[String; 2]>,
    }
    let Trained { merges } = serde_json::to_value(trained)
        .and_then(serde_json::from_value)
        .expect("the JSON of a model has its merges");
    merges.iter().map(|pair| pair.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizerConfig;

    fn train(words: &[(&str, u64)], vocab_size: usize) -> (Vocabulary, Bpe) {
        let counts = words.iter().map(|(word, n)| (word.to_string(), *n));
        Bpe::train(counts.collect(), vocab_size).unwrap()
    }

    fn cut(word: &str, (_, bpe): &(Vocabulary, Bpe)) -> Vec<String> {
        let tokens = bpe.segment(word).into_iter();
        tokens
            .map(|token| word[token.offsets.0..token.offsets.1].to_string())
            .collect()
    }

    /// The example of Sennrich et al. 2016, section 3.2.
    #[test]
    fn learns_the_merges_of_the_paper() {
        let words = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)];
        let trained = train(&words, 100);
        assert_eq!(trained.1.merges()[..4], ["e s", "es t", "l o", "lo w"]);
        assert_eq!(cut("lowest", &trained), ["low", "est"]);
    }

    /// The Python package gives the same; scripts/golden/data_golden.py.
    #[test]
    fn agrees_with_the_python_package() {
        let text = "peter piper picked a peck of pickled peppers a peck of pickled peppers peter \
            piper picked if peter piper picked a peck of pickled peppers where is the peck of \
            pickled peppers";
        let tokenizer = TokenizerConfig::bpe(40).train([text]).unwrap();
        let merged = tokenizer.vocabulary().tokens()[4..]
            .iter()
            .filter(|t| t.chars().count() > 1);
        assert_eq!(
            merged.cloned().collect::<Vec<_>>().join(" "),
            "▁p ck er ▁pe ▁pi ed per ▁pick led of pper ▁of ▁peck ▁pepper ▁pickled ▁peppers ter ▁a \
            ▁peter ▁piper"
        );
        assert_eq!(
            tokenizer.tokens(text).join(" "),
            "▁peter ▁piper ▁pick ed ▁a ▁peck ▁of ▁pickled ▁peppers ▁a ▁peck ▁of ▁pickled ▁peppers \
            ▁peter ▁piper ▁pick ed ▁ i f ▁peter ▁piper ▁pick ed ▁a ▁peck ▁of ▁pickled ▁peppers ▁ w \
            h er e ▁ i s ▁ t h e ▁peck ▁of ▁pickled ▁peppers"
        );
    }

    #[test]
    fn the_vocabulary_is_full_or_the_pairs_are_used_up() {
        let words = [("abab", 3), ("abc", 1)];
        assert_eq!(train(&words, 8).0.tokens()[4..], ["a", "b", "c", "ab"]);
        // "ab c" occurs once only.
        for vocab_size in [50, usize::MAX] {
            let (vocabulary, _) = train(&words, vocab_size);
            assert_eq!(vocabulary.tokens()[4..], ["a", "b", "c", "ab", "abab"]);
        }
    }

    #[test]
    fn repeated_and_unknown_characters() {
        let trained = train(&[("aaaa", 9)], 50);
        assert_eq!(cut("aaaaaaa", &trained), ["aaaa", "aa", "a"]);
        assert_eq!(cut("xyaax", &trained), ["xy", "aa", "x"]);
        assert_eq!(trained.1.segment("xy")[0].id, special::UNK);
        assert!(cut("", &trained).is_empty());
    }

    #[test]
    fn bad_merges_are_named() {
        let (vocabulary, bpe) = train(&[("low.", 5), ("lower.", 2), ("newest.", 6)], 100);
        let again = Bpe::from_merges(bpe.merges().to_vec(), &vocabulary);
        assert_eq!(again.unwrap(), bpe);
        for bad in ["l", "l x", "l n", "newest. newest.", "<s >", ""] {
            let error = Bpe::from_merges(vec![bad.into()], &vocabulary).unwrap_err();
            assert_eq!(error, format!("the merge `{bad}` does not fit the tokens"));
        }
    }
}
