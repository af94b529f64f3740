//! The kernel on slices, for flex and ndarray.
//!
//! The rows are dealt out in shares ([`Share`]), and each thread takes its share of one direction
//! through all steps with products of its own, so that threads meet only at the ends of the
//! sequence. The running states of a share lie densely together, longest row first, so that a
//! step's product has the rows that are still running as its left factor and no others.

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::{DType, Shape};
use gemm::Parallelism;
use rayon::prelude::*;

use super::order::{Sequences, Share};
use super::{Cell, Memory, Pass, RecurrentKernel, generic};
use crate::ops::gemm::{Mat, Packed, matmul, product, rows_per_thread};
use crate::ops::gru::cpu::GruCell;
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::simd::vectorise;

/// One row of one step. Every slice has a multiple of `d` numbers; those of `c` are empty where
/// the cell has no such state, and the bias where it has none.
pub(in crate::ops) trait CpuCell {
    /// Parts of an input.
    const PARTS: usize;
    /// Whether there is a c.
    const HAS_C: bool;

    /// `gates` holds `y = h[t-1] W` on entry, and on return what [`Memory::gates`] says; `h` and
    /// `c` go from the state before the step to that after it.
    fn forward(x: &[f32], bias: &[f32], gates: &mut [f32], h: &mut [f32], c: &mut [f32]);

    /// `gates` is as after [`forward`](Self::forward) on entry, and on return its first `PARTS *
    /// d` numbers are dL/dy; `d_x` becomes dL/dx. `dh` and `dc` hold what comes from later steps
    /// on entry; on return what passes by the product to the step before.
    fn backward(
        up: Up,
        before: Before,
        gates: &mut [f32],
        dh: &mut [f32],
        dc: &mut [f32],
        d_x: &mut [f32],
    );
}

/// The gradient of the states that a step gives out.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Up<'a> {
    pub h: &'a [f32],
    pub c: &'a [f32],
}

/// The states before a step.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Before<'a> {
    pub h: &'a [f32],
    pub c: &'a [f32],
}

/// A right factor of all steps.
enum Weights<'a> {
    Packed(Packed),
    Plain(Mat<'a>),
}

impl<'a> Weights<'a> {
    /// For products with `lines` lines in all.
    fn new(weights: Mat<'a>, lines: usize) -> Self {
        // Packing costs as much as a product with about so many.
        const WORTH_PACKING: usize = 16;
        if lines < WORTH_PACKING {
            Self::Plain(weights)
        } else {
            Self::Packed(Packed::new(weights))
        }
    }

    fn times(
        &self,
        out: &mut [f32],
        row_stride: usize,
        accumulate: bool,
        lhs: Mat,
        parallelism: Parallelism,
    ) {
        match self {
            Self::Packed(weights) => {
                product(out, row_stride, accumulate, lhs, weights, parallelism);
            }
            Self::Plain(weights) => {
                matmul(out, row_stride, accumulate, lhs, *weights, parallelism);
            }
        }
    }
}

/// How a pass is shared out.
struct Plan {
    /// The rows of each thread, the same in each direction.
    shares: Vec<Share>,
    /// Whether shares and directions go to several threads.
    threaded: bool,
    /// Of a step's product: by columns where one thread has all rows.
    within_step: Parallelism,
}

impl Plan {
    fn new(sequences: &Sequences, work_per_line: usize) -> Self {
        // Products with fewer rows take as long as with so many.
        const ROWS: usize = 8;
        let directions = sequences.directions.len();
        let passes = directions * sequences.batch();
        let lines: usize = sequences.lengths.iter().sum();
        let work = lines * work_per_line / sequences.batch();
        let threads = passes.div_ceil(rows_per_thread(passes, work));
        let shares = (threads / directions).clamp(1, (sequences.batch() / ROWS).max(1));
        Self::with_shares(sequences, shares, threads > 1)
    }

    fn with_shares(sequences: &Sequences, shares: usize, threaded: bool) -> Self {
        let alone = shares * sequences.directions.len() == 1;
        Self {
            shares: sequences.shares(shares),
            threaded: threaded && !alone,
            within_step: if alone {
                Parallelism::Rayon(0)
            } else {
                Parallelism::None
            },
        }
    }

