//! The operation on slices, for flex and ndarray.

use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension, tensor::FloatTensor};
use burn::tensor::{Int, Shape, Tensor};
use rayon::prelude::*;

use crate::ops::host::{AsF32, HostTensor};

/// Numbers that are worth a thread.
const CHUNK: usize = 1 << 14;

pub(super) fn embedding(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    let ([vocab, _], shape) = (table.dims(), ids.dims());
    let ids: Vec<usize> = ids
        .into_data()
        .iter::<i64>()
        .map(|id| match usize::try_from(id) {
            Ok(id) if id < vocab => id,
            _ => panic!("the id {id} is not one of the {vocab} rows of the table"),
        })
        .collect();
    let ids = Ids { ids, shape };
    Tensor::from_dispatch(Dispatch::embedding_rows(table.into_dispatch(), ids))
}

/// The ids of a batch, row by row.
#[derive(Clone, Debug)]
pub struct Ids {
    ids: Vec<usize>,
    /// batch, len
    shape: [usize; 2],
}

/// The operation of a CPU backend.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
pub trait EmbeddingOps: Backend {
    /// The rows, `[batch, len, d]`.
    fn embedding_rows(table: FloatTensor<Self>, ids: Ids) -> FloatTensor<Self>;
}

/// The gradient where tensors are slices.
pub(super) trait OnSlices: EmbeddingOps {
    /// Of a table of `vocab` rows, given that of the rows taken.
    fn backward(grad: FloatTensor<Self>, ids: &Ids, vocab: usize) -> FloatTensor<Self>;
}

fn forward(table: &[f32], ids: &[usize], d: usize) -> Vec<f32> {
    let mut out = vec![0.0; ids.len() * d];
    let rows = (CHUNK / d).max(1);
    out.par_chunks_mut(rows * d)
        .zip(ids.par_chunks(rows))
        .for_each(|(out, ids)| {
            for (out, &id) in out.chunks_exact_mut(d).zip(ids) {
                out.copy_from_slice(&table[id * d..][..d]);
            }
        });
    out
}

fn backward(grad: &[f32], ids: &[usize], vocab: usize) -> Vec<f32> {
    // Few rows at a time: the frequent ones may be neighbours.
    const ROWS: usize = 64;
    let d = grad.len() / ids.len();
    // By id, the positions of an id in their order: threads share the table, not the positions.
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|&position| ids[position]);
    // Fresh zeros are not written, so neither are rows that get nothing.
    let mut out = vec![0.0; vocab * d];
    out.par_chunks_mut(ROWS * d)
        .enumerate()
        .with_min_len((CHUNK * vocab / (grad.len() * ROWS)).max(1))
        .for_each(|(chunk, out)| {
            let first = chunk * ROWS;
            let from = order.partition_point(|&position| ids[position] < first);
            let here = order[from..].iter();
            for &position in here.take_while(|&&position| ids[position] < first + ROWS) {
                let sum = &mut out[(ids[position] - first) * d..][..d];
                for (sum, x) in sum.iter_mut().zip(&grad[position * d..]) {
                    *sum += x;
                }
            }
        });
    out
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl EmbeddingOps for $backend {
            fn embedding_rows(table: FloatTensor<Self>, ids: Ids) -> FloatTensor<Self> {
                let d = table.shape()[1];
                let rows = forward(table.contiguous().as_f32(), &ids.ids, d);
                let [batch, len] = ids.shape;
                HostTensor::from_vec(rows, Shape::from([batch, len, d]))
            }
        }

        impl OnSlices for $backend {
            fn backward(grad: FloatTensor<Self>, ids: &Ids, vocab: usize) -> FloatTensor<Self> {
                let d = grad.shape()[2];
                let d_table = backward(grad.contiguous().as_f32(), &ids.ids, vocab);
                HostTensor::from_vec(d_table, Shape::from([vocab, d]))
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
