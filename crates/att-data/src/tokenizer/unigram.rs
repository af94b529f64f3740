use std::collections::HashMap;

use tokenizers::models::unigram::{Unigram as UnigramModel, UnigramTrainer};
use tokenizers::{Model, Token};

use super::subword::{self, MARK};
use crate::{Result, Vocabulary, special};

/// The unigram language model by the crate `tokenizers`: each token has a probability, and a
/// word is cut into the tokens whose product is greatest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unigram {
    model: UnigramModel,
    /// The natural logarithms of the probabilities of all tokens behind the special ones. In
    /// single precision a number is the same after it was printed and read.
    scores: Vec<f32>,
}

impl Unigram {
    /// Learns tokens from marked words and their counts (Kudo 2018, section 3.2). It begins with
    /// repeated substrings; again and again, it fits their probabilities by expectation and
    /// maximisation and drops those without which the words would be hardly less probable,
    /// until the rest fit the vocabulary. The characters always stay.
    pub(super) fn train(
        counts: HashMap<String, u64>,
        vocab_size: usize,
    ) -> Result<(Vocabulary, Self)> {
        let mut vocabulary = subword::alphabet(&counts, vocab_size)?;
        let room = subword::enough(vocab_size, &counts) - special::COUNT;
        let characters = vocabulary.tokens()[special::COUNT..].to_vec();

        // In a fixed order, because the order of a sum of floats changes its last digits.
        let mut words: Vec<(String, u32)> = counts
            .into_iter()
            .map(|(word, count)| (word, count as u32)) // `alphabet` has seen to that it fits
            .collect();
        words.sort_unstable();
        // The trainer's candidates are substrings that go on in different ways. This makes whole
        // words candidates; counted zero times, it changes nothing else.
        let repeated = words.iter().filter(|(_, count)| *count > 1);
        let continued: Vec<_> = repeated
            .map(|(word, _)| (format!("{word}{MARK}"), 0))
            .collect();
        words.extend(continued);
        // A character that is a word, too, stays in the model. Of others the trainer would make
        // up the scores, in an order by chance, and with none left it would panic.
        words.extend(characters.into_iter().map(|character| (character, 1)));
        let trained = fit(words, room);

        let mut learnt: Vec<&(String, f64)> = trained
            .iter()
            .filter(|(token, _)| vocabulary.text_id(token).is_none())
            .collect();
        // By text, too, since equal scores come in an order by chance.
        learnt.sort_by(|(a, p), (b, q)| q.total_cmp(p).then(a.cmp(b)));
        for (token, _) in learnt.into_iter().take(vocab_size - vocabulary.len()) {
            vocabulary.insert(token.clone());
        }

        let scores: HashMap<&str, f64> = trained
            .iter()
            .map(|(token, score)| (token.as_str(), *score))
            .collect();
        let tokens = vocabulary.tokens()[special::COUNT..].iter();
        let scores = tokens.map(|token| scores[token.as_str()] as f32).collect();
        let unigram = Self::from_scores(scores, &vocabulary)
            .expect("each token has the logarithm of a probability");
        Ok((vocabulary, unigram))
    }

    /// From the scores as [`scores`](Self::scores) gives them, or what is wrong with them.
    pub(super) fn from_scores(
        scores: Vec<f32>,
        vocabulary: &Vocabulary,
    ) -> std::result::Result<Self, String> {
        let expected = vocabulary.len() - special::COUNT;
        if scores.len() != expected {
            return Err(format!("{} scores for {expected} tokens", scores.len()));
        }
        if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
            return Err(format!("the score {score} is not a finite number"));
        }
        // The special tokens need some score; they are never in a word.
        let all = [0.0; special::COUNT]
            .into_iter()
            .chain(scores.iter().copied());
        let scored = vocabulary.tokens().iter().cloned().zip(all.map(f64::from));
        let unknown = Some(special::UNK as usize);
        let model = UnigramModel::from(scored.collect(), unknown, false)
            .map_err(|error| error.to_string())?;
        Ok(Self { model, scores })
    }

    /// The scores of the tokens behind the special ones, in the order of their ids.
    pub(super) fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Cuts a word into its most probable tokens.
    pub(super) fn segment(&self, word: &str) -> Vec<Token> {
        let tokens = self.model.tokenize(word);
        tokens.expect("the unknown token is in the vocabulary")
    }
}

