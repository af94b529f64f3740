use burn::tensor::{Bool, Tensor};

/// Softmax along the last axis over what is not masked.
///
/// `weights[i] = exp(scores[i] - max) / sum_j exp(scores[j] - max)`, with `i`, `j` and `max` over
/// unmasked positions. Masked positions get exactly zero, and so does a row that is masked whole
/// (not NaN, and not uniform over padding). No gradient reaches a masked score.
///
/// - `scores`: `[.., src_len]`, finite
/// - `mask`: the same shape, or one that broadcasts to it; true = masked
/// - returns the weights, `[.., src_len]`
///
/// # Panics
///
/// If the shapes do not broadcast.
pub fn masked_softmax<const D: usize>(scores: Tensor<D>, mask: Tensor<D, Bool>) -> Tensor<D> {
    let mask = mask.expand(scores.shape());
    // The most negative finite number rather than infinity: a row that is masked whole stays
    // finite, and its zeros come from the second fill.
    let scores = scores.mask_fill(mask.clone(), f32::MIN);
    // Softmax does not change when a constant is subtracted, so none is differentiated.
    let max = scores.clone().detach().max_dim(D - 1);
    let exp = (scores - max).exp().mask_fill(mask, 0.0);
    // The greatest unmasked score adds exp(0) = 1: a sum below one is that of an empty row.
    let sum = exp.clone().sum_dim(D - 1).clamp_min(1.0);
    exp / sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn weights(scores: &[f32], mask: &[bool]) -> Vec<f32> {
        let device = Device::flex();
        masked_softmax(
            Tensor::<1>::from_data(scores, &device),
            Tensor::from_data(mask, &device),
        )
        .into_data()
        .try_to_vec()
        .unwrap()
    }

    #[test]
    fn weights_sum_to_one_over_what_is_left() {
        let (o, x) = (false, true);
        let w = weights(&[1.0, 2.0, 9.0, 2.0], &[o, o, x, o]);
        assert_eq!(w[2], 0.0);
        assert_eq!(w[1], w[3]);
        assert!((w.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((w[1] / w[0] - 1f32.exp()).abs() < 1e-5);
    }

    #[test]
    fn a_row_masked_whole_has_no_weight() {
        assert_eq!(weights(&[5.0, -5.0], &[true, true]), [0.0, 0.0]);
    }

    #[test]
    fn huge_scores_stay_finite() {
        assert_eq!(
            weights(&[1e4, -1e4, 1e30], &[false, false, true]),
            [1.0, 0.0, 0.0]
        );
        assert_eq!(weights(&[-1e4, -1e4], &[false, true]), [1.0, 0.0]);
    }

    #[test]
    fn gradients_are_exact_and_stop_at_the_mask() {
        let device = Device::flex().autodiff();
        let scores = Tensor::<1>::from_data([0.3, -0.2, 7.0], &device).require_grad();
        let mask = Tensor::from_data([false, false, true], &device);
        let w = masked_softmax(scores.clone(), mask);
        let picked = w.clone().narrow(0, 0, 1);
        let grads = picked.backward();
        let g = scores
            .grad(&grads)
            .unwrap()
            .into_data()
            .try_to_vec::<f32>()
            .unwrap();
        let w = w.into_data().try_to_vec::<f32>().unwrap();
        assert!((g[0] - w[0] * (1.0 - w[0])).abs() < 1e-6);
        assert!((g[1] + w[0] * w[1]).abs() < 1e-6);
        assert_eq!(g[2], 0.0);
    }
}
