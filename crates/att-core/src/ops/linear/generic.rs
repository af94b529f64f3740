//! The operation from a backend's own float operations.

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor};
use burn::tensor::Shape;

pub(super) fn forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = with_last(x.shape(), weight.shape()[1]);
    let bias = B::float_reshape(bias, Shape::from([1, weight.shape()[1]]));
    let y = B::float_add(B::float_matmul(rows::<B>(x), weight), bias);
    B::float_reshape(y, shape)
}

pub(super) fn backward_x<B: Backend>(
    grad: FloatTensor<B>,
    weight: FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = with_last(grad.shape(), weight.shape()[0]);
    let dx = B::float_matmul(rows::<B>(grad), B::float_transpose(weight));
    B::float_reshape(dx, shape)
}

pub(super) fn backward_weight<B: Backend>(
    grad: FloatTensor<B>,
    x: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_matmul(B::float_transpose(rows::<B>(x)), rows::<B>(grad))
}

pub(super) fn backward_bias<B: Backend>(grad: FloatTensor<B>) -> FloatTensor<B> {
    let sums = B::float_sum_dim(rows::<B>(grad), 0);
    let d_out = sums.shape()[1];
    B::float_reshape(sums, Shape::from([d_out]))
}

/// All dimensions but the last as one.
fn rows<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = x.shape();
    let d = shape[shape.num_dims() - 1];
    let rows = (0..shape.num_dims() - 1).map(|axis| shape[axis]).product();
    B::float_reshape(x, Shape::from([rows, d]))
}

/// The shape with another last dimension.
pub(super) fn with_last(mut shape: Shape, d: usize) -> Shape {
    let last = shape.num_dims() - 1;
    shape[last] = d;
    shape
}
