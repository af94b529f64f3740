//! The kernel on slices, for flex and ndarray: the batch is shared out by rows, as in
//! [`lstm`](crate::ops::lstm()).

use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use gemm::Parallelism;
use rayon::prelude::*;

use super::{GruOps, generic};
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

fn forward(inputs: &[f32], recurrent: &[f32], bias: &[f32], hidden: &[f32], dims: Dims) -> Forward {
    let Dims { batch, len, d } = dims;
    let mut states = vec![0.0; batch * len * d];
    let mut gates = vec![0.0; batch * len * 4 * d];
    let rows = rows_per_thread(batch, len * 3 * d * d);
    let recurrent = Packed::new(Mat::rows(recurrent, d, 3 * d, 3 * d));
    states
        .par_chunks_mut(rows * len * d)
        .zip(gates.par_chunks_mut(rows * len * 4 * d))
        .zip(inputs.par_chunks(rows * len * 3 * d))
        .zip(hidden.par_chunks(rows * d))
        .for_each(|(((states, gates), inputs), hidden)| {
            let rows = hidden.len() / d;
            let mut y = vec![0.0; rows * 3 * d];
            for t in 0..len {
                let before = match t {
                    0 => Mat::rows(hidden, rows, d, d),
                    _ => Mat::rows(&states[(t - 1) * d..], rows, d, len * d),
                };
                product(&mut y, 3 * d, false, before, &recurrent, Parallelism::None);
                vectorise(
                    #[inline(always)]
                    || {
                        for row in 0..rows {
                            let at = row * len + t;
                            let (past, now) = states.split_at_mut(at * d);
                            let h_before = match t {
                                0 => &hidden[row * d..][..d],
                                _ => &past[(at - 1) * d..],
                            };
                            cell_forward(
                                &inputs[at * 3 * d..][..3 * d],
                                &y[row * 3 * d..][..3 * d],
                                bias,
                                h_before,
                                &mut gates[at * 4 * d..][..4 * d],
                                &mut now[..d],
                            );
                        }
                    },
                );
            }
        });
    Forward { states, gates }
}

/// One row of one step.
#[inline(always)]
pub(in crate::ops) fn cell_forward(
    x: &[f32],
    y: &[f32],
    bias: &[f32],
    h_before: &[f32],
    gates: &mut [f32],
    h: &mut [f32],
) {
    let d = h.len();
    let (x_r, x_z, x_n) = (&x[..d], &x[d..2 * d], &x[2 * d..3 * d]);
    let (y_r, y_z, y_n) = (&y[..d], &y[d..2 * d], &y[2 * d..3 * d]);
    let (r, rest) = gates.split_at_mut(d);
    let (z, rest) = rest.split_at_mut(d);
    let (n, b) = rest.split_at_mut(d);
    let (b, bias, h_before) = (&mut b[..d], &bias[..d], &h_before[..d]);
    for j in 0..d {
        r[j] = sigmoid(x_r[j] + y_r[j]);
        z[j] = sigmoid(x_z[j] + y_z[j]);
        b[j] = y_n[j] + bias[j];
        n[j] = tanh(x_n[j] + r[j] * b[j]);
        h[j] = n[j] + z[j] * (h_before[j] - n[j]);
    }
}

struct Backward {
    d_inputs: Vec<f32>,
    d_recurrent: Vec<f32>,
    d_bias: Vec<f32>,
    d_hidden: Vec<f32>,
}

fn backward(
    grad: &[f32],
    states: &[f32],
    gates: &[f32],
    recurrent: &[f32],
    hidden: &[f32],
    dims: Dims,
) -> Backward {
    let Dims { batch, len, d } = dims;
    let mut d_inputs = vec![0.0; batch * len * 3 * d];
    let mut d_products = vec![0.0; batch * len * 3 * d];
    let mut d_hidden = vec![0.0; batch * d];
    let transposed = Packed::new(Mat::rows(recurrent, d, 3 * d, 3 * d).t());
    let rows = rows_per_thread(batch, len * 3 * d * d);
    d_inputs
        .par_chunks_mut(rows * len * 3 * d)
        .zip(d_products.par_chunks_mut(rows * len * 3 * d))
        .zip(d_hidden.par_chunks_mut(rows * d))
        .enumerate()
        .for_each(|(chunk, ((d_inputs, d_products), d_hidden))| {
            let first = chunk * rows;
            let rows = d_hidden.len() / d;
            for t in (0..len).rev() {
                vectorise(
                    #[inline(always)]
                    || {
                        for row in 0..rows {
                            let at = (first + row) * len + t;
                            let h_before = match t {
                                0 => &hidden[(first + row) * d..][..d],
                                _ => &states[(at - 1) * d..][..d],
                            };
                            let own = (row * len + t) * 3 * d;
                            cell_backward(
                                &grad[at * d..][..d],
                                &gates[at * 4 * d..][..4 * d],
                                h_before,
                                &mut d_hidden[row * d..][..d],
                                &mut d_inputs[own..][..3 * d],
                                &mut d_products[own..][..3 * d],
                            );
                        }
                    },
                );
                let dy = Mat::rows(&d_products[t * 3 * d..], rows, 3 * d, len * 3 * d);
                product(d_hidden, d, true, dy, &transposed, Parallelism::None);
            }
        });

    let mut d_bias = vec![0.0; d];
    for row in d_products.chunks_exact(3 * d) {
        for (sum, x) in d_bias.iter_mut().zip(&row[2 * d..]) {
            *sum += x;
        }
    }
    let before = hiddens_before(states, hidden, dims);
    let mut d_recurrent = vec![0.0; d * 3 * d];
    matmul(
        &mut d_recurrent,
        3 * d,
        false,
        Mat::rows(&before, batch * len, d, d).t(),
        Mat::rows(&d_products, batch * len, 3 * d, 3 * d),
        Parallelism::Rayon(0),
    );
    Backward {
        d_inputs,
        d_recurrent,
        d_bias,
        d_hidden,
    }
}

