use burn::tensor::{Int, Tensor, activation::log_softmax};

use super::{CrossEntropy, assert_gold};

/// The loss of [`linear_cross_entropy`](super::linear_cross_entropy()) from scores that are there
/// already, by plain tensor operations; the oracle that the fused one is tested against.
///
/// - `logits`: of real positions alone, `[n, vocab]`
/// - `gold`: the tokens that stand there, `n` of them
///
/// # Panics
///
/// If there is not one gold token a position or no position, or a gold token is not below `vocab`.
pub fn cross_entropy(logits: Tensor<2>, gold: &[u32], smoothing: f64) -> CrossEntropy {
    let [n, vocab] = logits.dims();
    assert_gold(gold, n, vocab);
    let gold: Vec<i64> = gold.iter().map(|&id| i64::from(id)).collect();
    let gold = Tensor::<1, Int>::from_data(gold.as_slice(), &logits.device());
    let log_probs = log_softmax(logits, 1);
    let nll = -log_probs.clone().gather(1, gold.unsqueeze_dim(1)).mean();
    let loss = if smoothing > 0.0 {
        nll.clone() * (1.0 - smoothing) - log_probs.mean() * smoothing
    } else {
        nll.clone()
    };
    CrossEntropy { loss, nll }
}
