//! An output layer and the log-probabilities of what it predicts as one operation.

mod backward;
#[cfg(feature = "cpu")]
mod cpu;
mod generic;
#[cfg(test)]
mod tests;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, assert_shape};

use super::linear::no_bias;
use super::linear_cross_entropy::assert_gold;

/// What a loss of each token of its own is made of, in nats.
#[derive(Clone, Debug)]
pub struct TokenTerms {
    /// `log p[gold]`, `[n]`.
    pub of_gold: Tensor<1>,
    /// `mean_v log p[v]`, `[n]`.
    pub mean: Tensor<1>,
}

/// The output layer and how well it predicts each token, where the mean of
/// [`linear_cross_entropy`](super::linear_cross_entropy()) is not enough:
///
/// ```text
/// p_i       = softmax(x_i W + b)
/// of_gold_i = log p_i[gold_i]
/// mean_i    = mean_v log p_i[v]
/// ```
///
/// - `features`: x, `[n, d_features]`
/// - `weight`: W, `[d_features, vocab]`; the transpose of a tensor is not copied
/// - `bias`: b, `[vocab]`
/// - `gold`: `n` tokens
///
/// One node on the tape. On CPU the scores exist for some hundred tokens at a time, as there; since the
/// gradients by the terms are not known before the backward pass, that makes the scores again:
///
/// ```text
/// ds_i[v] = d_of_gold_i [v = gold_i] + d_mean_i / vocab - (d_of_gold_i + d_mean_i) p_i[v]
/// dx = ds W^T        dW = x^T ds        db = sum of ds's rows
/// ```
///
/// # Panics
///
/// If the shapes disagree, there is not one gold token a position or no position, or a gold token
/// is not below `vocab`.
pub fn linear_log_probs(
    features: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    gold: &[u32],
) -> TokenTerms {
    let [n, d_features] = features.dims();
    let [_, vocab] = weight.dims();
    let bias = bias.unwrap_or_else(|| no_bias(&weight));
    assert_shape!(weight, [d_features, vocab]);
    assert_shape!(bias, [vocab]);
    assert_gold(gold, n, vocab);
    let terms = Dispatch::linear_log_probs(
        features.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        gold,
    );
    let terms = Tensor::<2>::from_dispatch(terms);
    let column = |at: usize| terms.clone().narrow(1, at, 1).squeeze_dim(1);
    TokenTerms {
        of_gold: column(0),
        mean: column(1),
    }
}

/// The output layer with its log-probabilities of a backend. Names as in [`linear_log_probs()`]; the
/// default bodies are made of the backend's own float operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Remote: cfg(feature = "remote"),
    Autodiff
)]
pub trait LinearLogProbsOps: Backend {
    /// Both terms of each token, `[n, 2]`.
    fn linear_log_probs(
        features: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gold: &[u32],
    ) -> FloatTensor<Self> {
        generic::terms::<Self>(features, weight, bias, gold)
    }

    /// The gradients by `features`, `weight` (laid out in memory as it is) and `bias`, given that by the
    /// terms, `[n, 2]`.
    fn linear_log_probs_backward(
        features: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gold: &[u32],
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        generic::backward::<Self>(features, weight, bias, gold, grad)
    }
}

#[cfg(feature = "cube")]
impl LinearLogProbsOps for burn_cubecl::CubeBackend {}

#[cfg(feature = "remote")]
impl LinearLogProbsOps for burn::backend::Remote {}