/// One row of one step: `d_hidden` is dL/dh[t] from later steps on entry, and on return the part
/// of dL/dh[t-1] that passes by the products.
#[inline(always)]
pub(in crate::ops) fn cell_backward(
    grad: &[f32],
    gates: &[f32],
    h_before: &[f32],
    d_hidden: &mut [f32],
    d_inputs: &mut [f32],
    d_products: &mut [f32],
) {
    let d = grad.len();
    let (r, z) = (&gates[..d], &gates[d..2 * d]);
    let (n, b) = (&gates[2 * d..3 * d], &gates[3 * d..4 * d]);
    let (h_before, d_hidden) = (&h_before[..d], &mut d_hidden[..d]);
    let (dx_r, rest) = d_inputs.split_at_mut(d);
    let (dx_z, dx_n) = rest.split_at_mut(d);
    let (dy_r, rest) = d_products.split_at_mut(d);
    let (dy_z, dy_n) = rest.split_at_mut(d);
    let (dx_n, dy_n) = (&mut dx_n[..d], &mut dy_n[..d]);
    for j in 0..d {
        let dh = grad[j] + d_hidden[j];
        let dn = dh * (1.0 - z[j]) * (1.0 - n[j] * n[j]);
        let dz = dh * (h_before[j] - n[j]) * z[j] * (1.0 - z[j]);
        let dr = dn * b[j] * r[j] * (1.0 - r[j]);
        (dx_r[j], dx_z[j], dx_n[j]) = (dr, dz, dn);
        (dy_r[j], dy_z[j], dy_n[j]) = (dr, dz, dn * r[j]);
        d_hidden[j] = dh * z[j];
    }
}

/// h[t-1] for each row and step, `[batch * len, d]`: the left factor of the gradient of W.
fn hiddens_before(states: &[f32], hidden: &[f32], Dims { len, d, .. }: Dims) -> Vec<f32> {
    let mut before = Vec::with_capacity(states.len());
    for (states, hidden) in states.chunks_exact(len * d).zip(hidden.chunks_exact(d)) {
        before.extend_from_slice(hidden);
        before.extend_from_slice(&states[..(len - 1) * d]);
    }
    before
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl GruOps for $backend {
            fn gru_forward(
                inputs: FloatTensor<Self>,
                recurrent: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                hidden: FloatTensor<Self>,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                if inputs.dtype_of() != DType::F32 {
                    return generic::forward::<Self>(inputs, recurrent, bias, hidden);
                }
                let dims = dims(&inputs, 3);
                let Dims { batch, len, d } = dims;
                let out = forward(
                    inputs.contiguous().as_f32(),
                    recurrent.contiguous().as_f32(),
                    bias.contiguous().as_f32(),
                    hidden.contiguous().as_f32(),
                    dims,
                );
                (
                    HostTensor::from_vec(out.states, Shape::from([batch, len, d])),
                    HostTensor::from_vec(out.gates, Shape::from([batch, len, 4 * d])),
                )
            }

            fn gru_backward(
                grad: FloatTensor<Self>,
                states: FloatTensor<Self>,
                gates: FloatTensor<Self>,
                recurrent: FloatTensor<Self>,
                hidden: FloatTensor<Self>,
            ) -> (
                FloatTensor<Self>,
                FloatTensor<Self>,
                FloatTensor<Self>,
                FloatTensor<Self>,
            ) {
                if grad.dtype_of() != DType::F32 {
                    return generic::backward::<Self>(grad, states, gates, recurrent, hidden);
                }
                let dims = dims(&states, 1);
                let Dims { batch, len, d } = dims;
                let out = backward(
                    grad.contiguous().as_f32(),
                    states.contiguous().as_f32(),
                    gates.contiguous().as_f32(),
                    recurrent.contiguous().as_f32(),
                    hidden.contiguous().as_f32(),
                    dims,
                );
                (
                    HostTensor::from_vec(out.d_inputs, Shape::from([batch, len, 3 * d])),
                    HostTensor::from_vec(out.d_recurrent, Shape::from([d, 3 * d])),
                    HostTensor::from_vec(out.d_bias, Shape::from([d])),
                    HostTensor::from_vec(out.d_hidden, Shape::from([batch, d])),
                )
            }
        }
    };
}

/// From a tensor of `[batch, len, parts * d]`.
fn dims(tensor: &impl burn::backend::TensorMetadata, parts: usize) -> Dims {
    let shape = tensor.shape();
    Dims {
        batch: shape[0],
        len: shape[1],
        d: shape[2] / parts,
    }
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