    fn each<T: Send, R: Send>(&self, jobs: Vec<T>, run: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
        if self.threaded {
            jobs.into_par_iter().map(run).collect()
        } else {
            jobs.into_iter().map(run).collect()
        }
    }
}

/// The pieces of `width` numbers of a tensor, each given away once.
struct Pieces<'a>(Vec<Option<&'a mut [f32]>>);

impl<'a> Pieces<'a> {
    fn new(data: &'a mut [f32], width: usize) -> Self {
        Self(data.chunks_exact_mut(width).map(Some).collect())
    }

    fn take(&mut self, indices: impl Iterator<Item = usize>) -> Vec<&'a mut [f32]> {
        indices
            .map(|index| self.0[index].take().expect("positions are read once"))
            .collect()
    }
}

/// Row `i` of rows of `width` numbers.
#[inline(always)]
fn row(data: &[f32], i: usize, width: usize) -> &[f32] {
    &data[i * width..][..width]
}

#[inline(always)]
fn row_mut(data: &mut [f32], i: usize, width: usize) -> &mut [f32] {
    &mut data[i * width..][..width]
}

fn gather(data: &[f32], rows: &[usize], width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len() * width);
    for &i in rows {
        out.extend_from_slice(row(data, i, width));
    }
    out
}

/// The arguments of a direction, and what follows from the kind of cell.
struct Arguments<'a> {
    inputs: &'a [f32],
    recurrent: &'a [f32],
    hidden: &'a [f32],
    cell: &'a [f32],
    bias: &'a [f32],
}

impl<'a> Arguments<'a> {
    fn new<C: CpuCell>(pass: &'a Pass<impl AsF32>) -> Self {
        let extra = pass.extra.as_f32();
        Self {
            inputs: pass.inputs.as_f32(),
            recurrent: pass.recurrent.as_f32(),
            hidden: pass.hidden.as_f32(),
            cell: if C::HAS_C { extra } else { &[] },
            bias: if C::HAS_C { &[] } else { extra },
        }
    }
}

/// The states, `[states, batch, len, directions * d]`, and the memories of each direction and
/// share (empty unless `keep`).
fn forward<C: CpuCell>(
    passes: &[Arguments],
    sequences: &Sequences,
    d: usize,
    keep: bool,
) -> (Vec<f32>, Vec<Memory<Vec<f32>>>) {
    let width = C::PARTS * d;
    let (directions, all) = (passes.len(), sequences.batch() * sequences.len);
    let plan = Plan::new(sequences, d * width);
    let lines = plan.shares.iter().map(Share::real).sum();
    let weights = plan.each(passes.iter().collect(), |pass| {
        Weights::new(Mat::rows(pass.recurrent, d, width, width), lines)
    });

    let kinds = 1 + usize::from(C::HAS_C);
    let mut states = vec![0.0; kinds * all * directions * d];
    let mut pieces = Pieces::new(&mut states, d);
    let mut jobs = Vec::new();
    for (k, &direction) in sequences.directions.iter().enumerate() {
        for share in &plan.shares {
            let positions = share.positions(sequences, direction);
            let mut of_kind = |kind: usize| {
                let piece = |&position: &usize| (kind * all + position) * directions + k;
                pieces.take(positions.iter().map(piece))
            };
            let (h, c) = (of_kind(0), if C::HAS_C { of_kind(1) } else { Vec::new() });
            jobs.push((k, share, positions, h, c));
        }
    }
    let memories = plan.each(jobs, |(k, share, positions, h, c)| {
        let steps = Steps {
            share,
            positions: &positions,
            d,
            within_step: plan.within_step,
        };
        steps.forward::<C>(&passes[k], &weights[k], h, c, keep)
    });
    (states, memories)
}

/// All steps of one share in one direction.
struct Steps<'a> {
    share: &'a Share,
    positions: &'a [usize],
    d: usize,
    within_step: Parallelism,
}

