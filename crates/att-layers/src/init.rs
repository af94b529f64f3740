//! Initial weights, drawn on the host ([`att_core::random`]), so that a seed gives the same model
//! on every backend.

use att_core::random;
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use crate::Linear;

/// Uniform in `[-bound, bound)`.
pub fn uniform<const D: usize>(shape: [usize; D], bound: f64, device: &Device) -> Param<Tensor<D>> {
    param(
        random::uniform(shape.iter().product(), bound as f32),
        shape,
        device,
    )
}

/// Normal with mean zero.
pub fn normal<const D: usize>(shape: [usize; D], std: f64, device: &Device) -> Param<Tensor<D>> {
    param(
        random::normal(shape.iter().product(), std as f32),
        shape,
        device,
    )
}

/// The same number everywhere.
pub fn constant<const D: usize>(
    shape: [usize; D],
    value: f32,
    device: &Device,
) -> Param<Tensor<D>> {
    param(vec![value; shape.iter().product()], shape, device)
}

/// A learned tensor with the given numbers, row by row.
///
/// # Panics
///
/// If there are not as many numbers as `shape` asks for.
pub fn param<const D: usize>(
    data: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::from_data(TensorData::new(data, shape), device))
}

/// `y = x W + b`; W uniform within `sqrt(6 / (d_input + d_output))` (Glorot and Bengio 2010,
/// eq. 16), b zero.
pub fn linear(d_input: usize, d_output: usize, bias: bool, device: &Device) -> Linear {
    let bound = (6.0 / (d_input + d_output) as f64).sqrt();
    Linear {
        weight: uniform([d_input, d_output], bound, device),
        bias: bias.then(|| constant([d_output], 0.0, device)),
    }
}