/// The model that the trainer makes of words, with about `room` tokens.
fn fit(words: Vec<(String, u32)>, room: usize) -> UnigramModel {
    let trainer = UnigramTrainer::builder()
        // One more for the trainer's own unknown token: with room for the characters alone it
        // would not come to an end.
        .vocab_size(u32::try_from(room + 1).unwrap_or(u32::MAX))
        .show_progress(false)
        .build()
        .expect("all other values have defaults");
    let mut model = UnigramModel::default();
    // The trainer adds up each thread's sum, so their number would change the last digits.
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    one_thread
        .expect("the system has a thread to spare")
        .install(|| trainer.do_train(words, &mut model))
        .expect("there is room for all characters");
    model
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizerConfig;

    fn train(words: &[(&str, u64)], vocab_size: usize) -> (Vocabulary, Unigram) {
        let counts = words.iter().map(|(word, n)| (word.to_string(), *n));
        Unigram::train(counts.collect(), vocab_size).unwrap()
    }

    fn cut(word: &str, (_, unigram): &(Vocabulary, Unigram)) -> Vec<String> {
        let tokens = unigram.segment(word).into_iter();
        tokens
            .map(|token| word[token.offsets.0..token.offsets.1].to_string())
            .collect()
    }

    #[test]
    fn cuts_into_the_most_probable_tokens() {
        let mut vocabulary = Vocabulary::new();
        for token in ["a", "b", "ab", "bé", "é"] {
            vocabulary.insert(token.into());
        }
        let scores = vec![-2.0, -2.0, -3.0, -1.0, -5.0];
        let unigram = Unigram::from_scores(scores, &vocabulary).unwrap();
        let model = (vocabulary, unigram);
        assert_eq!(cut("ab", &model), ["ab"]); // -3 against -4
        assert_eq!(cut("abé", &model), ["a", "bé"]); // -3 against -8
        assert_eq!(cut("éab", &model), ["é", "ab"]);
        assert_eq!(cut("xyab!", &model), ["xy", "ab", "!"]);
        assert_eq!(model.1.segment("!")[0].id, special::UNK);
        assert!(cut("", &model).is_empty());
    }

    #[test]
    fn learns_common_parts_of_words() {
        let stems = ["cook", "jump", "open", "play", "talk", "walk"];
        let forms = stems
            .iter()
            .flat_map(|stem| ["", "ed", "ing", "s"].map(|end| format!("▁{stem}{end}")));
        let forms: Vec<String> = forms.collect();
        let words: Vec<(&str, u64)> = forms.iter().map(|form| (form.as_str(), 5)).collect();
        let characters = 19;
        let model = train(&words, 4 + characters + stems.len());
        let mut learnt = model.0.tokens()[4 + characters..].to_vec();
        learnt.sort();
        assert_eq!(learnt, stems.map(|stem| format!("▁{stem}")));
        assert_eq!(cut("▁jumper", &model), ["▁jump", "e", "r"]);
    }

    #[test]
    fn characters_stay_even_if_they_are_never_alone() {
        let words = [("▁qu", 100), ("▁aq", 1), ("▁au", 90), ("▁quqa", 50)];
        for vocab_size in (8..20).chain([usize::MAX]) {
            let (vocabulary, unigram) = train(&words, vocab_size);
            assert!(vocabulary.len() <= vocab_size);
            assert_eq!(vocabulary.tokens()[4..8], ["a", "q", "u", "▁"]);
            assert!(unigram.scores.iter().all(|score| *score < 0.0));
        }
    }

    /// Each hash map in the trainer has its own order of iteration.
    #[test]
    fn training_again_gives_the_same() {
        let text = include_str!("unigram.rs");
        for vocab_size in [120, 200] {
            let train = || TokenizerConfig::unigram(vocab_size).train(text.lines().take(90));
            let first = train().unwrap().to_json();
            for _ in 0..4 {
                assert_eq!(train().unwrap().to_json(), first);
            }
        }
    }
}
