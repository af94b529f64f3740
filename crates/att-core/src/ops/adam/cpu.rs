//! The kernels on slices, for flex and ndarray.

use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use rayon::prelude::*;

use super::{AdamOps, AdamStep, Factors, generic};
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::simd::vectorise;
use crate::ops::work::{Kind, span};

/// Numbers that a thread takes at a time.
const CHUNK: usize = 1 << 14;

fn step(weight: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], factors: Factors) {
    weight
        .par_chunks_mut(CHUNK)
        .zip(grad.par_chunks(CHUNK))
        .zip(m.par_chunks_mut(CHUNK))
        .zip(v.par_chunks_mut(CHUNK))
        .for_each(|(((weight, grad), m), v)| {
            let _span = span(Kind::Optimizer);
            vectorise(
                #[inline(always)]
                || step_chunk(weight, grad, m, v, factors),
            );
        });
}

#[inline(always)]
fn step_chunk(weight: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], factors: Factors) {
    let n = weight.len();
    let (grad, m, v) = (&grad[..n], &mut m[..n], &mut v[..n]);
    let (rest_1, rest_2) = (1.0 - factors.beta_1, 1.0 - factors.beta_2);
    for i in 0..n {
        let g = grad[i] * factors.scale;
        m[i] = m[i] * factors.beta_1 + g * rest_1;
        v[i] = v[i] * factors.beta_2 + g * g * rest_2;
        weight[i] = weight[i] * factors.keep - m[i] * factors.lr / (v[i].sqrt() + factors.epsilon);
    }
}

/// Sums of chunks, added up in their order.
fn square_sum(x: &[f32]) -> f32 {
    let sums: Vec<f64> = x.par_chunks(CHUNK).map(square_sum_chunk).collect();
    sums.into_iter().sum::<f64>() as f32
}

fn square_sum_chunk(x: &[f32]) -> f64 {
    let _span = span(Kind::Optimizer);
    const LANES: usize = 64;
    vectorise(
        #[inline(always)]
        || {
            let mut sums = [0.0f32; LANES];
            let mut chunks = x.chunks_exact(LANES);
            for chunk in &mut chunks {
                for j in 0..LANES {
                    sums[j] += chunk[j] * chunk[j];
                }
            }
            let rest = chunks.remainder().iter().map(|x| x * x);
            sums.into_iter().chain(rest).map(f64::from).sum()
        },
    )
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl AdamOps for $backend {
            fn adam_step(
                weight: FloatTensor<Self>,
                grad: FloatTensor<Self>,
                m: FloatTensor<Self>,
                v: FloatTensor<Self>,
                rates: AdamStep,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                if weight.dtype_of() != DType::F32 {
                    return generic::step::<Self>(weight, grad, m, v, rates.factors());
                }
                let (mut weight, grad) = (weight.contiguous(), grad.contiguous());
                let (mut m, mut v) = (m.contiguous(), v.contiguous());
                step(
                    weight.as_f32_mut(),
                    grad.as_f32(),
                    m.as_f32_mut(),
                    v.as_f32_mut(),
                    rates.factors(),
                );
                (weight.into(), m.into(), v.into())
            }

            fn square_sum(x: FloatTensor<Self>) -> FloatTensor<Self> {
                if x.dtype_of() != DType::F32 {
                    return generic::square_sum::<Self>(x);
                }
                let sum = square_sum(x.contiguous().as_f32());
                HostTensor::from_vec(vec![sum], Shape::from([1]))
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
