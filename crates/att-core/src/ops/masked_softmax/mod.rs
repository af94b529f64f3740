//! Softmax over what is not masked, on GPUs as one operation.

#[cfg(feature = "cube")]
mod backward;
#[cfg(feature = "cube")]
mod cube;
mod reference;

#[cfg(feature = "cube")]
use burn::backend::{
    Backend, backend_extension,
    tensor::{BoolTensor, FloatTensor},
};
use burn::tensor::{Bool, Tensor};

pub use reference::masked_softmax_reference;

/// Softmax along the last axis over what is not masked.
///
/// `weights[i] = exp(scores[i] - max) / sum_j exp(scores[j] - max)`, with `i`, `j` and `max` over
/// unmasked positions. Masked positions get exactly zero, and so does a row that is masked whole
/// (not NaN, and not uniform over padding). No gradient reaches a masked score. On GPUs it is one
/// kernel and one node on the tape.
///
/// - `scores`: `[.., src_len]`, finite
/// - `mask`: the same shape, or one that broadcasts to it; true = masked
/// - returns the weights, `[.., src_len]`
///
/// # Panics
///
/// If the shapes do not broadcast, or a size is 0.
pub fn masked_softmax<const D: usize>(scores: Tensor<D>, mask: Tensor<D, Bool>) -> Tensor<D> {
    super::assert_some("masked_softmax", &scores);
    #[cfg(feature = "cube")]
    if super::has_cube_kernels(&scores) {
        let mask: Tensor<D, Bool> = mask.expand(scores.shape());
        let weights = <burn::backend::Dispatch as MaskedSoftmaxOps>::masked_softmax(
            scores.into_dispatch(),
            mask.into_dispatch(),
        );
        return Tensor::from_dispatch(weights);
    }
    masked_softmax_reference(scores, mask)
}

/// The weights of a backend; names as in [`masked_softmax()`].
#[cfg(feature = "cube")]
#[backend_extension(Cube: cfg(feature = "cube"), Autodiff)]
pub trait MaskedSoftmaxOps: Backend {
    /// The weights, `[.., src_len]`; `mask` has the shape of `scores`.
    fn masked_softmax(scores: FloatTensor<Self>, mask: BoolTensor<Self>) -> FloatTensor<Self>;

    /// Gradient of the scores, given that of the weights.
    fn masked_softmax_backward(
        grad: FloatTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{assert_close, devices, gradients, random_tensor};
    use burn::tensor::Device;

    /// The same on every device.
    fn weights(scores: &[f32], mask: &[bool]) -> Vec<f32> {
        let on = |device: &Device| {
            masked_softmax(
                Tensor::<1>::from_data(scores, device),
                Tensor::from_data(mask, device),
            )
            .into_data()
            .try_to_vec::<f32>()
            .unwrap()
        };
        let weights = on(&Device::flex());
        for device in devices() {
            let found = on(&device);
            for (a, b) in weights.iter().zip(found) {
                assert!((a - b).abs() < 1e-6, "{device:?}: {a} {b}");
            }
        }
        weights
    }

    /// Whole rows and none masked, rows longer than a cube is wide, and masks that broadcast.
    #[test]
    fn kernels_equal_the_reference_with_gradients() {
        for device in devices() {
            for [batch, tgt_len, src_len] in [[1, 1, 1], [3, 2, 5], [2, 3, 64], [4, 1, 201]] {
                crate::random::seed(2);
                let scores = random_tensor([batch, tgt_len, src_len], &device) * 10.0;
                let lengths: Vec<usize> = (0..batch).map(|row| row * 7 % (src_len + 1)).collect();
                let mask = crate::mask::src_pad_mask(&lengths, src_len, &device);
                let mask = mask.unsqueeze_dim::<3>(1);
                let fused = masked_softmax(scores.clone(), mask.clone());
                let plain = masked_softmax_reference(scores.clone(), mask.clone());
                assert_close(fused, plain, 1e-6);
                let fused = gradients([scores.clone()], |[s]| masked_softmax(s, mask.clone()));
                let plain = gradients([scores], |[s]| masked_softmax_reference(s, mask.clone()));
                assert_close(fused[0].clone(), plain[0].clone(), 1e-6);
            }
        }
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
