//! The operation from a backend's own float operations.

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor};
use burn::tensor::Slice;

use crate::ops::generic::{
    columns, flatten, shifted, stack_steps, step, through_sigmoid, through_tanh,
};

pub(super) fn forward<B: Backend>(
    inputs: FloatTensor<B>,
    recurrent: FloatTensor<B>,
    mut hidden: FloatTensor<B>,
    mut cell: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (len, d) = (inputs.shape()[1], hidden.shape()[1]);
    let (mut states, mut gates) = (Vec::with_capacity(len), Vec::with_capacity(len));
    for t in 0..len {
        let z = B::float_add(
            step::<B>(inputs.clone(), t),
            B::float_matmul(hidden, recurrent.clone()),
        );
        let gate = |k: usize| columns::<B>(z.clone(), k * d, (k + 1) * d);
        let (i, f, o) = (
            B::sigmoid(gate(0)),
            B::sigmoid(gate(1)),
            B::sigmoid(gate(3)),
        );
        let g = B::float_tanh(gate(2));
        cell = B::float_add(
            B::float_mul(f.clone(), cell),
            B::float_mul(i.clone(), g.clone()),
        );
        hidden = B::float_mul(o.clone(), B::float_tanh(cell.clone()));
        states.push(B::float_cat(vec![hidden.clone(), cell.clone()], 1));
        gates.push(B::float_cat(vec![i, f, g, o], 1));
    }
    (stack_steps::<B>(states), stack_steps::<B>(gates))
}

pub(super) fn backward<B: Backend>(
    grad: FloatTensor<B>,
    states: FloatTensor<B>,
    gates: FloatTensor<B>,
    recurrent: FloatTensor<B>,
    hidden: FloatTensor<B>,
    cell: FloatTensor<B>,
) -> (
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
) {
    let (len, d) = (states.shape()[1], hidden.shape()[1]);
    let half = |t: FloatTensor<B>, k: usize| {
        B::float_slice(
            t,
            &[
                Slice::full(),
                Slice::full(),
                Slice::from(k * d..(k + 1) * d),
            ],
        )
    };
    let cells = half(states.clone(), 1);
    let cells_before = shifted::<B>(cell, cells.clone());
    let hiddens_before = shifted::<B>(hidden.clone(), half(states, 0));

    let transposed = B::float_transpose(recurrent);
    let mut d_hidden = B::float_mul_scalar(hidden, 0.0.into());
    let mut d_cell = d_hidden.clone();
    let mut d_inputs = Vec::with_capacity(len);
    for t in (0..len).rev() {
        let (up, gates) = (step::<B>(grad.clone(), t), step::<B>(gates.clone(), t));
        let gate = |k: usize| columns::<B>(gates.clone(), k * d, (k + 1) * d);
        let (i, f, g, o) = (gate(0), gate(1), gate(2), gate(3));
        let tanh_c = B::float_tanh(step::<B>(cells.clone(), t));
        let dh = B::float_add(columns::<B>(up.clone(), 0, d), d_hidden);
        let dc = B::float_add(
            B::float_add(columns::<B>(up, d, 2 * d), d_cell),
            through_tanh::<B>(tanh_c.clone(), B::float_mul(dh.clone(), o.clone())),
        );
        let c_before = step::<B>(cells_before.clone(), t);
        let dz = B::float_cat(
            vec![
                through_sigmoid::<B>(i.clone(), B::float_mul(dc.clone(), g.clone())),
                through_sigmoid::<B>(f.clone(), B::float_mul(dc.clone(), c_before)),
                through_tanh::<B>(g, B::float_mul(dc.clone(), i)),
                through_sigmoid::<B>(o, B::float_mul(dh, tanh_c)),
            ],
            1,
        );
        d_hidden = B::float_matmul(dz.clone(), transposed.clone());
        d_cell = B::float_mul(dc, f);
        d_inputs.push(dz);
    }
    d_inputs.reverse();
    let d_inputs = stack_steps::<B>(d_inputs);
    let d_recurrent = B::float_matmul(
        B::float_transpose(flatten::<B>(hiddens_before)),
        flatten::<B>(d_inputs.clone()),
    );
    (d_inputs, d_recurrent, d_hidden, d_cell)
}
