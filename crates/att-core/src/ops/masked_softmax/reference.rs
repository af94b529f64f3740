use burn::tensor::{Bool, Tensor};

/// [`masked_softmax`](super::masked_softmax()) from plain tensor operations: the oracle that the
/// kernel is tested against, and what runs on CPU.
///
/// # Panics
///
/// If the shapes do not broadcast.
pub fn masked_softmax_reference<const D: usize>(
    scores: Tensor<D>,
    mask: Tensor<D, Bool>,
) -> Tensor<D> {
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