impl Steps<'_> {
    /// Writes the states of line `i` to `out_h[i]` and `out_c[i]`.
    fn forward<C: CpuCell>(
        &self,
        pass: &Arguments,
        weights: &Weights,
        mut out_h: Vec<&mut [f32]>,
        mut out_c: Vec<&mut [f32]>,
        keep: bool,
    ) -> Memory<Vec<f32>> {
        let (d, width) = (self.d, C::PARTS * self.d);
        let d_c = if C::HAS_C { d } else { 0 };
        let (rows, lines) = (self.share.rows.len(), self.positions.len());
        let mut h = gather(pass.hidden, &self.share.rows, d);
        let mut c = gather(pass.cell, &self.share.rows, d_c);
        let (gate_lines, kept) = if keep { (lines, lines) } else { (rows, 0) };
        let mut gates = vec![0.0; gate_lines * 4 * d];
        let mut hiddens = Vec::with_capacity(kept * d);
        let mut cells = Vec::with_capacity(kept * d_c);
        let mut line = 0;
        for &active in &self.share.active {
            let gates = &mut gates[if keep { line * 4 * d } else { 0 }..];
            // Many sequences start from zeros, and the gates are zeros before their first use.
            if line > 0 || h.iter().any(|&h| h != 0.0) {
                let h = Mat::rows(&h, active, d, d);
                weights.times(gates, 4 * d, false, h, self.within_step);
            }
            if keep {
                hiddens.extend_from_slice(&h[..active * d]);
                cells.extend_from_slice(&c[..active * d_c]);
            }
            vectorise(
                #[inline(always)]
                || {
                    for i in 0..active {
                        let x = row(pass.inputs, self.positions[line + i], width);
                        let (h, c) = (row_mut(&mut h, i, d), row_mut(&mut c, i, d_c));
                        C::forward(x, pass.bias, row_mut(gates, i, 4 * d), h, c);
                        out_h[line + i].copy_from_slice(h);
                        if C::HAS_C {
                            out_c[line + i].copy_from_slice(c);
                        }
                    }
                },
            );
            line += active;
        }
        Memory {
            gates,
            hiddens,
            cells: C::HAS_C.then_some(cells),
        }
    }

    /// Back-propagation through time. Writes the gradient of the input of line `i` to `d_x[i]`
    /// and those of the products over the gates; returns those of the initial states.
    fn backward<'g, C: CpuCell>(
        &self,
        up: impl Fn(usize) -> Up<'g>,
        memory: &mut Memory<Vec<f32>>,
        transposed: &Weights,
        mut d_x: Vec<&mut [f32]>,
    ) -> [Vec<f32>; 2] {
        let (d, width) = (self.d, C::PARTS * self.d);
        let d_c = if C::HAS_C { d } else { 0 };
        let rows = self.share.rows.len();
        let (mut dh, mut dc) = (vec![0.0; rows * d], vec![0.0; rows * d_c]);
        let cells = memory.cells.as_deref().unwrap_or_default();
        let mut line = self.positions.len();
        for &active in self.share.active.iter().rev() {
            line -= active;
            let gates = &mut memory.gates[line * 4 * d..];
            vectorise(
                #[inline(always)]
                || {
                    for i in 0..active {
                        let before = Before {
                            h: row(&memory.hiddens, line + i, d),
                            c: row(cells, line + i, d_c),
                        };
                        C::backward(
                            up(self.positions[line + i]),
                            before,
                            row_mut(gates, i, 4 * d),
                            row_mut(&mut dh, i, d),
                            row_mut(&mut dc, i, d_c),
                            d_x[line + i],
                        );
                    }
                },
            );
            // What passes by the product of an LSTM is all in `dc`.
            let accumulate = !C::HAS_C;
            let dy = Mat::rows(gates, active, width, 4 * d);
            transposed.times(&mut dh, d, accumulate, dy, self.within_step);
        }
        [dh, dc]
    }
}

