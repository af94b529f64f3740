//! The kernel for flex and ndarray: that of `linear_cross_entropy`.

use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};

use super::{LinearLogProbsOps, generic};
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::linear_cross_entropy::kernel::{self, Arguments, Token};

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl LinearLogProbsOps for $backend {
            fn linear_log_probs(
                features: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                gold: &[u32],
            ) -> FloatTensor<Self> {
                if features.dtype_of() != DType::F32 {
                    return generic::terms::<Self>(features, weight, bias, gold);
                }
                let tokens = kernel::tokens(Arguments {
                    features: features.contiguous().as_f32(),
                    weight: weight.matrix().as_mat(),
                    bias: bias.contiguous().as_f32(),
                    gold,
                });
                let terms = tokens.iter().flat_map(|token| [-token.nll, -token.uniform]);
                let terms = terms.map(|term| term as f32).collect();
                HostTensor::from_vec(terms, Shape::from([gold.len(), 2]))
            }

            fn linear_log_probs_backward(
                features: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                gold: &[u32],
                grad: FloatTensor<Self>,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                if features.dtype_of() != DType::F32 {
                    return generic::backward::<Self>(features, weight, bias, gold, grad);
                }
                let grad = grad.contiguous();
                let tokens = grad.as_f32().chunks_exact(2).map(|grad| Token {
                    nll: -f64::from(grad[0]),
                    uniform: -f64::from(grad[1]),
                });
                let (features, bias) = (features.contiguous(), bias.contiguous());
                let weight = weight.matrix();
                let arguments = Arguments {
                    features: features.as_f32(),
                    weight: weight.as_mat(),
                    bias: bias.as_f32(),
                    gold,
                };
                let gradients = kernel::gradients(arguments, &mut tokens.collect::<Vec<_>>());
                let (d, vocab) = (weight.rows, weight.cols);
                (
                    HostTensor::from_vec(gradients.features, Shape::from([gold.len(), d])),
                    HostTensor::from_matrix(gradients.weight, d, vocab, weight.transposed),
                    HostTensor::from_vec(gradients.bias, Shape::from([vocab])),
                )
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
