//! The recurrence on slices. Each thread takes rows of the batch through all steps
//! ([`Steps`](crate::ops::steps::Steps)), so threads meet only at the ends; all numbers of one step
//! stand side by side.

mod backward;
mod forward;

use super::cpu::{ARGUMENTS, Lengths};
use crate::ops::additive_score::kernel::factors;
use crate::ops::gemm::{Mat, Packed};
use crate::ops::gru::cpu::GruCell;
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::recurrent::cpu::InputWeights;

/// States and weights, see [`forward::forward`].
pub(super) fn forward(
    tensors: [&[f32]; ARGUMENTS],
    lengths: &Lengths,
    dims: Dims,
) -> (Vec<Vec<f32>>, Vec<Saved>) {
    let forward = match dims.lstm {
        true => forward::forward::<LstmCell>,
        false => forward::forward::<GruCell>,
    };
    forward(tensors, lengths, dims)
}

/// The gradients of the arguments, given those of states and weights.
pub(super) fn backward(
    grads: Grads,
    tensors: [&[f32]; ARGUMENTS],
    saved: Vec<Saved>,
    lengths: &Lengths,
    dims: Dims,
) -> [Vec<f32>; ARGUMENTS] {
    let backward = match dims.lstm {
        true => backward::backward::<LstmCell>,
        false => backward::backward::<GruCell>,
    };
    backward(grads, tensors, saved, lengths, dims)
}

/// The gradients of what was given out.
#[derive(Clone, Copy)]
pub(super) struct Grads<'a> {
    /// Of state and context, `[batch, tgt_len, d_states]`.
    pub(super) states: Option<&'a [f32]>,
    /// `[batch, tgt_len, src_len]`
    pub(super) weights: Option<&'a [f32]>,
}

#[derive(Clone, Copy)]
pub(in crate::ops::bahdanau) struct Dims {
    pub(in crate::ops::bahdanau) batch: usize,
    pub(in crate::ops::bahdanau) tgt_len: usize,
    pub(in crate::ops::bahdanau) src_len: usize,
    pub(in crate::ops::bahdanau) d_embed: usize,
    pub(in crate::ops::bahdanau) d_hidden: usize,
    pub(in crate::ops::bahdanau) d_attn: usize,
    pub(in crate::ops::bahdanau) d_memory: usize,
    pub(in crate::ops::bahdanau) lstm: bool,
}

impl Dims {
    /// Size of a step's state and context side by side.
    pub(in crate::ops::bahdanau) fn d_states(&self) -> usize {
        self.d_hidden + self.d_memory
    }

    /// Size of the gates' inputs.
    fn d_gates(&self) -> usize {
        self.d_hidden * if self.lstm { 4 } else { 3 }
    }

    /// Size of what is carried besides the hidden state.
    fn d_cell(&self) -> usize {
        if self.lstm { self.d_hidden } else { 0 }
    }

    /// Multiplications of a step's products.
    fn work(&self) -> usize {
        self.d_hidden * (self.d_attn + self.d_gates()) + self.d_memory * self.d_gates()
    }
}

/// The arguments of the operation by name.
#[derive(Clone, Copy)]
struct Arguments<'a> {
    embedded: &'a [f32],
    hidden: &'a [f32],
    keys: &'a [f32],
    memory: &'a [f32],
    query_weight: &'a [f32],
    query_bias: &'a [f32],
    v: &'a [f32],
    input_weight: &'a [f32],
    input_bias: &'a [f32],
    recurrent_weight: &'a [f32],
    /// The cell of an LSTM, the recurrent bias of a GRU.
    last: &'a [f32],
    src_lengths: &'a [usize],
}

impl<'a> Arguments<'a> {
    fn new(tensors: [&'a [f32]; ARGUMENTS], lengths: &'a Lengths) -> Self {
        let [
            embedded,
            hidden,
            keys,
            memory,
            query_weight,
            query_bias,
            v,
            input_weight,
            input_bias,
            recurrent_weight,
            last,
        ] = tensors;
        Self {
            embedded,
            hidden,
            keys,
            memory,
            query_weight,
            query_bias,
            v,
            input_weight,
            input_bias,
            recurrent_weight,
            last,
            src_lengths: &lengths.src,
        }
    }

    /// The part of the input weights that meets the embedding, and the one that meets the context.
    fn input_parts(&self, dims: Dims) -> (Mat<'a>, Mat<'a>) {
        let gates = dims.d_gates();
        let (embed, context) = self.input_weight.split_at(dims.d_embed * gates);
        (
            Mat::rows(embed, dims.d_embed, gates, gates),
            Mat::rows(context, dims.d_memory, gates, gates),
        )
    }

    /// The real keys of row `row`, and its real states.
    fn source(&self, row: usize, dims: Dims) -> (&'a [f32], &'a [f32]) {
        let len = self.src_lengths[row];
        (
            &self.keys[row * dims.src_len * dims.d_attn..][..len * dims.d_attn],
            &self.memory[row * dims.src_len * dims.d_memory..][..len * dims.d_memory],
        )
    }
}

/// What the gradient needs of the rows that one thread took. Rows of `[positions, ..]`.
#[derive(Clone, Debug)]
pub(in crate::ops::bahdanau) struct Saved {
    rows: Vec<usize>,
    /// s of each position.
    hidden: Vec<f32>,
    /// c of each position.
    context: Vec<f32>,
    /// a of each position, as wide as the longest source.
    weights: Vec<f32>,
    /// W_q s + b_q of each position.
    queries: Vec<f32>,
    /// Lines of gates, see [`CpuCell`](crate::ops::recurrent::cpu::CpuCell).
    gates: Vec<f32>,
    /// The cells of an LSTM.
    cells: Vec<f32>,
}

struct PackedWeights<'a> {
    embedded: InputWeights<'a>,
    context: InputWeights<'a>,
    query: Packed,
    recurrent: Packed,
}

/// The factors of each row's real keys.
fn key_factors(rows: &[usize], arguments: Arguments, dims: Dims) -> Vec<Option<Vec<f32>>> {
    rows.iter()
        .map(|&row| factors(arguments.source(row, dims).0))
        .collect()
}