/// The gradients of each direction's arguments; the gates of the memories are used up.
fn backward<C: CpuCell>(
    grad: &[f32],
    recurrent: &[&[f32]],
    mut memories: Vec<Memory<Vec<f32>>>,
    sequences: &Sequences,
    d: usize,
) -> Vec<Pass<Vec<f32>>> {
    let width = C::PARTS * d;
    let (directions, all) = (recurrent.len(), sequences.batch() * sequences.len);
    // As many shares as the forward pass had, whatever thread this is.
    let n_shares = memories.len() / directions;
    let plan = Plan::with_shares(sequences, n_shares, true);
    let lines = plan.shares.iter().map(Share::real).sum();
    let transposed = plan.each(recurrent.to_vec(), |recurrent| {
        Weights::new(Mat::rows(recurrent, d, width, width).t(), lines)
    });

    let mut d_inputs: Vec<_> = (0..directions).map(|_| vec![0.0; all * width]).collect();
    let mut jobs = Vec::new();
    for (k, (d_inputs, memories)) in d_inputs
        .iter_mut()
        .zip(memories.chunks_exact_mut(n_shares))
        .enumerate()
    {
        let mut pieces = Pieces::new(d_inputs, width);
        for (share, memory) in plan.shares.iter().zip(memories) {
            let positions = share.positions(sequences, sequences.directions[k]);
            let d_x = pieces.take(positions.iter().copied());
            jobs.push((k, share, positions, memory, d_x));
        }
    }
    let d_states = plan.each(jobs, |(k, share, positions, memory, d_x)| {
        let steps = Steps {
            share,
            positions: &positions,
            d,
            within_step: plan.within_step,
        };
        let up = |position: usize| Up {
            h: row(grad, position * directions + k, d),
            c: if C::HAS_C {
                row(grad, (all + position) * directions + k, d)
            } else {
                &[]
            },
        };
        steps.backward::<C>(up, memory, &transposed[k], d_x)
    });

    let rows = sequences.batch();
    let of_directions = d_inputs
        .into_iter()
        .zip(memories.chunks_exact(n_shares))
        .zip(d_states.chunks_exact(n_shares));
    let finish = |((inputs, memories), d_states): ((Vec<f32>, &[Memory<_>]), &[[Vec<f32>; 2]])| {
        let mut hidden = vec![0.0; rows * d];
        let mut cell = vec![0.0; if C::HAS_C { rows * d } else { 0 }];
        for (share, [dh, dc]) in plan.shares.iter().zip(d_states) {
            scatter(&mut hidden, dh, &share.rows, d);
            scatter(&mut cell, dc, &share.rows, if C::HAS_C { d } else { 0 });
        }
        let (recurrent, bias) = of_products::<C>(memories, d);
        Pass {
            inputs,
            recurrent,
            hidden,
            extra: if C::HAS_C { cell } else { bias },
        }
    };
    plan.each(of_directions.collect(), finish)
}

fn scatter(out: &mut [f32], lines: &[f32], rows: &[usize], width: usize) {
    for (i, &at) in rows.iter().enumerate() {
        row_mut(out, at, width).copy_from_slice(row(lines, i, width));
    }
}

/// The gradients of W and of the bias that is added to the last part of `h W`, from the gradients
/// of the products, which stand where the gates were.
fn of_products<C: CpuCell>(memories: &[Memory<Vec<f32>>], d: usize) -> (Vec<f32>, Vec<f32>) {
    let width = C::PARTS * d;
    let (mut recurrent, mut bias) = (vec![0.0; d * width], vec![0.0; d]);
    for (index, memory) in memories.iter().enumerate() {
        let lines = memory.hiddens.len() / d;
        matmul(
            &mut recurrent,
            width,
            index > 0,
            Mat::rows(&memory.hiddens, lines, d, d).t(),
            Mat::rows(&memory.gates, lines, width, 4 * d),
            Parallelism::Rayon(0),
        );
        if !C::HAS_C {
            for dy in memory.gates.chunks_exact(4 * d) {
                for (sum, x) in bias.iter_mut().zip(&dy[width - d..width]) {
                    *sum += x;
                }
            }
        }
    }
    (recurrent, bias)
}

