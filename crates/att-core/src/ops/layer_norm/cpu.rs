//! The operation on slices, for flex and ndarray.

use burn::backend::{Backend, TensorMetadata, backend_extension, tensor::FloatTensor};
use rayon::prelude::*;

use crate::ops::attention_read::kernel::dot;
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::simd::{sum_of, vectorise};

/// Rows that are worth a thread. Their sums are added up in order, whatever the number of threads.
const ROWS: usize = 64;

/// The operation of a CPU backend; names as in [`layer_norm`](super::layer_norm()).
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait LayerNormOps: Backend {
    /// y, `[.., d]`.
    fn layer_norm_rows(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;
}

/// The gradient where tensors are slices.
pub(super) trait OnSlices: LayerNormOps {
    /// Of `x`, `gamma` and `beta`, given that of y.
    fn backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        epsilon: f32,
    ) -> [FloatTensor<Self>; 3];
}

/// The mean of a row, and one over its deviation.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let d = x.len() as f32;
    let mean = sum_of(x, |x| x) / d;
    let variance = sum_of(x, |x| (x - mean) * (x - mean)) / d;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

fn forward(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) -> Vec<f32> {
    let d = gamma.len();
    // In place would cost a copy where x is held, as on the tape.
    let mut y = vec![0.0; x.len()];
    let parts = y.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d));
    parts.for_each(|(y, x)| {
        vectorise(
            #[inline(always)]
            || {
                for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                    let (mean, scale) = moments(x, epsilon);
                    for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                        *y = (x - mean) * scale * gamma + beta;
                    }
                }
            },
        );
    });
    y
}

/// ```text
/// n = (x - mean) / deviation        g = dy gamma
/// dx = (g - mean(g) - n mean(g n)) / deviation
/// ```
fn backward(mut grad: Vec<f32>, x: &[f32], gamma: &[f32], epsilon: f32) -> [Vec<f32>; 3] {
    let d = gamma.len();
    let sums: Vec<[Vec<f32>; 2]> = grad
        .par_chunks_mut(ROWS * d)
        .zip(x.par_chunks(ROWS * d))
        .map(|(grad, x)| {
            let (mut d_gamma, mut d_beta) = (vec![0.0; d], vec![0.0; d]);
            let mut normal = vec![0.0; d];
            vectorise(
                #[inline(always)]
                || {
                    for (grad, x) in grad.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                        let (mean, scale) = moments(x, epsilon);
                        for i in 0..d {
                            normal[i] = (x[i] - mean) * scale;
                            d_gamma[i] += grad[i] * normal[i];
                            d_beta[i] += grad[i];
                            grad[i] *= gamma[i];
                        }
                        let mean = sum_of(grad, |g| g) / d as f32;
                        let slope = dot(grad, &normal) / d as f32;
                        for (grad, normal) in grad.iter_mut().zip(&normal) {
                            *grad = scale * (*grad - mean - normal * slope);
                        }
                    }
                },
            );
            [d_gamma, d_beta]
        })
        .collect();
    let (mut d_gamma, mut d_beta) = (vec![0.0; d], vec![0.0; d]);
    for [of_gamma, of_beta] in sums {
        for (sums, more) in [(&mut d_gamma, of_gamma), (&mut d_beta, of_beta)] {
            sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
        }
    }
    [grad, d_gamma, d_beta]
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl LayerNormOps for $backend {
            fn layer_norm_rows(
                x: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                epsilon: f32,
            ) -> FloatTensor<Self> {
                let shape = x.shape();
                let (x, gamma, beta) = (x.contiguous(), gamma.contiguous(), beta.contiguous());
                let y = forward(x.as_f32(), gamma.as_f32(), beta.as_f32(), epsilon);
                HostTensor::from_vec(y, shape)
            }
        }

        impl OnSlices for $backend {
            fn backward(
                grad: FloatTensor<Self>,
                x: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                epsilon: f32,
            ) -> [FloatTensor<Self>; 3] {
                let shapes = [x.shape(), gamma.shape(), gamma.shape()];
                let (x, gamma) = (x.contiguous(), gamma.contiguous());
                let gradients = backward(grad.into_vec(), x.as_f32(), gamma.as_f32(), epsilon);
                let mut gradients = gradients.into_iter().zip(shapes);
                std::array::from_fn(|_| {
                    let (data, shape) = gradients.next().expect("three of them");
                    HostTensor::from_vec(data, shape)
                })
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
