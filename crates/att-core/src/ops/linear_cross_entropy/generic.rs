//! The operation from a backend's own float operations.

use burn::backend::{
    Backend, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{IndexingUpdateOp, Shape, TensorData};

/// `log softmax(x W + b)`, `[n, vocab]`.
pub(in crate::ops) fn log_probs<B: Backend>(
    features: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    let bias = B::float_reshape(bias, Shape::from([1, weight.shape()[1]]));
    B::log_softmax(B::float_add(B::float_matmul(features, weight), bias), 1)
}

/// The gold tokens as a column of i32.
pub(in crate::ops) fn column<B: Backend>(gold: &[u32], like: &FloatTensor<B>) -> IntTensor<B> {
    let ids: Vec<i64> = gold.iter().map(|&id| i64::from(id)).collect();
    let data = TensorData::new(ids, [gold.len(), 1]);
    // An integer type that every backend has for indices.
    B::int_from_data(data.convert::<i32>(), &like.device())
}

/// loss and nll.
pub(super) fn losses<B: Backend>(
    log_probs: FloatTensor<B>,
    gold: &[u32],
    smoothing: f64,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let gold = column::<B>(gold, &log_probs);
    let nll = B::float_neg(B::float_mean(B::float_gather(1, log_probs.clone(), gold)));
    let uniform = B::float_mul_scalar(B::float_mean(log_probs), smoothing.into());
    let loss = B::float_mul_scalar(nll.clone(), (1.0 - smoothing).into());
    (B::float_sub(loss, uniform), nll)
}

#[allow(clippy::type_complexity)] // losses and gradients, as they are named above
pub(super) fn forward<B: Backend>(
    features: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    gold: &[u32],
    smoothing: f64,
) -> (
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
) {
    let (n, vocab) = (features.shape()[0], weight.shape()[1]);
    let log_probs = log_probs::<B>(features.clone(), weight.clone(), bias);
    let (loss, nll) = losses::<B>(log_probs.clone(), gold, smoothing);

    let gold = column::<B>(gold, &log_probs);
    let p = B::float_exp(log_probs);
    let p = B::float_sub_scalar(p, (smoothing / vocab as f64).into());
    let share = B::float_slice(p.clone(), &[(0..n).into(), (0..1).into()]);
    let share = B::float_add_scalar(
        B::float_mul_scalar(share, 0.0.into()),
        (smoothing - 1.0).into(),
    );
    let d_logits = B::float_scatter(1, p, gold, share, IndexingUpdateOp::Add);
    let d_logits = B::float_div_scalar(d_logits, (n as f64).into());
    let (d_features, d_weight, d_bias) = gradients::<B>(features, weight, d_logits);
    (loss, nll, d_features, d_weight, d_bias)
}

/// The gradients of features, weight and bias from that of `x W + b`.
pub(in crate::ops) fn gradients<B: Backend>(
    features: FloatTensor<B>,
    weight: FloatTensor<B>,
    d_logits: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let vocab = weight.shape()[1];
    let d_features = B::float_matmul(d_logits.clone(), B::float_transpose(weight));
    let d_weight = B::float_matmul(B::float_transpose(features), d_logits.clone());
    let d_bias = B::float_reshape(B::float_sum_dim(d_logits, 0), Shape::from([vocab]));
    (d_features, d_weight, d_bias)
}

pub(super) fn scaled<B: Backend>(grad: FloatTensor<B>, gradient: FloatTensor<B>) -> FloatTensor<B> {
    let ones = vec![1; gradient.shape().num_dims()];
    B::float_mul(gradient, B::float_reshape(grad, Shape::from(ones)))
}
