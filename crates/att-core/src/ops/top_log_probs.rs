//! The most probable tokens of each row, for search.

use burn::tensor::Tensor;

use super::simd::{exp, max_of, sum_of, vectorise};
use crate::host_vec;

/// Which tokens of a row may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// All but these.
    Except(&'a [u32]),
    /// This one alone.
    Only(u32),
}

/// A token and its probability after a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLogProb {
    /// Its id.
    pub token: u32,
    /// Natural logarithm of its probability among all tokens, those that may not be chosen
    /// included.
    pub log_prob: f32,
}

/// Of each row the `k` most probable tokens that may be chosen, best first, with
///
/// ```text
/// log p[token] = logits[token] - log sum_i exp(logits[i])
/// ```
///
/// - `logits`: `[rows, vocab]`
/// - `choices`: one a row
///
/// Ties go to the smaller id; what is not a number comes last, and a token whose logit is minus infinity
/// can't be chosen. Where fewer may be chosen, fewer come back. Computed on the host: a step of search needs
/// the result there.
///
/// # Panics
///
/// If there is not one choice a row, a row has no logits, or `k` is zero.
pub fn top_log_probs(logits: Tensor<2>, k: usize, choices: &[Choice]) -> Vec<Vec<TokenLogProb>> {
    let [rows, vocab] = logits.dims();
    assert_eq!(choices.len(), rows, "one choice a row");
    assert!(vocab > 0 && k > 0, "a row needs logits, and a choice room");
    map_rows(&mut host_vec(logits), vocab, |row, logits| {
        best_tokens(logits, k, choices[row])
    })
}

/// `f` of each row of a row-major matrix of `width` columns, and the row's number; many numbers are
/// shared out to threads.
///
/// # Panics
///
/// If `width` is zero.
pub fn map_rows<R: Send>(
    values: &mut [f32],
    width: usize,
    f: impl Fn(usize, &mut [f32]) -> R + Sync,
) -> Vec<R> {
    #[cfg(feature = "cpu")]
    {
        use rayon::prelude::*;
        const WORTH_A_THREAD: usize = 1 << 16;
        if values.len() >= 2 * WORTH_A_THREAD {
            let rows = values.par_chunks_mut(width).enumerate();
            return rows.map(|(row, values)| f(row, values)).collect();
        }
    }
    let rows = values.chunks_mut(width).enumerate();
    rows.map(|(row, values)| f(row, values)).collect()
}

/// Logits whose greatest one is kept, so that most are never compared with the best.
const BLOCK: usize = 64;

/// [`top_log_probs`] of one row, which is on the host.
pub fn best_tokens(logits: &[f32], k: usize, choice: Choice) -> Vec<TokenLogProb> {
    let (maxima, log_sum) = vectorise(
        #[inline(always)]
        || {
            let maxima: Vec<f32> = logits.chunks(BLOCK).map(max_of).collect();
            let log_sum = log_sum_below(logits, max_of(&maxima));
            (maxima, log_sum)
        },
    );
    let found = |token: usize| TokenLogProb {
        token: token as u32,
        log_prob: logits[token] - log_sum,
    };
    let except = match choice {
        Choice::Only(token) => return vec![found(token as usize)],
        Choice::Except(tokens) => tokens,
    };
    // What is not a number compares as the least.
    let key = |token: usize| f32::max(logits[token], f32::NEG_INFINITY);
    let never =
        |token: usize| logits[token] == f32::NEG_INFINITY || except.contains(&(token as u32));
    let mut best: Vec<usize> = Vec::with_capacity(k + 1);
    let beaten = |best: &[usize], x: f32| best.len() == k && x <= key(best[k - 1]);
    for (block, max) in maxima.into_iter().enumerate() {
        if beaten(&best, max) {
            continue;
        }
        for token in block * BLOCK..logits.len().min((block + 1) * BLOCK) {
            if never(token) || beaten(&best, key(token)) {
                continue;
            }
            let rank = best.partition_point(|&other| key(other) >= key(token));
            best.insert(rank, token);
            best.truncate(k);
        }
    }
    best.into_iter().map(found).collect()
}

/// `log sum_i exp(x[i])`.
pub fn log_sum_exp(x: &[f32]) -> f32 {
    vectorise(
        #[inline(always)]
        || log_sum_below(x, max_of(x)),
    )
}

/// [`log_sum_exp`], `max` being the greatest x.
#[inline(always)]
fn log_sum_below(x: &[f32], max: f32) -> f32 {
    max + sum_of(x, |x| exp(x - max)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{cpu_devices, random_tensor};

    /// By sorting.
    fn expected(logits: &[f32], k: usize, except: &[u32]) -> Vec<TokenLogProb> {
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        let mut tokens: Vec<u32> = (0..logits.len() as u32)
            .filter(|token| !except.contains(token))
            .collect();
        tokens.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
        tokens
            .into_iter()
            .take(k)
            .map(|token| TokenLogProb {
                token,
                log_prob: (f64::from(logits[token as usize]) - sum.ln()) as f32,
            })
            .collect()
    }

    #[test]
    fn the_best_come_first_with_their_probabilities() {
        for device in cpu_devices() {
            for (vocab, k) in [(1, 1), (5, 3), (64, 64), (65, 2), (1000, 7), (3, 9)] {
                crate::random::seed(1);
                let logits = random_tensor([3, vocab], &device) * 4.0;
                let rows = host_vec(logits.clone());
                for except in [&[][..], &[0, 2]] {
                    let found = top_log_probs(logits.clone(), k, &[Choice::Except(except); 3]);
                    for (found, row) in found.iter().zip(rows.chunks(vocab)) {
                        let expected = expected(row, k, except);
                        assert_eq!(found.len(), expected.len());
                        for (found, expected) in found.iter().zip(expected) {
                            assert_eq!(found.token, expected.token);
                            assert!((found.log_prob - expected.log_prob).abs() < 1e-5);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn one_token_alone_keeps_its_probability_among_all() {
        let found = best_tokens(&[0.0, 2.0, 1.0], 2, Choice::Only(2));
        let sum = 1.0 + 2f32.exp() + 1f32.exp();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].token, 2);
        assert!((found[0].log_prob - (1.0 - sum.ln())).abs() < 1e-6);
    }

    #[test]
    fn ties_go_to_the_smaller_id_and_what_is_no_number_comes_last() {
        let tokens = |logits: &[f32], k| -> Vec<u32> {
            let best = best_tokens(logits, k, Choice::Except(&[]));
            best.iter().map(|found| found.token).collect()
        };
        assert_eq!(tokens(&[0.0; 130], 3), [0, 1, 2]);
        assert_eq!(tokens(&[1.0, f32::NAN, 2.0, 1.0], 4), [2, 0, 3, 1]);
        assert_eq!(tokens(&[f32::NAN; 3], 2), [0, 1]);
        assert_eq!(tokens(&[f32::NEG_INFINITY, f32::NAN, 0.0], 3), [2, 1]);
        assert_eq!(tokens(&[1e4, -1e4, 0.0], 2), [0, 2]);
    }
}
