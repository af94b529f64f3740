//! What the CubeCL kernels share. They read and write f32, f16 or bf16 and compute in f32.

use burn::backend::{TensorMetadata, ops::FloatTensorOps};
use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, ir::ElemType, prelude::*};
use burn_cubecl::{
    CubeBackend, kernel, ops::numeric::empty_device_contiguous_dtype, tensor::CubeTensor,
};

/// Whether the kernels compute in this type.
pub(super) fn is_supported(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}

/// The type of a tensor's elements in a kernel.
pub(super) fn elem_type(tensor: &CubeTensor) -> ElemType {
    burn::backend::cubecl::dtype_to_storage_type(tensor.dtype)
}

/// A tensor where `near` lives, to be written whole, row after row. (What burn's own operations give out
/// can have gaps between rows, on CUDA.)
pub(super) fn empty(near: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let (client, device) = (near.client.clone(), near.device.clone());
    empty_device_contiguous_dtype(client, device, shape.into(), dtype)
}

/// A tensor where `like` lives and of its type, to be written whole.
pub(super) fn empty_like(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    empty(like, shape, like.dtype)
}

/// The tensor in the type of `like`.
pub(super) fn in_type_of(like: &CubeTensor, tensor: CubeTensor) -> CubeTensor {
    if tensor.dtype == like.dtype {
        return tensor;
    }
    CubeBackend::float_cast(tensor, like.dtype.into())
}

/// As a kernel's argument, read row after row.
pub(super) fn dense(tensor: CubeTensor) -> BufferArg {
    kernel::into_contiguous(tensor).into_buffer_arg()
}

/// As a kernel's argument, written row after row: one that [`empty`] made.
pub(super) fn written(tensor: &CubeTensor) -> BufferArg {
    debug_assert!(tensor.is_contiguous());
    tensor.clone().into_buffer_arg()
}

/// The first `rows` rows of a contiguous matrix, in the same memory.
pub(super) fn first_rows(tensor: &CubeTensor, rows: usize) -> CubeTensor {
    let cols = tensor.shape()[1];
    CubeTensor::new_contiguous(
        tensor.client.clone(),
        tensor.device.clone(),
        Shape::from([rows, cols]),
        tensor.handle.clone(),
        tensor.dtype,
    )
}

/// A grid of one unit for each of `elements`; some units may be too many.
pub(super) fn a_unit_each(client: &Client, elements: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, elements);
    (calculate_cube_count_elemwise(client, elements, dim), dim)
}

/// A grid of one cube of [`UNITS`] for each of `rows`; some cubes may be too many.
pub(super) fn a_cube_each(rows: usize) -> (CubeCount, CubeDim) {
    // What every GPU allows in one dimension.
    const MOST: usize = 65_535;
    let count = CubeCount::Static(rows.min(MOST) as u32, rows.div_ceil(MOST) as u32, 1);
    (count, CubeDim::new_1d(UNITS as u32))
}

/// Units that share a row.
pub(super) const UNITS: usize = 64;

/// Which row of the grid of [`a_cube_each`] a cube has.
#[cube]
pub(super) fn row_of_cube() -> usize {
    CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize
}

/// `1 / (1 + exp(-x))`, finite in between.
#[cube]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0f32 / (1.0f32 + (-x).clamp(-80.0f32, 80.0f32).exp())
}

/// tanh, also where a driver's overflows.
#[cube]
pub(super) fn tanh(x: f32) -> f32 {
    x.clamp(-20.0f32, 20.0f32).tanh()
}

/// The sum of one value of each unit of a cube, to all of them.
#[cube]
pub(super) fn sum_of_units(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    share(value, shared);
    let mut half = (UNITS / 2).runtime();
    while half > 0 {
        if (UNIT_POS as usize) < half {
            let other = shared[UNIT_POS as usize + half];
            shared[UNIT_POS as usize] += other;
        }
        sync_cube();
        half /= 2;
    }
    shared[0]
}

/// The greatest of one value of each unit of a cube, to all of them.
#[cube]
pub(super) fn max_of_units(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    share(value, shared);
    let mut half = (UNITS / 2).runtime();
    while half > 0 {
        if (UNIT_POS as usize) < half {
            let other = shared[UNIT_POS as usize + half];
            let own = shared[UNIT_POS as usize];
            shared[UNIT_POS as usize] = max(own, other);
        }
        sync_cube();
        half /= 2;
    }
    shared[0]
}

#[cube]
fn share(value: f32, shared: &mut Shared<[f32]>) {
    // The result of an earlier reduction has been read by all.
    sync_cube();
    shared[UNIT_POS as usize] = value;
    sync_cube();
}

