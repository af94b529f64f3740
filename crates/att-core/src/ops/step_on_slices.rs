//! Parts of a step of decoding on slices, of which [`bahdanau_step`](super::bahdanau_step()) and
//! [`luong_step`](super::luong_step()) are made. Rows are those of a beam, the ones of a source side by side.

use burn::backend::{Dispatch, DispatchTensor};
use burn::tensor::{Bool, Shape, Tensor};
use gemm::Parallelism;
use rayon::prelude::*;

use super::attention_dims::AttentionDims;
use super::attention_read::kernel::{self as attention_read, Sources};
use super::gemm::{Mat, rows_per_thread};
use super::host::HostTensor;
use super::recurrent::cpu::{CpuCell, SLOTS, Weights};
use super::simd::{tanh, vectorise};
use super::tensor_list::TensorList;
use super::work::{Kind, span};
use crate::RecurrentState;

/// Products of a step are shared out to all threads.
pub(super) const THREADS: Parallelism = Parallelism::Rayon(0);

/// Whether the recurrence is an LSTM's, and what it has for itself: the cell, or a GRU's recurrent bias. Of whole
/// passes, too.
///
/// # Panics
///
/// If there is neither.
pub(super) fn cell_or_bias(
    cell: Option<Tensor<2>>,
    bias: Option<Tensor<1>>,
) -> (bool, DispatchTensor) {
    match (cell, bias) {
        (Some(cell), _) => (true, cell.into_dispatch()),
        (None, Some(bias)) => (false, bias.into_dispatch()),
        (None, None) => unreachable!("checked before: a GRU has a recurrent bias"),
    }
}

/// Which states of each source a step reads.
pub(super) fn sources(src_pad_mask: Tensor<2, Bool>) -> Sources {
    let [_, src_len] = src_pad_mask.dims();
    Sources::new(src_pad_mask.into_data().iter::<bool>().collect(), src_len)
}

/// What a step gives out, of `rows` rows: vectors for the output layer, weights, and the state, whose cell is empty
/// where it has none.
pub(super) fn given_out<T: HostTensor>(
    rows: usize,
    vectors: Vec<f32>,
    weights: Vec<f32>,
    hidden: Vec<f32>,
    cell: Vec<f32>,
) -> Vec<T> {
    let all = [vectors, weights, hidden, cell].into_iter();
    let some = all.filter(|numbers| !numbers.is_empty());
    some.map(|numbers| {
        let shape = Shape::from([rows, numbers.len() / rows]);
        T::from_vec(numbers, shape)
    })
    .collect()
}

/// The same as tensors of any backend.
pub(super) fn outputs(outputs: TensorList<Dispatch>) -> (Tensor<2>, Tensor<2>, RecurrentState) {
    let mut outputs = outputs.0.into_iter().map(Tensor::from_dispatch);
    let mut next = || outputs.next().expect("vectors, weights and a hidden state");
    let (vectors, weights, hidden) = (next(), next(), next());
    let cell = outputs.next();
    (vectors, weights, RecurrentState { hidden, cell })
}

/// What a number of a gate or of a tanh layer costs, in multiplications: its exponential.
const COSTS: usize = 16;

/// `rows` neighbouring rows of `width` numbers.
pub(super) fn dense(data: &[f32], rows: usize, width: usize) -> Mat<'_> {
    Mat::rows(data, rows, width, width)
}

/// Makes weights of the scores of `rows` rows in their place, and returns the contexts, `[rows, d]`.
pub(super) fn read(
    scores: &mut [f32],
    values: &[f32],
    sources: &Sources,
    rows: usize,
    d: usize,
) -> Vec<f32> {
    let [batch, src_len] = sources.sizes();
    let dims = AttentionDims {
        batch,
        tgt_len: rows / batch,
        src_len,
        d,
    };
    attention_read::forward(scores, values, sources, dims)
}

/// A step of the cell of all rows: `hidden` and `cell` (empty where it has none), `[rows, d]`, become those
/// after it.
///
/// - `gates`: a line a row ([`CpuCell`]) of what the recurrent product is not in
/// - `recurrent_weight`: `[d, PARTS * d]`
pub(super) fn advance<C: CpuCell>(
    mut gates: Vec<f32>,
    recurrent_weight: &[f32],
    hidden: &mut [f32],
    cell: &mut [f32],
    rows: usize,
) {
    let d = hidden.len() / rows;
    let recurrent = Weights::new(dense(recurrent_weight, d, C::PARTS * d), rows);
    let before = dense(hidden, rows, d);
    recurrent.times(&mut gates, SLOTS * d, true, before, THREADS);
    let mut cells = cell.chunks_exact_mut(d);
    let lines: Vec<_> = gates
        .chunks_exact_mut(SLOTS * d)
        .zip(hidden.chunks_exact_mut(d))
        .map(|(gates, h)| (gates, h, cells.next().unwrap_or_default()))
        .collect();
    lines
        .into_par_iter()
        .with_min_len(rows_per_thread(rows, COSTS * SLOTS * d))
        .for_each(|(gates, h, c)| {
            let _span = span(Kind::Cells);
            vectorise(
                #[inline(always)]
                || C::forward(gates, h, c),
            );
        });
}

/// `tanh(sums + more)`, row by row of `d`, in the place of the sums.
pub(super) fn tanh_of_sums<'a>(
    sums: &mut [f32],
    d: usize,
    more: impl Fn(usize) -> &'a [f32] + Sync,
) {
    let rows = sums.len() / d;
    sums.par_chunks_exact_mut(d)
        .with_min_len(rows_per_thread(rows, COSTS * d))
        .enumerate()
        .for_each(|(i, sums)| {
            vectorise(
                #[inline(always)]
                || {
                    for (x, more) in sums.iter_mut().zip(more(i)) {
                        *x = tanh(*x + more);
                    }
                },
            );
        });
}
