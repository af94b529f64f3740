use std::error::Error;
use std::path::{Path, PathBuf};

use att_data::{Corpus, TokenizerConfig, read_lines};
use att_eval::PharaohLink;
use att_train::TokenizersConfig;

/// What each target word of the validation pairs says of its source, by hand.
pub struct GoldAlignments {
    path: PathBuf,
    lines: Vec<String>,
}

impl GoldAlignments {
    /// # Errors
    ///
    /// If the file can't be read, has not one line a pair, or a word in it is no link.
    pub fn read(path: &Path, valid: &Corpus) -> Result<Self, Box<dyn Error>> {
        let gold = Self {
            lines: read_lines(path)?,
            path: path.into(),
        };
        let (lines, pairs) = (gold.lines.len(), valid.pairs.len());
        if lines != pairs {
            let path = path.display();
            return Err(format!(
                "{path} has {lines} lines, but there are {pairs} validation pairs: give a line for each"
            )
            .into());
        }
        for (i, line) in gold.lines.iter().enumerate() {
            for word in line.split_whitespace() {
                if PharaohLink::parse(word).is_none() {
                    return gold.refuse(
                        i,
                        word,
                        "is not a link such as 0-1 (sure) or 0p1 (possible)",
                    );
                }
            }
        }
        Ok(gold)
    }

    /// # Errors
    ///
    /// If a link goes beyond its pair: then positions are not what these tokenisers make of the text.
    pub fn check(
        &self,
        tokenizers: &TokenizersConfig,
        valid: &Corpus,
    ) -> Result<(), Box<dyn Error>> {
        let TokenizersConfig {
            shared, src, tgt, ..
        } = tokenizers;
        let tgt = if *shared { src } else { tgt };
        for (i, (line, pair)) in self.lines.iter().zip(&valid.pairs).enumerate() {
            let (n_src, n_tgt) = (positions(src, &pair.src), positions(tgt, &pair.tgt));
            for word in line.split_whitespace() {
                let inside = PharaohLink::parse(word)
                    .is_some_and(|link| link.src < n_src && link.tgt < n_tgt);
                if !inside {
                    let reason = format!(
                        "is beyond a pair of {n_src} and {n_tgt} positions, which count from 0"
                    );
                    return self.refuse(i, word, &reason);
                }
            }
        }
        Ok(())
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    fn refuse<T>(&self, i: usize, word: &str, reason: &str) -> Result<T, Box<dyn Error>> {
        let (path, line) = (self.path.display(), i + 1);
        Err(format!("{path} line {line}: `{word}` {reason}").into())
    }
}

/// How many positions a text has for alignments: characters, or else words.
fn positions(tokenizer: &TokenizerConfig, text: &str) -> usize {
    match tokenizer {
        TokenizerConfig::Char(_) => text.chars().count(),
        _ => text.split_whitespace().count(),
    }
}

/// The position of each token: its own, or that of its word where the first token of a word bears a mark.
pub fn token_positions(tokens: &[String], marks_words: bool) -> Vec<usize> {
    if !marks_words {
        return (0..tokens.len()).collect();
    }
    let mut words = 0usize;
    let of_token = |token: &String| {
        words += usize::from(token.starts_with('▁'));
        words.saturating_sub(1)
    };
    tokens.iter().map(of_token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_a_word_stand_where_it_does() {
        let tokens = ["▁the", "▁c", "at", "s", "▁sat"].map(String::from);
        assert_eq!(token_positions(&tokens, true), [0, 1, 1, 1, 2]);
        assert_eq!(token_positions(&tokens, false), [0, 1, 2, 3, 4]);
    }
}