#[cfg(all(test, any(feature = "wgpu", feature = "cuda")))]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use crate::ops::additive_score::additive_score_reference;
    use crate::ops::gru::gru_reference;
    use crate::ops::lstm::lstm_reference;
    use crate::ops::masked_softmax::masked_softmax_reference;
    use crate::ops::test_support::{assert_close, gpus, gradients, random_tensor};
    use crate::ops::{
        Direction, GruArguments, LstmArguments, RecurrentStates, additive_score, cross_entropy,
        gru, linear_cross_entropy, lstm, masked_softmax,
    };

    /// That `fused` in f16 and bf16 gives values and gradients of `reference` in f32, on each GPU, of
    /// the two what it has.
    fn assert_close_in_half<const N: usize>(
        shapes: [[usize; 3]; N],
        fused: impl Fn([Tensor<3>; N]) -> Tensor<3>,
        reference: impl Fn([Tensor<3>; N]) -> Tensor<3>,
    ) {
        for device in gpus() {
            for dtype in [FloatDType::F16, FloatDType::BF16] {
                if !device.supports_dtype(dtype) {
                    println!("not tested: {device:?} has no {dtype:?}");
                    continue;
                }
                let half = |arguments: [Tensor<3>; N]| {
                    fused(arguments.map(|tensor| tensor.cast(dtype))).cast(FloatDType::F32)
                };
                crate::random::seed(11);
                let arguments = shapes.map(|shape| random_tensor(shape, &device));
                let expected = reference(arguments.clone());
                assert_close(half(arguments.clone()), expected, 4e-2);
                let half = gradients(arguments.clone(), half);
                for (half, expected) in half.into_iter().zip(gradients(arguments, &reference)) {
                    assert_close(half, expected, 4e-2);
                }
            }
        }
    }

    #[test]
    fn additive_scores_in_half_precision() {
        let on = |run: fn(Tensor<3>, Tensor<3>, Tensor<1>) -> Tensor<3>| {
            move |[query, keys, v]: [Tensor<3>; 3]| run(query, keys, v.squeeze_dims(&[0, 1]))
        };
        let shapes = [[2, 5, 33], [2, 7, 33], [1, 1, 33]];
        assert_close_in_half(shapes, on(additive_score), on(additive_score_reference));
    }

    #[test]
    fn masked_softmax_in_half_precision() {
        let on = |run: fn(Tensor<3>, Tensor<3, burn::tensor::Bool>) -> Tensor<3>| {
            move |[scores]: [Tensor<3>; 1]| {
                let mask = crate::mask::src_pad_mask(&[9, 0, 5], 9, &scores.device());
                run(scores, mask.unsqueeze_dim(1))
            }
        };
        assert_close_in_half(
            [[3, 4, 9]],
            on(masked_softmax),
            on(masked_softmax_reference),
        );
    }

    /// All states of all steps and the last ones, below each other.
    fn joined(states: RecurrentStates) -> Tensor<3> {
        let last = [Some(states.last.hidden), states.last.cell];
        let last = last.into_iter().flatten().map(|last| last.unsqueeze_dim(1));
        Tensor::cat([states.hidden].into_iter().chain(last).collect(), 1)
    }

    #[test]
    fn lstm_in_half_precision() {
        let on = |run: fn(LstmArguments, Direction, &[usize]) -> RecurrentStates| {
            move |[input, input_weight, input_bias, recurrent, hidden, cell]: [Tensor<3>; 6]| {
                let arguments = LstmArguments {
                    input,
                    input_weight: input_weight.squeeze_dim(0),
                    input_bias: input_bias.squeeze_dim(0),
                    recurrent_weight: recurrent.squeeze_dim(0),
                    hidden: hidden.squeeze_dim(0),
                    cell: cell.squeeze_dim(0),
                };
                joined(run(arguments, Direction::Backward, &[4, 1, 3]))
            }
        };
        let (weights, state) = ([[1, 6, 20], [1, 1, 20], [1, 5, 20]], [1, 3, 5]);
        let [input_weight, bias, recurrent] = weights;
        let shapes = [[3, 4, 6], input_weight, bias, recurrent, state, state];
        assert_close_in_half(shapes, on(lstm), on(lstm_reference));
    }

    #[test]
    fn gru_in_half_precision() {
        let on = |run: fn(GruArguments, Direction, &[usize]) -> RecurrentStates| {
            move |[input, input_weight, input_bias, recurrent, hidden, bias]: [Tensor<3>; 6]| {
                let arguments = GruArguments {
                    input,
                    input_weight: input_weight.squeeze_dim(0),
                    input_bias: input_bias.squeeze_dim(0),
                    recurrent_weight: recurrent.squeeze_dim(0),
                    recurrent_bias: bias.squeeze_dims(&[0, 1]),
                    hidden: hidden.squeeze_dim(0),
                };
                joined(run(arguments, Direction::Forward, &[4, 1, 3]))
            }
        };
        let weights = [[1, 6, 15], [1, 1, 15], [1, 5, 15]];
        let [input_weight, bias, recurrent] = weights;
        let shapes = [
            [3, 4, 6],
            input_weight,
            bias,
            recurrent,
            [1, 3, 5],
            [1, 1, 5],
        ];
        assert_close_in_half(shapes, on(gru), on(gru_reference));
    }

    #[test]
    fn linear_cross_entropy_in_half_precision() {
        const GOLD: [u32; 3] = [2, 0, 6];
        let fused = |[features, weight]: [Tensor<3>; 2]| {
            let (features, weight) = (features.squeeze_dim(0), weight.squeeze_dim(0));
            let out = linear_cross_entropy(features, weight, None, &GOLD, 0.1);
            out.loss.unsqueeze()
        };
        let reference = |[features, weight]: [Tensor<3>; 2]| {
            let logits = features.matmul(weight).squeeze_dim(0);
            cross_entropy(logits, &GOLD, 0.1).loss.unsqueeze()
        };
        assert_close_in_half([[1, 3, 8], [1, 8, 70]], fused, reference);
    }
}
