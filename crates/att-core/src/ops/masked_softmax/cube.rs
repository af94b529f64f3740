//! The operation as CubeCL kernels: a cube has a row.

use burn::backend::{TensorMetadata, tensor::BoolTensor};
use burn_cubecl::cubecl::{self, prelude::*, std::tensor::layout::linear::LinearView};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};

use super::MaskedSoftmaxOps;
use crate::ops::cube::{
    UNITS, a_cube_each, dense, elem_type, empty_like, max_of_units, row_of_cube, sum_of_units,
    written,
};

#[cube(launch)]
fn forward<F: Float, B: Int>(
    scores: &[F],
    mask: LinearView<'_, B>,
    weights: &mut [F],
    len: usize,
    #[define(F, B)] _dtypes: [ElemType; 2],
) {
    let first = row_of_cube() * len;
    if first >= weights.len() {
        terminate!();
    }
    let mut shared = Shared::<[f32]>::new_slice(UNITS);
    let mut greatest = f32::MIN.runtime();
    let mut s = first + UNIT_POS as usize;
    while s < first + len {
        if !is_masked(&mask, s) {
            greatest = max(greatest, f32::cast_from(scores[s]));
        }
        s += UNITS;
    }
    let greatest = max_of_units(greatest, &mut shared);
    let mut sum = 0.0f32;
    let mut s = first + UNIT_POS as usize;
    while s < first + len {
        if !is_masked(&mask, s) {
            sum += (f32::cast_from(scores[s]) - greatest).exp();
        }
        s += UNITS;
    }
    let sum = sum_of_units(sum, &mut shared);
    let mut s = first + UNIT_POS as usize;
    while s < first + len {
        let mut weight = 0.0f32;
        if !is_masked(&mask, s) {
            weight = (f32::cast_from(scores[s]) - greatest).exp() / sum;
        }
        weights[s] = F::cast_from(weight);
        s += UNITS;
    }
}

#[cube]
fn is_masked<B: Int>(mask: &LinearView<'_, B>, at: usize) -> bool {
    u32::cast_from(mask.read(at)) != 0
}

/// `weights (grad - sum(grad weights))` of each row.
#[cube(launch)]
fn backward<F: Float>(
    grad: &[F],
    weights: &[F],
    d_scores: &mut [F],
    len: usize,
    #[define(F)] _dtype: ElemType,
) {
    let first = row_of_cube() * len;
    if first >= d_scores.len() {
        terminate!();
    }
    let mut shared = Shared::<[f32]>::new_slice(UNITS);
    let mut along = 0.0f32;
    let mut s = first + UNIT_POS as usize;
    while s < first + len {
        along += f32::cast_from(grad[s]) * f32::cast_from(weights[s]);
        s += UNITS;
    }
    let along = sum_of_units(along, &mut shared);
    let mut s = first + UNIT_POS as usize;
    while s < first + len {
        let d = f32::cast_from(weights[s]) * (f32::cast_from(grad[s]) - along);
        d_scores[s] = F::cast_from(d);
        s += UNITS;
    }
}

/// The length of the rows, and their number.
fn rows(tensor: &CubeTensor) -> (usize, usize) {
    let shape = tensor.shape();
    let len = shape[shape.num_dims() - 1];
    (len, shape.num_elements() / len.max(1))
}

impl MaskedSoftmaxOps for CubeBackend {
    fn masked_softmax(scores: CubeTensor, mask: BoolTensor<Self>) -> CubeTensor {
        let weights = empty_like(&scores, scores.shape());
        let (len, rows) = rows(&scores);
        let (count, dim) = a_cube_each(rows);
        let (client, dtypes) = (
            scores.client.clone(),
            [elem_type(&scores), elem_type(&mask)],
        );
        forward::launch(
            &client,
            count,
            dim,
            dense(scores),
            mask.into_linear_view(),
            written(&weights),
            len,
            dtypes,
        );
        weights
    }

    fn masked_softmax_backward(grad: CubeTensor, weights: CubeTensor) -> CubeTensor {
        let d_scores = empty_like(&grad, grad.shape());
        let (len, rows) = rows(&grad);
        let (count, dim) = a_cube_each(rows);
        backward::launch(
            &grad.client.clone(),
            count,
            dim,
            dense(grad),
            dense(weights),
            written(&d_scores),
            len,
            elem_type(&d_scores),
        );
        d_scores
    }
}
