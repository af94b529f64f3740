//! The operations from a backend's own float operations.

use burn::backend::{Backend, tensor::FloatTensor};

use super::Factors;

pub(super) fn step<B: Backend>(
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    m: FloatTensor<B>,
    v: FloatTensor<B>,
    factors: Factors,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let by = |x, factor: f32| B::float_mul_scalar(x, factor.into());
    let g = by(grad, factors.scale);
    let squares = B::float_mul(g.clone(), g.clone());
    let m = B::float_add(by(m, factors.beta_1), by(g, 1.0 - factors.beta_1));
    let v = B::float_add(by(v, factors.beta_2), by(squares, 1.0 - factors.beta_2));
    let root = B::float_add_scalar(B::float_sqrt(v.clone()), factors.epsilon.into());
    let change = B::float_div(by(m.clone(), factors.lr), root);
    (B::float_sub(by(weight, factors.keep), change), m, v)
}

pub(super) fn square_sum<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_sum(B::float_mul(x.clone(), x))
}
