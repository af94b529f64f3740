//! The operation as CubeCL kernels.

use burn::backend::{TensorMetadata, ops::FloatTensorOps};
use burn::tensor::DType;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};

use super::AdditiveScoreOps;
use crate::ops::cube::{
    a_unit_each, dense, elem_type, empty, empty_like, in_type_of, tanh, written,
};

/// Columns that a tile holds at a time.
const CHUNK: usize = 32;

/// Queries and keys of a tile; a decoding step has a single query.
fn tile(tgt_len: usize) -> [usize; 2] {
    if tgt_len < 4 { [1, 64] } else { [8, 8] }
}

/// A cube has a tile of the scores of one row of the batch, a unit one score. Queries and keys come
/// through shared memory, some columns at a time.
#[cube(launch)]
fn scores<F: Float>(
    query: &[F],
    keys: &[F],
    v: &[F],
    scores: &mut [F],
    tgt_len: usize,
    src_len: usize,
    d: usize,
    #[comptime] tile_t: usize,
    #[comptime] tile_s: usize,
    #[define(F)] _dtype: ElemType,
) {
    let units = comptime!(tile_t * tile_s);
    let unit = UNIT_POS as usize;
    let (t_in, s_in) = (unit / tile_s, unit % tile_s);
    let (first_t, first_s) = (CUBE_POS_Y as usize * tile_t, CUBE_POS_X as usize * tile_s);
    let batch = CUBE_POS_Z as usize;
    let mut queries = Shared::<[f32]>::new_slice(comptime!(tile_t * CHUNK));
    // One column more, so that neighbouring rows lie in different banks.
    let mut some_keys = Shared::<[f32]>::new_slice(comptime!(tile_s * (CHUNK + 1)));
    let mut weights = Shared::<[f32]>::new_slice(CHUNK);

    let mut score = 0.0f32;
    let mut first = 0usize.runtime();
    while first < d {
        sync_cube();
        let mut i = unit;
        while i < comptime!(tile_t * CHUNK) {
            let (t, a) = (first_t + i / CHUNK, first + i % CHUNK);
            if t < tgt_len && a < d {
                queries[i] = f32::cast_from(query[(batch * tgt_len + t) * d + a]);
            }
            i += units;
        }
        let mut i = unit;
        while i < comptime!(tile_s * CHUNK) {
            let (s, a) = (first_s + i / CHUNK, first + i % CHUNK);
            if s < src_len && a < d {
                some_keys[i / CHUNK * (CHUNK + 1) + i % CHUNK] =
                    f32::cast_from(keys[(batch * src_len + s) * d + a]);
            }
            i += units;
        }
        let mut i = unit;
        while i < CHUNK {
            if first + i < d {
                weights[i] = f32::cast_from(v[first + i]);
            }
            i += units;
        }
        sync_cube();
        let here = min(d - first, CHUNK);
        for a in 0..here {
            let y = tanh(queries[t_in * CHUNK + a] + some_keys[s_in * (CHUNK + 1) + a]);
            score += weights[a] * y;
        }
        first += CHUNK;
    }
    let (t, s) = (first_t + t_in, first_s + s_in);
    if t < tgt_len && s < src_len {
        scores[(batch * tgt_len + t) * src_len + s] = F::cast_from(score);
    }
}

/// The gradient of the rows of one side (`near`), one unit for each of its numbers, from the rows
/// of the other (`far`) of the same row of the batch: the tanh is computed again.
///
/// - `grad`: of the scores, of which those of a near row are `near_stride` apart from the next
///   one's, and those of far rows `far_stride`
/// - `d_near`: `sum_far grad (1 - y^2) v`
/// - `d_v`: with `with_v` the part of each near row, `sum_far grad y`
#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is written above
fn side_backward<F: Float>(
    grad: &[F],
    near: &[F],
    far: &[F],
    v: &[F],
    d_near: &mut [F],
    d_v: &mut [f32],
    near_len: usize,
    far_len: usize,
    near_stride: usize,
    far_stride: usize,
    d: usize,
    #[comptime] with_v: bool,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= near.len() {
        terminate!();
    }
    let (row, a) = (at / d, at % d);
    let (batch, n) = (row / near_len, row % near_len);
    let own = f32::cast_from(near[at]);
    let mut through = 0.0f32;
    let mut along = 0.0f32;
    let mut grad_at = batch * near_len * far_len + n * near_stride;
    let mut far_at = batch * far_len * d + a;
    for _ in 0..far_len {
        let g = f32::cast_from(grad[grad_at]);
        let y = tanh(own + f32::cast_from(far[far_at]));
        through += g * (1.0f32 - y * y);
        if with_v {
            along += g * y;
        }
        grad_at += far_stride;
        far_at += d;
    }
    d_near[at] = F::cast_from(through * f32::cast_from(v[a]));
    if with_v {
        d_v[at] = along;
    }
}

