//! A linear map as one operation.

mod backward;
#[cfg(feature = "cpu")]
mod cpu;
mod generic;
#[cfg(test)]
mod reference;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, assert_shape};

/// `y = x W + b`, over the last dimension of x.
///
/// - `x`: `[.., d_in]`, of two dimensions or more
/// - `weight`: W, `[d_in, d_out]`; the transpose of a tensor is not copied
/// - `bias`: b, `[d_out]`
/// - returns `[.., d_out]`
///
/// One node on the tape. On CPU the products are those of this crate, in the
/// [precision](crate::precision()) that is set:
///
/// ```text
/// dx = dy W^T        dW = x^T dy        db = sum of dy's rows
/// ```
///
/// Of these, only those of tracked tensors are computed.
///
/// # Panics
///
/// If the shapes disagree, or a size is 0.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let [d_in, d_out] = weight.dims();
    assert!(D >= 2, "a linear map reads rows");
    assert_shape!(x, [.., d_in]);
    super::assert_some("linear", &x);
    super::assert_some("linear", &weight);
    let bias = match bias {
        Some(bias) => bias,
        None if super::has_cpu_kernels(&x) => no_bias(&weight),
        // To add zeros would be a kernel more.
        None => {
            let mut shape = x.dims();
            shape[D - 1] = d_out;
            let rows = x.reshape([-1, d_in as i64]);
            return rows.matmul(weight).reshape(shape);
        }
    };
    assert_shape!(bias, [d_out]);
    Tensor::from_dispatch(Dispatch::linear_forward(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// Zeros for W's columns, not tracked: what a map without bias adds.
pub(super) fn no_bias(weight: &Tensor<2>) -> Tensor<1> {
    let [_, d_out] = weight.dims();
    Tensor::zeros([d_out], (&weight.device(), weight.dtype()))
}

/// The linear map of a backend. Names as in [`linear()`]; the default bodies are made of the
/// backend's own float operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Remote: cfg(feature = "remote"),
    Autodiff
)]
pub trait LinearOps: Backend {
    /// y, `[.., d_out]`.
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        generic::forward::<Self>(x, weight, bias)
    }

    /// Gradient of `x`, given that of y.
    fn linear_backward_x(grad: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::backward_x::<Self>(grad, weight)
    }

    /// Gradient of `weight`, given that of y; laid out in memory as `weight` is.
    fn linear_backward_weight(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let _ = weight;
        generic::backward_weight::<Self>(grad, x)
    }

    /// Gradient of `bias`, given that of y.
    fn linear_backward_bias(grad: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::backward_bias::<Self>(grad)
    }
}

#[cfg(feature = "cube")]
impl LinearOps for burn_cubecl::CubeBackend {}

#[cfg(feature = "remote")]
impl LinearOps for burn::backend::Remote {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{assert_close, cpu_devices, gradients, random_tensor};
    use reference::linear_reference;

    const SIZES: [[usize; 4]; 5] = [
        [1, 1, 1, 1],
        [1, 3, 5, 2],
        [3, 2, 17, 33],
        [2, 40, 64, 16],
        [7, 61, 50, 301],
    ];

    fn arguments(
        device: &burn::tensor::Device,
        [batch, len, d_in, d_out]: [usize; 4],
    ) -> [Tensor<3>; 3] {
        [
            random_tensor([batch, len, d_in], device),
            random_tensor([1, d_in, d_out], device),
            random_tensor([1, 1, d_out], device),
        ]
    }

    /// How the weight comes, and whether there is a bias.
    #[derive(Clone, Copy)]
    struct Case {
        transposed: bool,
        bias: bool,
        fused: bool,
    }

    fn run([x, weight, bias]: [Tensor<3>; 3], case: Case) -> Tensor<3> {
        let weight = weight.squeeze_dim::<2>(0);
        // The same numbers, made contiguous the other way round.
        let weight = if case.transposed {
            (weight.transpose() * 1.0).transpose()
        } else {
            weight
        };
        let bias = case.bias.then(|| bias.squeeze_dims(&[0, 1]));
        if case.fused {
            linear(x, weight, bias)
        } else {
            linear_reference(x, weight, bias)
        }
    }

