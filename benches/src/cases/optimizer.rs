//! What the optimiser does with each weight.

use att_core::ops::{AdamStep, adam_step, square_sum};
use burn::tensor::{Device, Tensor};

use crate::{Case, Variant, tensor};

/// Rows and columns of a weight.
const SHAPES: [[usize; 2]; 2] = [[512, 8000], [256, 768]];

const STEP: AdamStep = AdamStep {
    lr: 1e-3,
    beta_1: 0.9,
    beta_2: 0.98,
    epsilon: 1e-8,
    weight_decay: 0.0,
    scale: 0.5,
    time: 10,
};

pub(super) fn cases() -> Vec<Case> {
    let of_shape = |shape: [usize; 2]| {
        [
            Case::new("adam_step", &shape, move |device| adam(shape, device)),
            Case::new("square_sum", &shape, move |device| squares(shape, device)),
        ]
    };
    SHAPES.into_iter().flat_map(of_shape).collect()
}

/// Weight, gradient, and the moments.
type State = (Tensor<2>, Tensor<2>, Tensor<2>, Tensor<2>);

fn adam(shape: [usize; 2], device: &Device) -> Vec<Variant> {
    let square = |x: Tensor<2>| x.clone() * x;
    let state: State = (
        tensor(shape, device),
        tensor(shape, device),
        tensor(shape, device),
        square(tensor(shape, device)),
    );
    vec![
        // The arguments are kept, so the copies that it then makes are timed with it.
        Variant::forward_only("fused", &state, |(w, g, m, v): State| {
            adam_step(w, g, [m, v], &STEP)
        }),
        Variant::forward_only("reference", &state, move |(w, g, m, v): State| {
            let (beta_1, beta_2) = (STEP.beta_1, STEP.beta_2);
            let g = g * STEP.scale;
            let m = m * beta_1 + g.clone() * (1.0 - beta_1);
            let v = v * beta_2 + square(g) * (1.0 - beta_2);
            let m_hat = m.clone() / (1.0 - beta_1.powi(STEP.time as i32));
            let v_hat = v.clone() / (1.0 - beta_2.powi(STEP.time as i32));
            let w = w - m_hat / (v_hat.sqrt() + STEP.epsilon) * STEP.lr;
            (w, [m, v])
        }),
    ]
}

fn squares(shape: [usize; 2], device: &Device) -> Vec<Variant> {
    let x = tensor(shape, device);
    vec![
        Variant::forward_only("fused", &x, square_sum::<2>),
        Variant::forward_only("reference", &x, |x: Tensor<2>| (x.clone() * x).sum()),
    ]
}
