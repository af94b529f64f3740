//! The operation from a backend's own float operations.

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor};
use burn::tensor::Shape;

use crate::ops::generic::{
    columns, flatten, one_minus, shifted, stack_steps, step, through_sigmoid, through_tanh,
};

pub(super) fn forward<B: Backend>(
    inputs: FloatTensor<B>,
    recurrent: FloatTensor<B>,
    bias: FloatTensor<B>,
    mut hidden: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (len, d) = (inputs.shape()[1], hidden.shape()[1]);
    let bias = B::float_reshape(bias, Shape::from([1, d]));
    let (mut states, mut gates) = (Vec::with_capacity(len), Vec::with_capacity(len));
    for t in 0..len {
        let x = step::<B>(inputs.clone(), t);
        let y = B::float_matmul(hidden.clone(), recurrent.clone());
        let part = |t: &FloatTensor<B>, k: usize| columns::<B>(t.clone(), k * d, (k + 1) * d);
        let r = B::sigmoid(B::float_add(part(&x, 0), part(&y, 0)));
        let z = B::sigmoid(B::float_add(part(&x, 1), part(&y, 1)));
        let y_n = B::float_add(part(&y, 2), bias.clone());
        let n = B::float_tanh(B::float_add(
            part(&x, 2),
            B::float_mul(r.clone(), y_n.clone()),
        ));
        hidden = B::float_add(
            n.clone(),
            B::float_mul(z.clone(), B::float_sub(hidden, n.clone())),
        );
        states.push(hidden.clone());
        gates.push(B::float_cat(vec![r, z, n, y_n], 1));
    }
    (stack_steps::<B>(states), stack_steps::<B>(gates))
}

pub(super) fn backward<B: Backend>(
    grad: FloatTensor<B>,
    states: FloatTensor<B>,
    gates: FloatTensor<B>,
    recurrent: FloatTensor<B>,
    hidden: FloatTensor<B>,
) -> (
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
) {
    let (len, d) = (states.shape()[1], hidden.shape()[1]);
    let before = shifted::<B>(hidden.clone(), states);
    let transposed = B::float_transpose(recurrent);
    let mut d_hidden = B::float_mul_scalar(hidden, 0.0.into());
    let (mut d_inputs, mut d_products) = (Vec::with_capacity(len), Vec::with_capacity(len));
    for t in (0..len).rev() {
        let gates = step::<B>(gates.clone(), t);
        let gate = |k: usize| columns::<B>(gates.clone(), k * d, (k + 1) * d);
        let (r, z, n, y_n) = (gate(0), gate(1), gate(2), gate(3));
        let dh = B::float_add(step::<B>(grad.clone(), t), d_hidden);
        let h_before = step::<B>(before.clone(), t);
        let dn = through_tanh::<B>(
            n.clone(),
            B::float_mul(dh.clone(), one_minus::<B>(z.clone())),
        );
        let dz = through_sigmoid::<B>(
            z.clone(),
            B::float_mul(dh.clone(), B::float_sub(h_before, n)),
        );
        let dr = through_sigmoid::<B>(r.clone(), B::float_mul(dn.clone(), y_n));
        let d_y = B::float_cat(vec![dr.clone(), dz.clone(), B::float_mul(dn.clone(), r)], 1);
        d_hidden = B::float_add(
            B::float_mul(dh, z),
            B::float_matmul(d_y.clone(), transposed.clone()),
        );
        d_inputs.push(B::float_cat(vec![dr, dz, dn], 1));
        d_products.push(d_y);
    }
    d_inputs.reverse();
    d_products.reverse();
    let d_products = flatten::<B>(stack_steps::<B>(d_products));
    let d_bias = B::float_sum_dim(columns::<B>(d_products.clone(), 2 * d, 3 * d), 0);
    (
        stack_steps::<B>(d_inputs),
        B::float_matmul(B::float_transpose(flatten::<B>(before)), d_products),
        B::float_reshape(d_bias, Shape::from([d])),
        d_hidden,
    )
}
