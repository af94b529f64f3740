use burn::tensor::{Bool, Tensor};

use super::Alpha;

/// [`entmax`](super::entmax()) from plain tensor operations: the oracle that the kernel is tested
/// against, and what runs on GPUs.
///
/// Only the support is found by sorting; given it, tau is a closed form of the scores, whose
/// gradient is that of the whole.
///
/// # Panics
///
/// If the shapes do not broadcast.
pub fn entmax_reference<const D: usize>(
    scores: Tensor<D>,
    mask: Tensor<D, Bool>,
    alpha: Alpha,
) -> Tensor<D> {
    let mask: Tensor<D, Bool> = mask.expand(scores.shape());
    let scores = scores.mask_fill(mask.clone(), f32::MIN);
    // tau lies within one of the greatest scaled score, so what is further below has no weight, and
    // need not be exact.
    let max = scores.clone().detach().max_dim(D - 1);
    let scores = (scores - max).clamp_min(-4.0);
    let scores = match alpha {
        Alpha::OneAndHalf => scores * 0.5,
        Alpha::Two => scores,
    };
    let support = support(scores.clone().detach(), alpha);
    let n = support.clone().sum_dim(D - 1);
    let sum = (scores.clone() * support.clone()).sum_dim(D - 1);
    let weights = match alpha {
        Alpha::Two => scores - (sum - 1.0) / n,
        Alpha::OneAndHalf => {
            let mean = sum / n.clone();
            let distance = (scores.clone() - mean.clone()) * support.clone();
            let variance = (distance.clone() * distance).sum_dim(D - 1);
            let root = ((variance.neg() + 1.0) / n).sqrt();
            let above = scores - (mean - root);
            above.clone() * above
        }
    };
    // Not a product, so that what has no weight has no gradient.
    let none = support.equal_elem(0.0).bool_or(mask);
    weights.mask_fill(none, 0.0)
}

/// One where there is a weight: a score is in the support when those as great as itself, alone,
/// leave it one.
fn support<const D: usize>(scores: Tensor<D>, alpha: Alpha) -> Tensor<D> {
    let sorted = scores.clone().sort_descending(D - 1);
    let n = Tensor::ones_like(&sorted).cumsum(D - 1);
    let sum = sorted.clone().cumsum(D - 1);
    let tau = match alpha {
        Alpha::Two => (sum - 1.0) / n,
        Alpha::OneAndHalf => {
            let squares = (sorted.clone() * sorted.clone()).cumsum(D - 1);
            let mean = sum / n.clone();
            let variance = squares - mean.clone() * mean.clone() * n.clone();
            mean - ((variance.neg() + 1.0) / n).clamp_min(0.0).sqrt()
        }
    };
    let size = sorted.clone().greater(tau).float().sum_dim(D - 1);
    // The least score of the support.
    let place = (size.clamp_min(1.0) - 1.0).int();
    scores.greater_equal(sorted.gather(D - 1, place)).float()
}
