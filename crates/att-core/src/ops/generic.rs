//! Small helpers over a backend's float operations, for the generic bodies of fused operations.

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor};
use burn::tensor::{Shape, Slice};

/// Columns `from..to` of a `[rows, cols]` tensor.
pub(super) fn columns<B: Backend>(
    tensor: FloatTensor<B>,
    from: usize,
    to: usize,
) -> FloatTensor<B> {
    B::float_slice(tensor, &[Slice::full(), Slice::from(from..to)])
}

/// Step `t` of a `[batch, len, d]` tensor, `[batch, d]`.
pub(super) fn step<B: Backend>(tensor: FloatTensor<B>, t: usize) -> FloatTensor<B> {
    let shape = tensor.shape();
    let row = B::float_slice(tensor, &[Slice::full(), Slice::from(t..t + 1)]);
    B::float_reshape(row, Shape::from([shape[0], shape[2]]))
}

/// `[batch, d]` tensors, one a step, as one `[batch, len, d]` tensor.
pub(super) fn stack_steps<B: Backend>(steps: Vec<FloatTensor<B>>) -> FloatTensor<B> {
    let shape = steps[0].shape();
    let steps = steps
        .into_iter()
        .map(|step| B::float_reshape(step, Shape::from([shape[0], 1, shape[1]])))
        .collect();
    B::float_cat(steps, 1)
}

/// `[batch, len, d]` as `[batch * len, d]`.
pub(super) fn flatten<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let shape = tensor.shape();
    B::float_reshape(tensor, Shape::from([shape[0] * shape[1], shape[2]]))
}

/// `1 - x`.
pub(super) fn one_minus<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_add_scalar(B::float_neg(x), 1.0.into())
}

/// `up * s (1 - s)`: the gradient through a sigmoid whose value is `s`.
pub(super) fn through_sigmoid<B: Backend>(s: FloatTensor<B>, up: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(up, B::float_mul(s.clone(), one_minus::<B>(s)))
}

/// `up * (1 - y^2)`: the gradient through a tanh whose value is `y`.
pub(super) fn through_tanh<B: Backend>(y: FloatTensor<B>, up: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(up, one_minus::<B>(B::float_mul(y.clone(), y)))
}

/// A sequence moved one step back in time: `first` (`[batch, d]`), then all but the last of
/// `states` (`[batch, len, d]`).
pub(super) fn shifted<B: Backend>(first: FloatTensor<B>, states: FloatTensor<B>) -> FloatTensor<B> {
    let shape = states.shape();
    let first = B::float_reshape(first, Shape::from([shape[0], 1, shape[2]]));
    if shape[1] == 1 {
        return first;
    }
    let rest = B::float_slice(states, &[Slice::full(), Slice::from(0..shape[1] - 1)]);
    B::float_cat(vec![first, rest], 1)
}
