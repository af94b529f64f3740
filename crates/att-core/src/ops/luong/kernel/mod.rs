//! The recurrence on slices. Each thread takes rows of the batch through all steps
//! ([`Steps`](crate::ops::steps::Steps)), so threads meet only at the ends; all numbers of one step
//! stand side by side.

mod backward;
mod forward;

use super::cpu::{ARGUMENTS, Plan};
use crate::ops::additive_score::kernel::factors;
use crate::ops::gemm::{Mat, Packed};
use crate::ops::gru::cpu::GruCell;
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::recurrent::cpu::{CpuCell, InputWeights};
use crate::ops::steps::Steps;

/// Attentional vectors and weights, see [`forward::forward`].
pub(super) fn forward(
    tensors: [&[f32]; ARGUMENTS],
    plan: &Plan,
    dims: Dims,
) -> (Vec<Vec<f32>>, Vec<Saved>) {
    let forward = match dims.lstm {
        true => forward::forward::<LstmCell>,
        false => forward::forward::<GruCell>,
    };
    forward(tensors, plan, dims)
}

/// The gradients of the arguments, given those of attentional vectors and weights.
pub(super) fn backward(
    grads: Grads,
    tensors: [&[f32]; ARGUMENTS],
    saved: Vec<Saved>,
    plan: &Plan,
    dims: Dims,
) -> [Vec<f32>; ARGUMENTS] {
    let backward = match dims.lstm {
        true => backward::backward::<LstmCell>,
        false => backward::backward::<GruCell>,
    };
    backward(grads, tensors, saved, plan, dims)
}

/// The gradients of what was given out.
#[derive(Clone, Copy)]
pub(super) struct Grads<'a> {
    /// `[batch, tgt_len, d_out]`
    pub(super) attentional: Option<&'a [f32]>,
    /// `[batch, tgt_len, src_len]`
    pub(super) weights: Option<&'a [f32]>,
}

#[derive(Clone, Copy)]
pub(super) struct Dims {
    pub(super) batch: usize,
    pub(super) tgt_len: usize,
    pub(super) src_len: usize,
    pub(super) d_embed: usize,
    pub(super) d_hidden: usize,
    pub(super) d_key: usize,
    pub(super) d_memory: usize,
    /// Of the attentional vector.
    pub(super) d_out: usize,
    pub(super) lstm: bool,
    /// Whether the score is additive.
    pub(super) additive: bool,
}

impl Dims {
    /// Size of the gates' inputs.
    fn d_gates(&self) -> usize {
        self.d_hidden * if self.lstm { 4 } else { 3 }
    }

    /// Size of what is carried besides the hidden state.
    fn d_cell(&self) -> usize {
        if self.lstm { self.d_hidden } else { 0 }
    }

    /// Size of a query that is not the state itself.
    fn d_query(&self) -> usize {
        if self.additive { self.d_key } else { 0 }
    }

    /// Multiplications of a step's products.
    fn work(&self) -> usize {
        (self.d_hidden + self.d_out) * self.d_gates()
            + (self.d_hidden + self.d_memory) * self.d_out
            + self.d_hidden * self.d_query()
    }
}

/// The arguments of the operation by name.
#[derive(Clone, Copy)]
struct Arguments<'a> {
    embedded: &'a [f32],
    hidden: &'a [f32],
    keys: &'a [f32],
    memory: &'a [f32],
    input_weight: &'a [f32],
    input_bias: &'a [f32],
    recurrent_weight: &'a [f32],
    /// The cell of an LSTM, the recurrent bias of a GRU.
    last: &'a [f32],
    attentional_weight: &'a [f32],
    attentional_bias: &'a [f32],
    /// These three of an additive score.
    query_weight: &'a [f32],
    query_bias: &'a [f32],
    v: &'a [f32],
    plan: &'a Plan,
}

impl<'a> Arguments<'a> {
    fn new(tensors: [&'a [f32]; ARGUMENTS], plan: &'a Plan) -> Self {
        let [
            embedded,
            hidden,
            keys,
            memory,
            input_weight,
            input_bias,
            recurrent_weight,
            last,
            attentional_weight,
            attentional_bias,
            query_weight,
            query_bias,
            v,
        ] = tensors;
        Self {
            embedded,
            hidden,
            keys,
            memory,
            input_weight,
            input_bias,
            recurrent_weight,
            last,
            attentional_weight,
            attentional_bias,
            query_weight,
            query_bias,
            v,
            plan,
        }
    }

    /// W of the recurrent layer's input: the part that meets the embedding, and the one that meets the
    /// attentional vector.
    fn input_parts(&self, dims: Dims) -> (Mat<'a>, Mat<'a>) {
        let gates = dims.d_gates();
        let (embed, fed) = self.input_weight.split_at(dims.d_embed * gates);
        (
            Mat::rows(embed, dims.d_embed, gates, gates),
            Mat::rows(fed, dims.d_out, gates, gates),
        )
    }

    /// The weights of the steps, packed.
    fn packed<C: CpuCell>(&self, dims: Dims) -> Weights<'a> {
        let positions = self.plan.tgt_lengths.iter().sum();
        let (embedded, fed) = self.input_parts(dims);
        Weights {
            embedded: InputWeights::new::<C>(embedded, positions),
            fed: InputWeights::new::<C>(fed, positions),
            others: self.others(dims).map(Packed::new),
        }
    }

