//! What the CubeCL kernels share. They read and write f32, f16 or bf16 and compute in f32.

use burn::backend::{TensorMetadata, ops::FloatTensorOps};
use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, ir::ElemType, prelude::*};
use burn_cubecl::{CubeBackend, kernel, ops::numeric::empty_device_dtype, tensor::CubeTensor};

/// Whether the kernels compute in this type.
pub(super) fn is_supported(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}

/// The type of a tensor's elements in a kernel.
pub(super) fn elem_type(tensor: &CubeTensor) -> ElemType {
    burn::backend::cubecl::dtype_to_storage_type(tensor.dtype)
}

/// A tensor where `near` lives, to be written whole.
pub(super) fn empty(near: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let (client, device) = (near.client.clone(), near.device.clone());
    empty_device_dtype(client, device, shape.into(), dtype)
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
