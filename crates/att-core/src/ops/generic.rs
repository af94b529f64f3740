//! Small helpers over a backend's float operations, for the generic bodies of fused operations.

use burn::backend::{
    Backend, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{Shape, Slice, TensorData};

/// Columns `from..to` of a `[rows, cols]` tensor.
pub(super) fn columns<B: Backend>(
    tensor: FloatTensor<B>,
    from: usize,
    to: usize,
) -> FloatTensor<B> {
    B::float_slice(tensor, &[Slice::full(), Slice::from(from..to)])
}

/// Numbers that say where things lie.
pub(super) fn indices<B: Backend>(indices: &[usize], device: &B::Device) -> IntTensor<B> {
    let data: Vec<i32> = indices.iter().map(|&index| index as i32).collect();
    B::int_from_data(TensorData::new(data, [indices.len()]), device)
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
