//! The kernel for flex and ndarray.

use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};

use super::kernel::{self, Arguments, Token};
use super::{LinearCrossEntropyOps, generic};
use crate::ops::host::{AsF32, HostTensor};

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl LinearCrossEntropyOps for $backend {
            fn linear_cross_entropy(
                features: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                gold: &[u32],
                smoothing: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                if features.dtype_of() != DType::F32 {
                    let log_probs = generic::log_probs::<Self>(features, weight, bias);
                    return generic::losses::<Self>(log_probs, gold, smoothing);
                }
                let tokens = kernel::tokens(Arguments {
                    features: features.contiguous().as_f32(),
                    weight: weight.matrix().as_mat(),
                    bias: bias.contiguous().as_f32(),
                    gold,
                });
                let losses = kernel::means(&tokens, smoothing);
                (scalar(losses.loss), scalar(losses.nll))
            }

            fn linear_cross_entropy_forward(
                features: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                gold: &[u32],
                smoothing: f64,
            ) -> (
                FloatTensor<Self>,
                FloatTensor<Self>,
                FloatTensor<Self>,
                FloatTensor<Self>,
                FloatTensor<Self>,
            ) {
                if features.dtype_of() != DType::F32 {
                    return generic::forward::<Self>(features, weight, bias, gold, smoothing);
                }
                let (features, bias) = (features.contiguous(), bias.contiguous());
                let weight = weight.matrix();
                let arguments = Arguments {
                    features: features.as_f32(),
                    weight: weight.as_mat(),
                    bias: bias.as_f32(),
                    gold,
                };
                let mut tokens = vec![Token::of_means(gold.len(), smoothing); gold.len()];
                let gradients = kernel::gradients(arguments, &mut tokens);
                let losses = kernel::means(&tokens, smoothing);
                let (d, vocab) = (weight.rows, weight.cols);
                (
                    scalar(losses.loss),
                    scalar(losses.nll),
                    HostTensor::from_vec(gradients.features, Shape::from([gold.len(), d])),
                    HostTensor::from_matrix(gradients.weight, d, vocab, weight.transposed),
                    HostTensor::from_vec(gradients.bias, Shape::from([vocab])),
                )
            }

            fn linear_cross_entropy_backward(
                grad: FloatTensor<Self>,
                gradient: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                // As it is in training, where the loss is what is differentiated.
                if grad.dtype_of() == DType::F32 && grad.clone().contiguous().as_f32() == [1.0] {
                    return gradient;
                }
                generic::scaled::<Self>(grad, gradient)
            }
        }
    };
}

fn scalar<T: HostTensor>(x: f64) -> T {
    T::from_vec(vec![x as f32], Shape::from([1]))
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
