//! One step from a backend's own float operations.

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor};

use crate::ops::generic::{columns, one_minus, through_sigmoid, through_tanh};

/// r, z, n, `y_n + b` (`[rows, 4 * d]`) and h of one step, from `x`, `y = h[t-1] W`, the bias
/// (`[1, d]`) and `h[t-1]`.
pub(in crate::ops) fn step<B: Backend>(
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    bias: FloatTensor<B>,
    h_before: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let d = h_before.shape()[1];
    let part = |t: &FloatTensor<B>, k: usize| columns::<B>(t.clone(), k * d, (k + 1) * d);
    let r = B::sigmoid(B::float_add(part(&x, 0), part(&y, 0)));
    let z = B::sigmoid(B::float_add(part(&x, 1), part(&y, 1)));
    let y_n = B::float_add(part(&y, 2), bias);
    let n = B::float_tanh(B::float_add(
        part(&x, 2),
        B::float_mul(r.clone(), y_n.clone()),
    ));
    let h = B::float_add(
        n.clone(),
        B::float_mul(z.clone(), B::float_sub(h_before, n.clone())),
    );
    (B::float_cat(vec![r, z, n, y_n], 1), h)
}

/// dL/dx, dL/dy and the part of dL/dh[t-1] that passes by the product, from dL/dh[t].
pub(in crate::ops) fn step_backward<B: Backend>(
    dh: FloatTensor<B>,
    gates: FloatTensor<B>,
    h_before: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let d = h_before.shape()[1];
    let gate = |k: usize| columns::<B>(gates.clone(), k * d, (k + 1) * d);
    let (r, z, n, y_n) = (gate(0), gate(1), gate(2), gate(3));
    let dn = through_tanh::<B>(
        n.clone(),
        B::float_mul(dh.clone(), one_minus::<B>(z.clone())),
    );
    let dz = through_sigmoid::<B>(
        z.clone(),
        B::float_mul(dh.clone(), B::float_sub(h_before, n)),
    );
    let dr = through_sigmoid::<B>(r.clone(), B::float_mul(dn.clone(), y_n));
    let dy_n = B::float_mul(dn.clone(), r);
    (
        B::float_cat(vec![dr.clone(), dz.clone(), dn], 1),
        B::float_cat(vec![dr, dz, dy_n], 1),
        B::float_mul(dh, z),
    )
}
