//! The kernel on slices, for flex and ndarray.
//!
//! The rows are dealt out in shares ([`Share`](super::order::Share)), and each thread takes its
//! share of one direction through all steps with products of its own, so that threads meet only
//! at the ends of the sequence. The running states of a share lie densely together, longest row
//! first, so that a step's product has the rows that are still running as its left factor and no
//! others.

mod cell;
mod kernel;
mod plan;
mod steps;
mod weights;

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::{DType, Shape};

use super::order::Sequences;
use super::{Cell, Memory, Pass, RecurrentKernel, generic};
use crate::ops::gru::cpu::GruCell;
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::lstm::cpu::LstmCell;
use kernel::{backward, forward};

pub(in crate::ops) use cell::{Before, CpuCell, Up};

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
    let slices = passes.iter().map(|pass| Pass {
        inputs: pass.inputs.as_f32(),
        recurrent: pass.recurrent.as_f32(),
        hidden: pass.hidden.as_f32(),
        extra: pass.extra.as_f32(),
    });
    let (states, memories) = match cell {
        Cell::Lstm => forward::<LstmCell>(slices.collect(), sequences, d, keep),
        Cell::Gru => forward::<GruCell>(slices.collect(), sequences, d, keep),
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
