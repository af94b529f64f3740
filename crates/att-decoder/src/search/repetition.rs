/// The repetition penalty of CTRL (Keskar et al. 2019, sec. 4.1), whose scores are divided by theta
/// where their token has come before. A score below zero is multiplied instead, so that above 1 theta
/// always makes it less probable, whatever the scores are counted from.
pub(super) fn repeated(logit: f32, theta: f64) -> f32 {
    let theta = theta as f32;
    if logit > 0.0 {
        logit / theta
    } else {
        logit * theta
    }
}

/// The tokens that would make an n-gram of `tokens` stand in it twice (Paulus et al. 2018, sec. 2.5, for
/// trigrams); none where `n` is 0.
pub(super) fn ngram_ends(tokens: &[u32], n: usize) -> impl Iterator<Item = u32> {
    let begun = n
        .checked_sub(1)
        .and_then(|begun| tokens.len().checked_sub(begun))
        .map(|start| &tokens[start..]);
    let ngrams = tokens.windows(n.max(1));
    ngrams.filter_map(move |ngram| {
        let (last, first) = ngram.split_last()?;
        (begun? == first).then_some(*last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_token_becomes_less_probable() {
        assert_eq!(repeated(3.0, 1.5), 2.0);
        assert_eq!(repeated(-2.0, 1.5), -3.0);
        assert_eq!(repeated(-2.0, 1.0), -2.0);
    }

    #[test]
    fn ngrams_that_would_come_twice_are_found() {
        let ends = |tokens: &[u32], n| ngram_ends(tokens, n).collect::<Vec<_>>();
        assert_eq!(ends(&[5, 6, 7, 5, 6], 3), [7]);
        assert_eq!(ends(&[5, 6, 5, 7, 5], 2), [6, 7]);
        assert_eq!(ends(&[5, 6], 1), [5, 6]);
        assert_eq!(ends(&[5, 5], 2), [5]);
        assert_eq!(ends(&[5, 6], 0), [0; 0]);
        assert_eq!(ends(&[5, 6], 4), [0; 0]);
        assert_eq!(ends(&[], 1), [0; 0]);
    }
}
