//! The operation from a backend's own float operations.

use burn::backend::{Backend, tensor::FloatTensor};

use super::Transposed;

pub(super) fn product<B: Backend>(
    lhs: FloatTensor<B>,
    rhs: FloatTensor<B>,
    transposed: Transposed,
) -> FloatTensor<B> {
    let read = |matrices, exchanged| {
        if exchanged {
            B::float_swap_dims(matrices, 1, 2)
        } else {
            matrices
        }
    };
    B::float_matmul(read(lhs, transposed.lhs), read(rhs, transposed.rhs))
}
