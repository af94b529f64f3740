use burn::tensor::{Bool, Tensor};

use super::AttentionRead;
use crate::ops::masked_softmax;

/// [`attention_read`](super::attention_read()) from plain tensor operations: the oracle that the
/// fused one is tested against, and what runs on GPUs.
///
/// # Panics
///
/// If the shapes disagree.
pub fn attention_read_reference(
    scores: Tensor<3>,
    values: Tensor<3>,
    mask: Tensor<2, Bool>,
) -> AttentionRead {
    let weights = masked_softmax(scores, mask.unsqueeze_dim(1));
    AttentionRead {
        context: weights.clone().matmul(values),
        weights,
    }
}
