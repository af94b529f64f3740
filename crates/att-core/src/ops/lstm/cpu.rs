//! The kernel on slices, for flex and ndarray.
//!
//! A batch is shared out by rows: each thread takes its rows through all steps with products of
//! its own, so that threads meet only at the ends of the sequence.

use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use gemm::Parallelism;
use rayon::prelude::*;

use super::{LstmOps, generic};
use crate::ops::gemm::{Mat, Packed, matmul, product, rows_per_thread};
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::simd::{sigmoid, tanh, vectorise};

#[derive(Clone, Copy)]
struct Dims {
    batch: usize,
    len: usize,
    d: usize,
}

struct Forward {
    states: Vec<f32>,
    gates: Vec<f32>,
}

fn forward(inputs: &[f32], recurrent: &[f32], hidden: &[f32], cell: &[f32], dims: Dims) -> Forward {
    let Dims { batch, len, d } = dims;
    let mut states = vec![0.0; batch * len * 2 * d];
    let mut gates = inputs.to_vec();
    let rows = rows_per_thread(batch, len * 4 * d * d);
    let recurrent = Packed::new(Mat::rows(recurrent, d, 4 * d, 4 * d));
    states
        .par_chunks_mut(rows * len * 2 * d)
        .zip(gates.par_chunks_mut(rows * len * 4 * d))
        .zip(hidden.par_chunks(rows * d))
        .zip(cell.par_chunks(rows * d))
        .for_each(|(((states, gates), hidden), cell)| {
            let rows = hidden.len() / d;
            for t in 0..len {
                let before = match t {
                    0 => Mat::rows(hidden, rows, d, d),
                    _ => Mat::rows(&states[(t - 1) * 2 * d..], rows, d, len * 2 * d),
                };
                let z = &mut gates[t * 4 * d..];
                product(z, len * 4 * d, true, before, &recurrent, Parallelism::None);
                vectorise(
                    #[inline(always)]
                    || {
                        for row in 0..rows {
                            let at = (row * len + t) * 2 * d;
                            let (past, now) = states.split_at_mut(at);
                            let c_before = match t {
                                0 => &cell[row * d..][..d],
                                _ => &past[at - d..],
                            };
                            let gates = &mut gates[(row * len + t) * 4 * d..][..4 * d];
                            let (h, c) = now[..2 * d].split_at_mut(d);
                            cell_forward(gates, c_before, h, c);
                        }
                    },
                );
            }
        });
    Forward { states, gates }
}

/// One row of one step: `gates` holds z on entry and the gates on return.
#[inline(always)]
pub(in crate::ops) fn cell_forward(
    gates: &mut [f32],
    c_before: &[f32],
    h: &mut [f32],
    c: &mut [f32],
) {
    let d = c.len();
    let (i, rest) = gates.split_at_mut(d);
    let (f, rest) = rest.split_at_mut(d);
    let (g, o) = rest.split_at_mut(d);
    let (o, c_before, h) = (&mut o[..d], &c_before[..d], &mut h[..d]);
    for j in 0..d {
        i[j] = sigmoid(i[j]);
        f[j] = sigmoid(f[j]);
        g[j] = tanh(g[j]);
        o[j] = sigmoid(o[j]);
        c[j] = f[j] * c_before[j] + i[j] * g[j];
        h[j] = o[j] * tanh(c[j]);
    }
}

struct Backward {
    d_inputs: Vec<f32>,
    d_recurrent: Vec<f32>,
    d_hidden: Vec<f32>,
    d_cell: Vec<f32>,
}

#[allow(clippy::too_many_arguments)] // the arguments of the operation
fn backward(
    grad: &[f32],
    states: &[f32],
    gates: &[f32],
    recurrent: &[f32],
    hidden: &[f32],
    cell: &[f32],
    dims: Dims,
) -> Backward {
    let Dims { batch, len, d } = dims;
    let mut d_inputs = vec![0.0; batch * len * 4 * d];
    let mut d_hidden = vec![0.0; batch * d];
    let mut d_cell = vec![0.0; batch * d];
    let transposed = Packed::new(Mat::rows(recurrent, d, 4 * d, 4 * d).t());
    let rows = rows_per_thread(batch, len * 4 * d * d);
    d_inputs
        .par_chunks_mut(rows * len * 4 * d)
        .zip(d_hidden.par_chunks_mut(rows * d))
        .zip(d_cell.par_chunks_mut(rows * d))
        .enumerate()
        .for_each(|(chunk, ((d_inputs, d_hidden), d_cell))| {
            let first = chunk * rows;
            let rows = d_hidden.len() / d;
            for t in (0..len).rev() {
                vectorise(
                    #[inline(always)]
                    || {
                        for row in 0..rows {
                            let at = (first + row) * len + t;
                            let c_before = match t {
                                0 => &cell[(first + row) * d..][..d],
                                _ => &states[(at - 1) * 2 * d + d..][..d],
                            };
                            cell_backward(
                                &grad[at * 2 * d..][..2 * d],
                                &gates[at * 4 * d..][..4 * d],
                                c_before,
                                &states[at * 2 * d + d..][..d],
                                &d_hidden[row * d..][..d],
                                &mut d_cell[row * d..][..d],
                                &mut d_inputs[(row * len + t) * 4 * d..][..4 * d],
                            );
                        }
                    },
                );
                let dz = Mat::rows(&d_inputs[t * 4 * d..], rows, 4 * d, len * 4 * d);
                product(d_hidden, d, false, dz, &transposed, Parallelism::None);
            }
        });

    let before = hiddens_before(states, hidden, dims);
    let mut d_recurrent = vec![0.0; d * 4 * d];
    matmul(
        &mut d_recurrent,
        4 * d,
        false,
        Mat::rows(&before, batch * len, d, d).t(),
        Mat::rows(&d_inputs, batch * len, 4 * d, 4 * d),
        Parallelism::Rayon(0),
    );
    Backward {
        d_inputs,
        d_recurrent,
        d_hidden,
        d_cell,
    }
}

