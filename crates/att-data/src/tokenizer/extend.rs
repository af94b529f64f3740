use std::collections::HashSet;

use super::bpe::Bpe;
use super::unigram::Unigram;
use super::{Model, Tokenizer};
use crate::{Error, Result, special};

impl Tokenizer {
    /// This tokeniser with the tokens that `other` has besides, behind its own, which keep their ids: for a
    /// model that is to read other text than it was trained on.
    ///
    /// Of byte pair encoding the merges of `other` come behind, so what this one merges it merges as before;
    /// of the unigram model the new tokens have the scores that they have in `other`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the two are of different kinds, or put text into different forms.
    pub fn extended_by(&self, other: &Self) -> Result<Self> {
        let forms = [self, other].map(|one| one.config.form());
        for (i, key) in ["kind", "lowercase", "normalization"]
            .into_iter()
            .enumerate()
        {
            let [own, others] = forms.each_ref().map(|form| &form[i]);
            if own != others {
                let message = format!(
                    "is {others}, but that of the tokeniser to extend is {own}: use the same"
                );
                return Err(Error::Config { key, message });
            }
        }
        let mut vocabulary = self.vocabulary.clone();
        let tokens = other.vocabulary.tokens()[special::COUNT..].iter();
        let is_new = |token: &&String| self.vocabulary.text_id(token).is_none();
        for token in tokens.clone().filter(is_new) {
            vocabulary.insert(token.clone());
        }
        let model = match (&self.model, &other.model) {
            (Model::Bpe(own), Model::Bpe(others)) => {
                let mut merges = own.merges().to_vec();
                let known: HashSet<&String> = own.merges().iter().collect();
                merges.extend(
                    others
                        .merges()
                        .iter()
                        .filter(|m| !known.contains(m))
                        .cloned(),
                );
                let bpe = Bpe::from_merges(merges, &vocabulary);
                Model::Bpe(bpe.expect("tokens of both are in the vocabulary"))
            }
            (Model::Unigram(own), Model::Unigram(others)) => {
                let scored = tokens.zip(others.scores());
                let new = scored.filter(|(token, _)| is_new(token));
                let scores = own.scores().iter().copied();
                let scores = scores.chain(new.map(|(_, score)| *score)).collect();
                let unigram = Unigram::from_scores(scores, &vocabulary);
                Model::Unigram(unigram.expect("each token has a score"))
            }
            (own, _) => own.clone(),
        };
        Ok(Self {
            config: self.config.clone(),
            vocabulary,
            model,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::TokenizerConfig;

    #[test]
    fn own_tokens_keep_their_ids_and_what_is_new_comes_behind() {
        let (old_text, new_text) = ("low low lower slow", "größer größer größe low");
        for config in [
            TokenizerConfig::char(),
            TokenizerConfig::whitespace(),
            TokenizerConfig::bpe(30),
            TokenizerConfig::unigram(30),
        ] {
            let old = config.train([old_text]).unwrap();
            let new = config.train([new_text]).unwrap();
            let both = old.extended_by(&new).unwrap();
            let n = old.vocab_size();
            assert_eq!(both.vocabulary().tokens()[..n], *old.vocabulary().tokens());
            for token in new.vocabulary().tokens() {
                assert!(both.token_to_id(token).is_some(), "{config:?} {token}");
            }
            assert_eq!(both.decode(&both.encode(new_text)), new_text);
            if !matches!(config, TokenizerConfig::Unigram(_)) {
                assert_eq!(both.encode(old_text), old.encode(old_text), "{config:?}");
            }
            assert_eq!(
                both.extended_by(&new).unwrap(),
                both,
                "nothing is left to add"
            );
        }
    }

    #[test]
    fn other_kinds_are_refused() {
        let train = |text: &str| {
            let config: TokenizerConfig = toml::from_str(text).unwrap();
            config.train(["Low lower"]).unwrap()
        };
        let old = train("kind = 'char'");
        for (other, expected) in [
            ("kind = 'whitespace'", "`kind` is whitespace, but that of"),
            ("kind = 'char'\nlowercase = true", "`lowercase` is true"),
            (
                "kind = 'char'\nnormalization = 'nfd'",
                "`normalization` is nfd",
            ),
        ] {
            let error = old.extended_by(&train(other)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