    /// Those of the way back.
    fn transposed<C: CpuCell>(&self, dims: Dims) -> Weights<'a> {
        let positions = self.plan.tgt_lengths.iter().sum();
        let (embedded, fed) = self.input_parts(dims);
        Weights {
            embedded: InputWeights::transposed::<C>(embedded, positions),
            fed: InputWeights::transposed::<C>(fed, positions),
            others: self.others(dims).map(|matrix| Packed::new(matrix.t())),
        }
    }

    fn others(&self, dims: Dims) -> OtherWeights<Mat<'a>> {
        let (gates, d_out) = (dims.d_gates(), dims.d_out);
        let (state, context) = self.attentional_weight.split_at(dims.d_hidden * d_out);
        OtherWeights {
            recurrent: Mat::rows(self.recurrent_weight, dims.d_hidden, gates, gates),
            state: Mat::rows(state, dims.d_hidden, d_out, d_out),
            context: Mat::rows(context, dims.d_memory, d_out, d_out),
            query: dims
                .additive
                .then(|| Mat::rows(self.query_weight, dims.d_hidden, dims.d_key, dims.d_key)),
        }
    }

    /// The real keys of row `row`, and its real states.
    fn source(&self, row: usize, dims: Dims) -> (&'a [f32], &'a [f32]) {
        let len = self.plan.src_lengths[row];
        (
            &self.keys[row * dims.src_len * dims.d_key..][..len * dims.d_key],
            &self.memory[row * dims.src_len * dims.d_memory..][..len * dims.d_memory],
        )
    }

    /// The factors of each row's real keys, for an additive score.
    fn key_factors(&self, rows: &[usize], dims: Dims) -> Vec<Option<Vec<f32>>> {
        let of = |&row: &usize| match dims.additive {
            true => factors(self.source(row, dims).0),
            false => None,
        };
        rows.iter().map(of).collect()
    }

    /// The dropout at the positions, if there is any.
    fn dropout(&self, steps: &Steps, dims: Dims) -> Option<Vec<f32>> {
        let dropout = self.plan.dropout.as_ref()?;
        Some(steps.gather(dropout, dims.tgt_len, dims.d_out))
    }
}

/// The weights that a step is multiplied with, each with the name of what it meets.
struct Weights<'a> {
    /// The parts of the recurrent layer's input weights: that which meets the embedding ...
    embedded: InputWeights<'a>,
    /// ... and that which meets the attentional vector.
    fed: InputWeights<'a>,
    others: OtherWeights<Packed>,
}

struct OtherWeights<M> {
    /// The recurrent weights.
    recurrent: M,
    /// The part of W_a that meets the state.
    state: M,
    /// That which meets the context.
    context: M,
    /// W_q of an additive score.
    query: Option<M>,
}

impl<M> OtherWeights<M> {
    fn map<T>(self, f: impl Fn(M) -> T) -> OtherWeights<T> {
        OtherWeights {
            recurrent: f(self.recurrent),
            state: f(self.state),
            context: f(self.context),
            query: self.query.map(f),
        }
    }
}

/// What the gradient needs of the rows that one thread took. Rows of `[positions, ..]`.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    rows: Vec<usize>,
    /// s of each position.
    hidden: Vec<f32>,
    /// c of each position.
    context: Vec<f32>,
    /// a of each position, as wide as the longest source.
    weights: Vec<f32>,
    /// W_q s + b_q of each position, for an additive score.
    queries: Vec<f32>,
    /// f of each position.
    fed: Vec<f32>,
    /// Lines of gates, see [`CpuCell`].
    gates: Vec<f32>,
    /// The cells of an LSTM.
    cells: Vec<f32>,
}

/// The positions of the row in that slot, step by step.
fn positions_of(steps: &Steps, slot: usize) -> Vec<usize> {
    (0..steps.len())
        .map(|t| steps.at(t))
        .take_while(|now| slot < now.len())
        .map(|now| now.start + slot)
        .collect()
}