/// One row of one step: `d_cell` is dL/dc[t] from later steps on entry, dL/dc[t-1] on return.
#[inline(always)]
pub(in crate::ops) fn cell_backward(
    grad: &[f32],
    gates: &[f32],
    c_before: &[f32],
    c: &[f32],
    d_hidden: &[f32],
    d_cell: &mut [f32],
    dz: &mut [f32],
) {
    let d = c.len();
    let (grad_h, grad_c) = (&grad[..d], &grad[d..2 * d]);
    let (i, f, g, o) = (
        &gates[..d],
        &gates[d..2 * d],
        &gates[2 * d..3 * d],
        &gates[3 * d..4 * d],
    );
    let (dz_i, rest) = dz.split_at_mut(d);
    let (dz_f, rest) = rest.split_at_mut(d);
    let (dz_g, dz_o) = rest.split_at_mut(d);
    let (dz_o, c_before) = (&mut dz_o[..d], &c_before[..d]);
    let (d_hidden, d_cell) = (&d_hidden[..d], &mut d_cell[..d]);
    for j in 0..d {
        let tanh_c = tanh(c[j]);
        let dh = grad_h[j] + d_hidden[j];
        let dc = grad_c[j] + d_cell[j] + dh * o[j] * (1.0 - tanh_c * tanh_c);
        dz_i[j] = dc * g[j] * i[j] * (1.0 - i[j]);
        dz_f[j] = dc * c_before[j] * f[j] * (1.0 - f[j]);
        dz_g[j] = dc * i[j] * (1.0 - g[j] * g[j]);
        dz_o[j] = dh * tanh_c * o[j] * (1.0 - o[j]);
        d_cell[j] = dc * f[j];
    }
}

/// h[t-1] for each row and step, `[batch * len, d]`: the left factor of the gradient of W.
fn hiddens_before(states: &[f32], hidden: &[f32], Dims { len, d, .. }: Dims) -> Vec<f32> {
    let mut before = Vec::with_capacity(states.len() / 2);
    for (states, hidden) in states.chunks_exact(len * 2 * d).zip(hidden.chunks_exact(d)) {
        before.extend_from_slice(hidden);
        for state in states.chunks_exact(2 * d).take(len - 1) {
            before.extend_from_slice(&state[..d]);
        }
    }
    before
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl LstmOps for $backend {
            fn lstm_forward(
                inputs: FloatTensor<Self>,
                recurrent: FloatTensor<Self>,
                hidden: FloatTensor<Self>,
                cell: FloatTensor<Self>,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                if inputs.dtype_of() != DType::F32 {
                    return generic::forward::<Self>(inputs, recurrent, hidden, cell);
                }
                let dims = dims(&inputs);
                let Dims { batch, len, d } = dims;
                let out = forward(
                    inputs.contiguous().as_f32(),
                    recurrent.contiguous().as_f32(),
                    hidden.contiguous().as_f32(),
                    cell.contiguous().as_f32(),
                    dims,
                );
                (
                    HostTensor::from_vec(out.states, Shape::from([batch, len, 2 * d])),
                    HostTensor::from_vec(out.gates, Shape::from([batch, len, 4 * d])),
                )
            }

            fn lstm_backward(
                grad: FloatTensor<Self>,
                states: FloatTensor<Self>,
                gates: FloatTensor<Self>,
                recurrent: FloatTensor<Self>,
                hidden: FloatTensor<Self>,
                cell: FloatTensor<Self>,
            ) -> (
                FloatTensor<Self>,
                FloatTensor<Self>,
                FloatTensor<Self>,
                FloatTensor<Self>,
            ) {
                if grad.dtype_of() != DType::F32 {
                    return generic::backward::<Self>(grad, states, gates, recurrent, hidden, cell);
                }
                let dims = dims(&gates);
                let Dims { batch, len, d } = dims;
                let out = backward(
                    grad.contiguous().as_f32(),
                    states.contiguous().as_f32(),
                    gates.contiguous().as_f32(),
                    recurrent.contiguous().as_f32(),
                    hidden.contiguous().as_f32(),
                    cell.contiguous().as_f32(),
                    dims,
                );
                (
                    HostTensor::from_vec(out.d_inputs, Shape::from([batch, len, 4 * d])),
                    HostTensor::from_vec(out.d_recurrent, Shape::from([d, 4 * d])),
                    HostTensor::from_vec(out.d_hidden, Shape::from([batch, d])),
                    HostTensor::from_vec(out.d_cell, Shape::from([batch, d])),
                )
            }
        }
    };
}

/// From a tensor of `[batch, len, 4 * d]`.
fn dims(gates: &impl burn::backend::TensorMetadata) -> Dims {
    let shape = gates.shape();
    Dims {
        batch: shape[0],
        len: shape[1],
        d: shape[2] / 4,
    }
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