fn forward_on<T: HostTensor>(
    cell: Cell,
    passes: Vec<Pass<T>>,
    sequences: &Sequences,
    d: usize,
    keep: bool,
) -> (T, Vec<Memory<T>>) {
    let passes: Vec<_> = passes
        .into_iter()
        .map(|pass| Pass {
            inputs: pass.inputs.contiguous(),
            recurrent: pass.recurrent.contiguous(),
            hidden: pass.hidden.contiguous(),
            extra: pass.extra.contiguous(),
        })
        .collect();
    let (states, memories) = match cell {
        Cell::Lstm => {
            let passes: Vec<_> = passes.iter().map(Arguments::new::<LstmCell>).collect();
            forward::<LstmCell>(&passes, sequences, d, keep)
        }
        Cell::Gru => {
            let passes: Vec<_> = passes.iter().map(Arguments::new::<GruCell>).collect();
            forward::<GruCell>(&passes, sequences, d, keep)
        }
    };
    let width = sequences.directions.len() * d;
    let shape = [cell.states(), sequences.batch(), sequences.len, width];
    let lines = |data: Vec<f32>, width| {
        let shape = Shape::from([data.len() / width, width]);
        T::from_vec(data, shape)
    };
    let memories = memories.into_iter().filter(|_| keep).map(|memory| Memory {
        gates: lines(memory.gates, 4 * d),
        hiddens: lines(memory.hiddens, d),
        cells: memory.cells.map(|cells| lines(cells, d)),
    });
    (T::from_vec(states, Shape::from(shape)), memories.collect())
}

fn backward_on<T: HostTensor>(
    cell: Cell,
    grad: T,
    recurrent: Vec<T>,
    memories: Vec<Memory<T>>,
    sequences: &Sequences,
    d: usize,
) -> Vec<Pass<T>> {
    let grad = grad.contiguous();
    let recurrent: Vec<_> = recurrent.into_iter().map(T::contiguous).collect();
    let recurrent: Vec<_> = recurrent.iter().map(AsF32::as_f32).collect();
    let memories = memories
        .into_iter()
        .map(|memory| Memory {
            gates: memory.gates.into_vec(),
            hiddens: memory.hiddens.into_vec(),
            cells: memory.cells.map(T::into_vec),
        })
        .collect();
    let (gradients, parts) = match cell {
        Cell::Lstm => (
            backward::<LstmCell>(grad.as_f32(), &recurrent, memories, sequences, d),
            LstmCell::PARTS,
        ),
        Cell::Gru => (
            backward::<GruCell>(grad.as_f32(), &recurrent, memories, sequences, d),
            GruCell::PARTS,
        ),
    };
    let batch = sequences.batch();
    let extra = match cell {
        Cell::Lstm => Shape::from([batch, d]),
        Cell::Gru => Shape::from([d]),
    };
    let tensors = gradients.into_iter().map(|pass| Pass {
        inputs: T::from_vec(pass.inputs, Shape::from([batch, sequences.len, parts * d])),
        recurrent: T::from_vec(pass.recurrent, Shape::from([d, parts * d])),
        hidden: T::from_vec(pass.hidden, Shape::from([batch, d])),
        extra: T::from_vec(pass.extra, extra.clone()),
    });
    tensors.collect()
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl RecurrentKernel for $backend {
            fn recurrent_forward(
                cell: Cell,
                passes: Vec<Pass<FloatTensor<Self>>>,
                sequences: &Sequences,
                keep: bool,
            ) -> (FloatTensor<Self>, Vec<Memory<FloatTensor<Self>>>) {
                if passes[0].inputs.dtype_of() != DType::F32 {
                    return generic::forward::<Self>(cell, passes, sequences, keep);
                }
                let d = passes[0].recurrent.shape()[0];
                forward_on(cell, passes, sequences, d, keep)
            }

            fn recurrent_backward(
                cell: Cell,
                grad: FloatTensor<Self>,
                recurrent: Vec<FloatTensor<Self>>,
                memories: Vec<Memory<FloatTensor<Self>>>,
                sequences: &Sequences,
            ) -> Vec<Pass<FloatTensor<Self>>> {
                if grad.dtype_of() != DType::F32 {
                    return generic::backward::<Self>(cell, grad, recurrent, memories, sequences);
                }
                let d = recurrent[0].shape()[0];
                backward_on(cell, grad, recurrent, memories, sequences, d)
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
