use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::bpe::Bpe;
use super::unigram::Unigram;
use super::{Model, Normalization, Tokenizer, subword};
use crate::{Error, Result, Vocabulary, special};

/// Which tokeniser to train, and how: `kind` is `char`, `whitespace`, `bpe` or `unigram`.
///
/// ```
/// use att_data::TokenizerConfig;
///
/// let config: TokenizerConfig = toml::from_str("kind = 'bpe'\nvocab_size = 4000")?;
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TokenizerConfig {
    /// A token is a character (a Unicode scalar value), a space like any other.
    Char(SymbolConfig),
    /// A token is what stands between white space.
    Whitespace(SymbolConfig),
    /// Byte pair encoding on characters (Sennrich et al. 2016, Neural Machine Translation of
    /// Rare Words with Subword Units, algorithm 1): a token is a character or what the merging
    /// of the most frequent neighbours in a word has made.
    Bpe(SubwordConfig),
    /// The unigram language model (Kudo 2018, Subword Regularization, section 3.2): the tokens
    /// are those that make the text most probable, and a word's are its most probable ones.
    Unigram(SubwordConfig),
}

/// How a vocabulary of characters or words is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SymbolConfig {
    /// Whether text is put into lower case first; by default not.
    pub lowercase: bool,
    /// Which form of Unicode text is put into first, such as `"nfd"`; by default it stays as it is.
    #[serde(skip_serializing_if = "Normalization::is_none")]
    pub normalization: Normalization,
    /// What occurs less often is UNK; 1 by default.
    pub min_count: u64,
    /// At most this many tokens, the four special ones included; by default no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<usize>,
}

/// How a vocabulary of subwords is made.
///
/// The crate `tokenizers` by Hugging Face learns them and cuts words into them.
///
/// White space divides words, and `▁` counts as white space, because it marks the beginning of
/// a word in tokens. No token goes beyond the thousandth character of a word, nor over the `>`
/// of what reads like a special token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubwordConfig {
    /// Whether text is put into lower case first; by default not.
    pub lowercase: bool,
    /// Which form of Unicode text is put into first, such as `"nfd"`; by default it stays as it is.
    #[serde(skip_serializing_if = "Normalization::is_none")]
    pub normalization: Normalization,
    /// At most this many tokens, the four special ones included; 8,000 by default. There are
    /// fewer where the text has no more to offer.
    pub vocab_size: usize,
}

impl Default for SymbolConfig {
    fn default() -> Self {
        Self {
            lowercase: false,
            normalization: Normalization::None,
            min_count: 1,
            max_size: None,
        }
    }
}

impl Default for SubwordConfig {
    fn default() -> Self {
        Self {
            lowercase: false,
            normalization: Normalization::None,
            vocab_size: 8000,
        }
    }
}

impl TokenizerConfig {
    /// Characters, with the defaults.
    pub fn char() -> Self {
        Self::Char(SymbolConfig::default())
    }

    /// Words between white space, with the defaults.
    pub fn whitespace() -> Self {
        Self::Whitespace(SymbolConfig::default())
    }

    /// Byte pair encoding with a vocabulary of this size.
    pub fn bpe(vocab_size: usize) -> Self {
        Self::Bpe(SubwordConfig {
            vocab_size,
            ..SubwordConfig::default()
        })
    }

    /// The unigram language model with a vocabulary of this size.
    pub fn unigram(vocab_size: usize) -> Self {
        Self::Unigram(SubwordConfig {
            vocab_size,
            ..SubwordConfig::default()
        })
    }

