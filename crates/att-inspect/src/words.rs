use crate::{AttentionMap, Error, Result};

impl AttentionMap {
    /// The map with one column a source word and one row a target word.
    ///
    /// Weights are summed over the pieces of a source word, since what goes to any of them goes to the
    /// word, and averaged over the pieces of a target word, since each of them was a step of its own:
    ///
    /// ```text
    /// word[i][j] = 1 / |pieces of i| * sum_(t in pieces of i) sum_(s in pieces of j) weight[t][s]
    /// ```
    ///
    /// So rows that sum to 1 still do. A word is named by its pieces, without the mark `▁` or the space at
    /// their beginning.
    ///
    /// - `src_words`: the word of each source token, `[src_len]`, counted from 0: each the one before it or
    ///   one more
    /// - `tgt_words`: those of the target tokens, `[tgt_len]`
    ///
    /// ```
    /// use att_inspect::AttentionMap;
    ///
    /// let tokens = |text: &str| text.split(' ').map(String::from).collect();
    /// let pieces = AttentionMap::new(tokens("▁un like ly </s>"), tokens("▁im ▁kaum"), vec![
    ///     0.5, 0.25, 0.0, 0.25,
    ///     0.0, 0.50, 0.5, 0.00,
    /// ])?;
    /// let words = pieces.merged(&[0, 0, 0, 1], &[0, 0])?;
    /// assert_eq!(words.src_tokens(), ["unlikely", "</s>"]);
    /// assert_eq!(words.weights(), [0.875, 0.125]);
    /// # Ok::<(), att_inspect::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::WordCount`] and [`Error::WordOrder`] where the words are not those of the tokens.
    pub fn merged(&self, src_words: &[usize], tgt_words: &[usize]) -> Result<Self> {
        check("src_words", src_words, self.src_len())?;
        check("tgt_words", tgt_words, self.tgt_len())?;
        let src_tokens = names(self.src_tokens(), src_words);
        let tgt_tokens = names(self.tgt_tokens(), tgt_words);
        let mut pieces = vec![0u32; tgt_tokens.len()];
        // Sums of many small weights: in f64, so that rows keep their sums.
        let mut sums = vec![0f64; tgt_tokens.len() * src_tokens.len()];
        for (row, &tgt) in self.rows().zip(tgt_words) {
            pieces[tgt] += 1;
            let sums = &mut sums[tgt * src_tokens.len()..];
            for (&weight, &src) in row.iter().zip(src_words) {
                sums[src] += f64::from(weight);
            }
        }
        let rows = sums.chunks(src_tokens.len().max(1)).zip(&pieces);
        let weights = rows
            .flat_map(|(row, &pieces)| row.iter().map(move |sum| (sum / f64::from(pieces)) as f32))
            .collect();
        Self::new(src_tokens, tgt_tokens, weights)
    }
}

/// Whether these are the words of so many tokens.
pub(crate) fn check(key: &'static str, words: &[usize], n_tokens: usize) -> Result<()> {
    if words.len() != n_tokens {
        return Err(Error::WordCount {
            key,
            n_tokens,
            found: words.len(),
        });
    }
    let fits = |at: usize| match at {
        0 => words[0] == 0,
        at => words[at] == words[at - 1] || words[at] == words[at - 1] + 1,
    };
    match (0..words.len()).find(|&at| !fits(at)) {
        Some(token) => Err(Error::WordOrder {
            key,
            token,
            found: words[token],
        }),
        None => Ok(()),
    }
}

/// The pieces of each word in one, without what marks its beginning.
fn names(tokens: &[String], words: &[usize]) -> Vec<String> {
    let mut names: Vec<String> = vec![String::new(); words.last().map_or(0, |last| last + 1)];
    for (token, &word) in tokens.iter().zip(words) {
        names[word] += token;
    }
    for name in &mut names {
        let bare = name.trim_start_matches(['▁', ' ']);
        if !bare.is_empty() {
            *name = bare.to_string();
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::map;

    #[test]
    fn rows_that_sum_to_one_still_do() {
        let weights: Vec<f32> = (0..6 * 7).map(|i| (i * 37 % 11) as f32).collect();
        let rows = weights.chunks(7).flat_map(|row| {
            let sum: f32 = row.iter().sum();
            row.iter().map(move |weight| weight / sum)
        });
        let pieces = map(
            "▁a|b|▁c|d|e|▁|</s>",
            "▁u|▁v|w|x|▁y|</s>",
            &rows.collect::<Vec<_>>(),
        );
        let words = pieces
            .merged(&[0, 0, 1, 1, 1, 2, 3], &[0, 1, 1, 1, 2, 3])
            .unwrap();
        assert_eq!(words.src_tokens(), ["ab", "cde", "▁", "</s>"]);
        assert_eq!(words.tgt_tokens(), ["u", "vwx", "y", "</s>"]);
        for row in words.rows() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        let mean: f32 = (1..4)
            .map(|t| pieces.weight(t, 0) + pieces.weight(t, 1))
            .sum::<f32>()
            / 3.0;
        assert!((words.weight(1, 0) - mean).abs() < 1e-6);
    }

    #[test]
    fn each_token_a_word_changes_nothing_but_the_marks() {
        let pieces = map("▁a| b", "▁|x", &[0.25, 0.75, 1.0, 0.0]);
        let words = pieces.merged(&[0, 1], &[0, 1]).unwrap();
        assert_eq!(words, map("a|b", "▁|x", &[0.25, 0.75, 1.0, 0.0]));
        let empty = AttentionMap::new(vec![], vec![], vec![]).unwrap();
        assert_eq!(empty.merged(&[], &[]).unwrap(), empty);
        let no_source = AttentionMap::new(vec![], vec!["x".into()], vec![]).unwrap();
        assert_eq!(no_source.merged(&[], &[0]).unwrap(), no_source);
    }

    #[test]
    fn words_that_are_not_those_of_the_tokens_are_refused() {
        let map = map("a|b", "x", &[0.5, 0.5]);
        let error = map.merged(&[0], &[0]).unwrap_err().to_string();
        assert!(
            error.contains("`src_words` has 1 numbers for 2 tokens"),
            "{error}"
        );
        for words in [[1, 1], [0, 2], [0, usize::MAX]] {
            let error = map.merged(&words, &[0]).unwrap_err();
            assert!(matches!(
                error,
                Error::WordOrder {
                    key: "src_words",
                    ..
                }
            ));
        }
        let error = map.merged(&[0, 1], &[3]).unwrap_err().to_string();
        assert!(
            error.contains("`tgt_words` calls the word of token 0 3"),
            "{error}"
        );
    }
}
