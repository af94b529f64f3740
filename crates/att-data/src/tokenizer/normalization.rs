use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc, is_nfd, is_nfkc, is_nfkd};

/// Which form of Unicode text is put into before it is cut into tokens (Unicode Standard Annex 15).
///
/// One and the same `é` can be written as one character or as two. What is decomposed has fewer
/// different characters that each occur more often: a Korean syllable becomes its two or three
/// letters, an accent a character of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Text stays as it is.
    #[default]
    None,
    /// Composed.
    Nfc,
    /// Decomposed.
    Nfd,
    /// Composed, and what differs in its looks alone, such as `ﬁ` and `fi`, made the same.
    Nfkc,
    /// Decomposed, likewise.
    Nfkd,
}

impl Normalization {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The text in this form.
    pub(super) fn apply(self, text: Cow<'_, str>) -> Cow<'_, str> {
        let is_there = match self {
            Self::None => true,
            Self::Nfc => is_nfc(&text),
            Self::Nfd => is_nfd(&text),
            Self::Nfkc => is_nfkc(&text),
            Self::Nfkd => is_nfkd(&text),
        };
        if is_there {
            return text;
        }
        Cow::Owned(match self {
            Self::None => unreachable!("text is in no form already"),
            Self::Nfc => text.nfc().collect(),
            Self::Nfd => text.nfd().collect(),
            Self::Nfkc => text.nfkc().collect(),
            Self::Nfkd => text.nfkd().collect(),
        })
    }

    /// What was decomposed, as people write it: composed.
    pub(super) fn compose(self, text: String) -> String {
        match self {
            Self::Nfd | Self::Nfkd if !is_nfc(&text) => text.nfc().collect(),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SymbolConfig, TokenizerConfig};
    use super::*;

    fn char(normalization: Normalization) -> TokenizerConfig {
        TokenizerConfig::Char(SymbolConfig {
            normalization,
            ..SymbolConfig::default()
        })
    }

    #[test]
    fn each_form_cuts_in_its_way() {
        let text = "한é ﬁ";
        let tokens = |form| char(form).train([text]).unwrap().tokens(text).len();
        assert_eq!(tokens(Normalization::None), 4);
        assert_eq!(tokens(Normalization::Nfc), 4);
        assert_eq!(tokens(Normalization::Nfd), 3 + 2 + 1 + 1);
        assert_eq!(tokens(Normalization::Nfkc), 5);
        assert_eq!(tokens(Normalization::Nfkd), 3 + 2 + 1 + 2);
    }

    #[test]
    fn the_two_ways_of_writing_are_one_and_what_comes_out_is_composed() {
        for form in [Normalization::Nfc, Normalization::Nfd] {
            let tokenizer = char(form).train(["é한"]).unwrap();
            assert_eq!(tokenizer.encode("e\u{301}"), tokenizer.encode("é"));
            assert_eq!(tokenizer.decode(&tokenizer.encode("e\u{301}한")), "é한");
        }
        let plain = char(Normalization::None).train(["é"]).unwrap();
        assert_ne!(plain.encode("e\u{301}"), plain.encode("é"));
    }

    #[test]
    fn it_is_named_in_files_only_where_there_is_one() {
        let toml = |config: &TokenizerConfig| toml::to_string(config).unwrap();
        assert!(!toml(&char(Normalization::None)).contains("normalization"));
        let text = toml(&char(Normalization::Nfd));
        assert!(text.contains("normalization = \"nfd\""), "{text}");
        let read: TokenizerConfig = toml::from_str(&text).unwrap();
        assert_eq!(read, char(Normalization::Nfd));
    }
}