    /// Checks the values.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a `min_count` of 0, or a `max_size` or `vocab_size` without room for
    /// one token besides the special ones.
    pub fn validate(&self) -> Result<()> {
        let (key, size) = match self {
            Self::Char(c) | Self::Whitespace(c) => {
                if c.min_count == 0 {
                    return Err(Error::Config {
                        key: "min_count",
                        message: "is 0; make it at least 1".into(),
                    });
                }
                ("max_size", c.max_size)
            }
            Self::Bpe(c) | Self::Unigram(c) => ("vocab_size", Some(c.vocab_size)),
        };
        let least = special::COUNT + 1;
        match size {
            Some(size) if size < least => Err(Error::Config {
                key,
                message: format!(
                    "is {size}; make it at least {least}, four of which are the special tokens"
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Trains a tokeniser. The same lines give the same tokeniser; for the unigram model, whose
    /// logarithms may be rounded differently elsewhere, on the same platform.
    ///
    /// # Errors
    ///
    /// As [`TokenizerTrainer::finish`].
    pub fn train<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> Result<Tokenizer> {
        self.validate()?;
        let mut trainer = self.trainer();
        lines.into_iter().for_each(|line| trainer.add(line));
        trainer.finish()
    }

    /// Begins a training whose lines come one at a time.
    pub fn trainer(&self) -> TokenizerTrainer {
        TokenizerTrainer {
            config: self.clone(),
            counts: HashMap::new(),
        }
    }

    /// Its kind, and what it does to text before it cuts it, as they are written in a file.
    pub(super) fn form(&self) -> [String; 3] {
        let (kind, lowercase) = match self {
            Self::Char(c) => ("char", c.lowercase),
            Self::Whitespace(c) => ("whitespace", c.lowercase),
            Self::Bpe(c) => ("bpe", c.lowercase),
            Self::Unigram(c) => ("unigram", c.lowercase),
        };
        let normalization = format!("{:?}", self.normalization()).to_lowercase();
        [kind.into(), lowercase.to_string(), normalization]
    }

    /// Which form of Unicode text is put into.
    pub(super) fn normalization(&self) -> Normalization {
        match self {
            Self::Char(c) | Self::Whitespace(c) => c.normalization,
            Self::Bpe(c) | Self::Unigram(c) => c.normalization,
        }
    }

    /// Puts text into the form that is cut into tokens: in lower case and a form of Unicode if so
    /// configured; for subwords each word begins with a mark.
    pub(super) fn prepare<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let (lowercase, mark) = match self {
            Self::Char(c) | Self::Whitespace(c) => (c.lowercase, false),
            Self::Bpe(c) | Self::Unigram(c) => (c.lowercase, true),
        };
        let text = if lowercase {
            Cow::Owned(text.to_lowercase())
        } else {
            Cow::Borrowed(text)
        };
        let text = self.normalization().apply(text);
        if mark {
            Cow::Owned(subword::mark_words(&text))
        } else {
            text
        }
    }
}

/// A tokeniser in training: it counts the characters or words of lines, and keeps nothing else of them. So
/// its memory grows with the number of different words, not with the text.
///
/// ```
/// use att_data::TokenizerConfig;
///
/// let mut trainer = TokenizerConfig::whitespace().trainer();
/// trainer.add("a b a");
/// assert_eq!(trainer.finish()?.encode("b a"), [5, 4]);
/// # Ok::<(), att_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenizerTrainer {
    config: TokenizerConfig,
    /// How often each character, or each word, occurs.
    counts: HashMap<String, u64>,
}

impl TokenizerTrainer {
    /// Learns from a line.
    pub fn add(&mut self, line: &str) {
        let line = self.config.prepare(line);
        let counts = &mut self.counts;
        let mut count = |unit: &str| match counts.get_mut(unit) {
            Some(n) => *n += 1,
            None => _ = counts.insert(unit.to_string(), 1),
        };
        match self.config {
            TokenizerConfig::Char(_) => {
                line.chars().for_each(|c| count(c.encode_utf8(&mut [0; 4])));
            }
            _ => line.split_whitespace().for_each(count),
        }
    }

    /// The tokeniser of the lines so far.
    ///
    /// # Errors
    ///
    /// Those of [`TokenizerConfig::validate`]; [`Error::NoText`] if the lines are all empty,
    /// [`Error::Config`] if `min_count` leaves no token, [`Error::VocabularyTooSmall`] if
    /// `vocab_size` has no room for all characters, [`Error::TooMuchText`] if subwords are to be
    /// learnt from more than 2 GiB of text.
    pub fn finish(self) -> Result<Tokenizer> {
        let Self { config, counts } = self;
        config.validate()?;
        if counts.is_empty() {
            return Err(Error::NoText);
        }
        let (vocabulary, model) = match &config {
            TokenizerConfig::Char(c) => (c.vocabulary(counts)?, Model::Char),
            TokenizerConfig::Whitespace(c) => (c.vocabulary(counts)?, Model::Whitespace),
            TokenizerConfig::Bpe(c) => {
                let (vocabulary, bpe) = Bpe::train(counts, c.vocab_size)?;
                (vocabulary, Model::Bpe(bpe))
            }
            TokenizerConfig::Unigram(c) => {
                let (vocabulary, unigram) = Unigram::train(counts, c.vocab_size)?;
                (vocabulary, Model::Unigram(unigram))
            }
        };
        Ok(Tokenizer {
            config,
            vocabulary,
            model,
        })
    }
}

impl SymbolConfig {
    fn vocabulary(&self, counts: HashMap<String, u64>) -> Result<Vocabulary> {
        let vocabulary = Vocabulary::from_counts(counts, self.min_count, self.max_size);
        if vocabulary.len() == special::COUNT {
            return Err(Error::Config {
                key: "min_count",
                message: format!(
                    "is {}, and no token occurs as often; lower it",
                    self.min_count
                ),
            });
        }
        Ok(vocabulary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(toml: &str) -> std::result::Result<TokenizerConfig, toml::de::Error> {
        toml::from_str(toml)
    }

    #[test]
    fn toml_gives_defaults_and_round_trips() {
        assert_eq!(parse("kind = 'char'").unwrap(), TokenizerConfig::char());
        assert_eq!(
            parse("kind = 'bpe'\nvocab_size = 99").unwrap(),
            TokenizerConfig::bpe(99)
        );
        for config in [
            TokenizerConfig::Whitespace(SymbolConfig {
                lowercase: true,
                min_count: 3,
                max_size: Some(50),
                ..SymbolConfig::default()
            }),
            TokenizerConfig::char(),
            TokenizerConfig::unigram(300),
        ] {
            assert_eq!(parse(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn unknown_keys_and_kinds_are_named() {
        for kind in ["char", "whitespace", "bpe", "unigram"] {
            let error = parse(&format!("kind = '{kind}'\nlowercse = true")).unwrap_err();
            assert!(
                error.to_string().contains("unknown field `lowercse`"),
                "{error}"
            );
        }
        let error = parse("kind = 'words'").unwrap_err().to_string();
        assert!(
            error.contains("`words`") && error.contains("`whitespace`"),
            "{error}"
        );
        assert!(
            parse("lowercase = true")
                .unwrap_err()
                .to_string()
                .contains("`kind`")
        );
    }

    #[test]
    fn impossible_values_name_their_key() {
        let symbols = |min_count, max_size| {
            TokenizerConfig::Char(SymbolConfig {
                min_count,
                max_size,
                ..SymbolConfig::default()
            })
        };
        for (config, start) in [
            (symbols(0, None), "`min_count` is 0"),
            (symbols(1, Some(4)), "`max_size` is 4; make it at least 5"),
            (
                TokenizerConfig::bpe(0),
                "`vocab_size` is 0; make it at least 5",
            ),
            (
                TokenizerConfig::unigram(4),
                "`vocab_size` is 4; make it at least 5",
            ),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
            assert!(config.train(["text"]).is_err());
        }
        assert!(symbols(1, Some(5)).validate().is_ok());
    }

    #[test]
    fn text_that_gives_no_vocabulary_is_an_error() {
        for config in [TokenizerConfig::char(), TokenizerConfig::bpe(50)] {
            assert!(matches!(config.train([]), Err(Error::NoText)));
            assert!(matches!(config.train(["", ""]), Err(Error::NoText)));
        }
        let often = TokenizerConfig::Char(SymbolConfig {
            min_count: 9,
            ..SymbolConfig::default()
        });
        let error = often.train(["abc"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "`min_count` is 9, and no token occurs as often; lower it"
        );
        for config in [TokenizerConfig::bpe(7), TokenizerConfig::unigram(7)] {
            let error = config.train(["abc"]).unwrap_err().to_string();
            assert!(
                error.ends_with("4 different characters; make it at least 8"),
                "{error}"
            );
        }
    }
}
