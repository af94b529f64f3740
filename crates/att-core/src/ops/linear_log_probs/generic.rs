//! The operation from a backend's own float operations.

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor};
use burn::tensor::IndexingUpdateOp;

use crate::ops::generic::columns;
use crate::ops::linear_cross_entropy::generic::{column, gradients, log_probs};

/// Both terms of each token.
pub(super) fn terms<B: Backend>(
    features: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    gold: &[u32],
) -> FloatTensor<B> {
    let log_probs = log_probs::<B>(features, weight, bias);
    let gold = column::<B>(gold, &log_probs);
    let of_gold = B::float_gather(1, log_probs.clone(), gold);
    B::float_cat(vec![of_gold, B::float_mean_dim(log_probs, 1)], 1)
}

/// The gradients of features, weight and bias.
pub(super) fn backward<B: Backend>(
    features: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    gold: &[u32],
    grad: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let vocab = weight.shape()[1];
    let p = B::float_exp(log_probs::<B>(features.clone(), weight.clone(), bias));
    let gold = column::<B>(gold, &p);
    let (of_gold, mean) = (columns::<B>(grad.clone(), 0, 1), columns::<B>(grad, 1, 2));
    let both = B::float_add(of_gold.clone(), mean.clone());
    let mean = B::float_div_scalar(mean, (vocab as f64).into());
    let d_logits = B::float_sub(mean, B::float_mul(p, both));
    let d_logits = B::float_scatter(1, d_logits, gold, of_gold, IndexingUpdateOp::Add);
    gradients::<B>(features, weight, d_logits)
}