    fn cases() -> impl Iterator<Item = Case> {
        [false, true].into_iter().flat_map(|transposed| {
            [false, true].map(|bias| Case {
                transposed,
                bias,
                fused: true,
            })
        })
    }

    #[test]
    fn fused_equals_reference_on_every_cpu_backend() {
        for device in cpu_devices() {
            for sizes in SIZES {
                crate::random::seed(3);
                let arguments = arguments(&device, sizes);
                for case in cases() {
                    let plain = run(
                        arguments.clone(),
                        Case {
                            fused: false,
                            ..case
                        },
                    );
                    assert_close(run(arguments.clone(), case), plain, 1e-5);
                }
            }
        }
    }

    #[test]
    fn gradients_equal_those_of_the_reference() {
        for device in cpu_devices() {
            for sizes in SIZES {
                crate::random::seed(4);
                let [x, weight, bias] = arguments(&device, sizes);
                for case in cases() {
                    let of = |case: Case| {
                        if case.bias {
                            let arguments = [x.clone(), weight.clone(), bias.clone()];
                            gradients(arguments, |a| run(a, case))
                        } else {
                            gradients([x.clone(), weight.clone()], |[x, weight]| {
                                run([x, weight, bias.clone()], case)
                            })
                        }
                    };
                    let plain = of(Case {
                        fused: false,
                        ..case
                    });
                    for (fused, plain) in of(case).into_iter().zip(plain) {
                        assert_close(fused, plain, 2e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_tracked_gets_no_gradient() {
        for device in cpu_devices() {
            crate::random::seed(5);
            let [x, weight, bias] = arguments(&device, [2, 3, 4, 5]);
            let x = x.autodiff();
            let weight = weight.squeeze_dim::<2>(0).autodiff().require_grad();
            let bias = bias.squeeze_dims::<1>(&[0, 1]).autodiff();
            let grads = linear(x.clone(), weight.clone(), Some(bias.clone()))
                .sum()
                .backward();
            assert!(weight.grad(&grads).is_some());
            assert!(x.grad(&grads).is_none() && bias.grad(&grads).is_none());
        }
    }

    #[test]
    fn a_part_of_a_tensor_is_read_where_it_lies() {
        for device in cpu_devices() {
            crate::random::seed(6);
            let [x, weight, bias] = arguments(&device, [4, 5, 6, 7]);
            let (x, weight) = (x.narrow(1, 2, 3), weight.squeeze_dim::<2>(0));
            let (weight, bias) = (weight.narrow(1, 2, 5), bias.squeeze_dims(&[0, 1]));
            let bias = Some(bias.narrow(0, 2, 5));
            let plain = linear_reference(x.clone(), weight.clone(), bias.clone());
            assert_close(linear(x, weight, bias), plain, 1e-5);
        }
    }

    #[test]
    fn the_generic_bodies_equal_the_kernel() {
        use burn::backend::Flex;
        let device = &cpu_devices()[0];
        crate::random::seed(7);
        let x = random_tensor([2, 4, 5], device);
        let (weight, bias) = (random_tensor([5, 3], device), random_tensor([3], device));
        let grad = random_tensor([2, 4, 3], device);

        let [x, grad] = [x, grad].map(|t| t.try_into_primitive::<Flex>().expect("flex"));
        let weight = weight.try_into_primitive::<Flex>().expect("flex");
        let bias = bias.try_into_primitive::<Flex>().expect("flex");
        fn same<const D: usize>(generic: FloatTensor<Flex>, kernel: FloatTensor<Flex>) {
            let generic = Tensor::<D>::from_primitive::<Flex>(generic);
            assert_close(generic, Tensor::from_primitive::<Flex>(kernel), 1e-5);
        }
        same::<3>(
            generic::forward::<Flex>(x.clone(), weight.clone(), bias.clone()),
            Flex::linear_forward(x.clone(), weight.clone(), bias),
        );
        same::<3>(
            generic::backward_x::<Flex>(grad.clone(), weight.clone()),
            Flex::linear_backward_x(grad.clone(), weight.clone()),
        );
        same::<2>(
            generic::backward_weight::<Flex>(grad.clone(), x.clone()),
            Flex::linear_backward_weight(grad.clone(), x, weight),
        );
        same::<1>(
            generic::backward_bias::<Flex>(grad.clone()),
            Flex::linear_backward_bias(grad),
        );
    }
}