/// The gradient of `near`, and with `with_v` the parts of v's gradient, a line for each row of
/// `near`, in f32.
fn of_side(
    grad: BufferArg,
    near: &CubeTensor,
    far: &CubeTensor,
    v: &CubeTensor,
    [near_stride, far_stride]: [usize; 2],
    with_v: bool,
) -> (CubeTensor, CubeTensor) {
    let [batch, near_len, d] = near.shape().dims();
    let far_len = far.shape()[1];
    let d_near = empty_like(near, [batch, near_len, d]);
    let parts = if with_v {
        [batch * near_len, d]
    } else {
        [1, 1] // not written
    };
    let d_v = empty(near, parts, DType::F32);
    let (count, dim) = a_unit_each(&near.client, batch * near_len * d);
    side_backward::launch(
        &near.client,
        count,
        dim,
        grad,
        dense(near.clone()),
        dense(far.clone()),
        dense(v.clone()),
        written(&d_near),
        written(&d_v),
        near_len,
        far_len,
        near_stride,
        far_stride,
        d,
        with_v,
        elem_type(near),
    );
    (d_near, d_v)
}

/// The gradients of keys and v, given that of the scores.
pub(in crate::ops) fn keys_backward(
    grad: CubeTensor,
    query: CubeTensor,
    keys: CubeTensor,
    v: &CubeTensor,
) -> (CubeTensor, CubeTensor) {
    let src_len = keys.shape()[1];
    let grad = into_contiguous(grad).into_buffer_arg();
    let (d_keys, parts) = of_side(grad, &keys, &query, v, [1, src_len], true);
    (d_keys, sum_of_parts(v, parts))
}

/// The gradient of v from its parts.
fn sum_of_parts(v: &CubeTensor, parts: CubeTensor) -> CubeTensor {
    let sum = CubeBackend::float_sum_dim(parts, 0);
    in_type_of(v, CubeBackend::float_reshape(sum, v.shape()))
}

impl AdditiveScoreOps for CubeBackend {
    fn additive_score(query: CubeTensor, keys: CubeTensor, v: CubeTensor) -> CubeTensor {
        let [batch, tgt_len, d] = query.shape().dims();
        let src_len = keys.shape()[1];
        let out = empty_like(&query, [batch, tgt_len, src_len]);
        let [tile_t, tile_s] = tile(tgt_len);
        let (client, dtype) = (query.client.clone(), elem_type(&query));
        let tiles = [src_len.div_ceil(tile_s), tgt_len.div_ceil(tile_t), batch];
        let [x, y, z] = tiles.map(|tiles| tiles as u32);
        scores::launch(
            &client,
            CubeCount::Static(x, y, z),
            CubeDim::new_1d((tile_t * tile_s) as u32),
            dense(query),
            dense(keys),
            dense(v),
            written(&out),
            tgt_len,
            src_len,
            d,
            tile_t,
            tile_s,
            dtype,
        );
        out
    }

    fn additive_score_backward(
        grad: CubeTensor,
        query: CubeTensor,
        keys: CubeTensor,
        v: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let src_len = keys.shape()[1];
        let grad = into_contiguous(grad);
        let side = |near, far, strides, with_v| {
            let grad = grad.clone().into_buffer_arg();
            of_side(grad, near, far, &v, strides, with_v)
        };
        let (d_query, parts) = side(&query, &keys, [src_len, 1], true);
        let (d_keys, _) = side(&keys, &query, [1, src_len], false);
        (d_query, d_keys, sum_of_parts(&v, parts))
    }
}
