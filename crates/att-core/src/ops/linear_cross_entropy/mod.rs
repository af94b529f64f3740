//! An output layer and its loss as one operation.

mod backward;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "cube")]
mod cube;
pub(super) mod generic;
#[cfg(feature = "cpu")]
pub(super) mod kernel;
mod reference;
#[cfg(test)]
mod tests;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, assert_shape};

pub use reference::cross_entropy;

use super::linear::no_bias;

/// A loss, each number a mean over tokens in nats, `[1]`.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// What training minimises.
    pub loss: Tensor<1>,
    /// Without smoothing; its exponential is the perplexity.
    pub nll: Tensor<1>,
}

/// The output layer and the cross-entropy with label smoothing (Szegedy et al. 2016, sec. 7) of
/// what it predicts:
///
/// ```text
/// p_i  = softmax(x_i W + b)
/// nll  = -mean_i log p_i[gold_i]
/// loss = (1 - smoothing) nll - smoothing mean_i mean_v log p_i[v]
/// ```
///
/// - `features`: x, `[n, d_features]`, of real positions alone
/// - `weight`: W, `[d_features, vocab]`; the transpose of a tensor, such as an embedding's table,
///   is not copied
/// - `bias`: b, `[vocab]`
/// - `gold`: the tokens that stand there, `n` of them
///
/// One node on the tape. On CPU the scores exist for some hundred tokens at a time, and where the
/// tape tracks an argument they turn into the gradients at once; the backward pass has nothing left
/// to do but to multiply these by the gradient of the loss:
///
/// ```text
/// ds_i[v] = (p_i[v] - (1 - smoothing) [v = gold_i] - smoothing / vocab) / n
/// dx = ds W^T        dW = x^T ds        db = sum of ds's rows
/// ```
///
/// On a GPU the scores are whole, and one kernel turns each row into its loss and ds.
///
/// `nll` carries no gradient.
///
/// # Panics
///
/// If the shapes disagree, there is not one gold token a position or no position, or a gold token
/// is not below `vocab`.
pub fn linear_cross_entropy(
    features: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    gold: &[u32],
    smoothing: f64,
) -> CrossEntropy {
    let [n, d_features] = features.dims();
    let [_, vocab] = weight.dims();
    let bias = bias.unwrap_or_else(|| no_bias(&weight));
    assert_shape!(weight, [d_features, vocab]);
    assert_shape!(bias, [vocab]);
    assert_gold(gold, n, vocab);
    let (loss, nll) = Dispatch::linear_cross_entropy(
        features.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        gold,
        smoothing,
    );
    CrossEntropy {
        loss: Tensor::from_dispatch(loss),
        nll: Tensor::from_dispatch(nll),
    }
}

/// That there is a gold token of the vocabulary for each of `n` positions.
pub(super) fn assert_gold(gold: &[u32], n: usize, vocab: usize) {
    assert!(n > 0, "a loss needs at least one token");
    assert_eq!(gold.len(), n, "one gold token a position");
    if let Some(id) = gold.iter().find(|&&id| id as usize >= vocab) {
        panic!("the gold token {id} is not one of the {vocab} of the vocabulary");
    }
}

/// The output layer with its loss of a backend. Names as in [`linear_cross_entropy()`]; the
/// default bodies are made of the backend's own float operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Remote: cfg(feature = "remote"),
    Autodiff
)]
pub trait LinearCrossEntropyOps: Backend {
    /// loss and nll, `[1]`.
    fn linear_cross_entropy(
        features: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gold: &[u32],
        smoothing: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let log_probs = generic::log_probs::<Self>(features, weight, bias);
        generic::losses::<Self>(log_probs, gold, smoothing)
    }

    /// loss and nll, `[1]`, and the gradients of the loss by `features`, `weight` (laid out in
    /// memory as it is) and `bias`.
    #[allow(clippy::type_complexity)] // losses and gradients, as they are named above
    fn linear_cross_entropy_forward(
        features: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gold: &[u32],
        smoothing: f64,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        generic::forward::<Self>(features, weight, bias, gold, smoothing)
    }

    /// A gradient of the forward pass times that of the loss, `[1]`.
    fn linear_cross_entropy_backward(
        grad: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        generic::scaled::<Self>(grad, gradient)
    }
}

#[cfg(feature = "remote")]
impl LinearCrossEntropyOps for burn::backend::Remote {}
