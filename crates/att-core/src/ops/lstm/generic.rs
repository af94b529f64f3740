//! One step from a backend's own float operations.

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor};

use crate::ops::generic::{columns, through_sigmoid, through_tanh};

/// The gates (`[rows, 4 * d]`), h and c of one step, from `x`, `y = h[t-1] W` and `c[t-1]`.
pub(in crate::ops) fn step<B: Backend>(
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    c_before: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let d = c_before.shape()[1];
    let z = B::float_add(x, y);
    let part = |k: usize| columns::<B>(z.clone(), k * d, (k + 1) * d);
    let (i, f, g, o) = (
        B::sigmoid(part(0)),
        B::sigmoid(part(1)),
        B::float_tanh(part(2)),
        B::sigmoid(part(3)),
    );
    let c = B::float_add(
        B::float_mul(f.clone(), c_before),
        B::float_mul(i.clone(), g.clone()),
    );
    let h = B::float_mul(o.clone(), B::float_tanh(c.clone()));
    (B::float_cat(vec![i, f, g, o], 1), h, c)
}

/// dL/dz and dL/dc[t-1], from dL/dh[t] and the part of dL/dc[t] that does not come through h[t].
pub(in crate::ops) fn step_backward<B: Backend>(
    dh: FloatTensor<B>,
    dc: FloatTensor<B>,
    gates: FloatTensor<B>,
    c_before: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let d = c_before.shape()[1];
    let gate = |k: usize| columns::<B>(gates.clone(), k * d, (k + 1) * d);
    let (i, f, g, o) = (gate(0), gate(1), gate(2), gate(3));
    let tanh_c = B::float_tanh(B::float_add(
        B::float_mul(f.clone(), c_before.clone()),
        B::float_mul(i.clone(), g.clone()),
    ));
    let dc = B::float_add(
        dc,
        through_tanh::<B>(tanh_c.clone(), B::float_mul(dh.clone(), o.clone())),
    );
    let dz = vec![
        through_sigmoid::<B>(i.clone(), B::float_mul(dc.clone(), g.clone())),
        through_sigmoid::<B>(f.clone(), B::float_mul(dc.clone(), c_before)),
        through_tanh::<B>(g, B::float_mul(dc.clone(), i)),
        through_sigmoid::<B>(o, B::float_mul(dh, tanh_c)),
    ];
    (B::float_cat(dz, 1), B::float_mul(dc, f))
}
