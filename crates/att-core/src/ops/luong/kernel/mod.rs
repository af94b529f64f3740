//! The recurrence on slices. Each thread takes rows of the batch through all steps
//! ([`Steps`](crate::ops::steps::Steps)), so threads meet only at the ends; all numbers of one step
//! stand side by side.

mod backward;
mod forward;

use super::cpu::{ARGUMENTS, Plan};
use crate::ops::additive_score::kernel::factors;
use crate::ops::gemm::{Mat, Packed};
use crate::ops::steps::Steps;

pub(super) use backward::backward;
pub(super) use forward::forward;

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
    /// Size of a step's output: attentional vector and weights.
    pub(super) fn d_states(&self) -> usize {
        self.d_out + self.src_len
    }

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

    /// The part of the recurrent layer's input weights that meets the embedding.
    fn embedded_weight(&self, dims: Dims) -> Mat<'a> {
        let gates = dims.d_gates();
        Mat::rows(self.input_weight, dims.d_embed, gates, gates)
    }

    /// The weights of the steps.
    fn weights(&self, dims: Dims) -> Weights<Mat<'a>> {
        let (gates, d_out) = (dims.d_gates(), dims.d_out);
        let fed = &self.input_weight[dims.d_embed * gates..];
        let (state, context) = self.attentional_weight.split_at(dims.d_hidden * d_out);
        Weights {
            fed: Mat::rows(fed, d_out, gates, gates),
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
struct Weights<M> {
    /// The part of the recurrent layer's input weights that meets the attentional vector.
    fed: M,
    /// The recurrent weights.
    recurrent: M,
    /// The part of W_a that meets the state.
    state: M,
    /// That which meets the context.
    context: M,
    /// W_q of an additive score.
    query: Option<M>,
}

impl Weights<Mat<'_>> {
    fn packed(self) -> Weights<Packed> {
        Weights {
            fed: Packed::new(self.fed),
            recurrent: Packed::new(self.recurrent),
            state: Packed::new(self.state),
            context: Packed::new(self.context),
            query: self.query.map(Packed::new),
        }
    }

    fn transposed(self) -> Self {
        Weights {
            fed: self.fed.t(),
            recurrent: self.recurrent.t(),
            state: self.state.t(),
            context: self.context.t(),
            query: self.query.map(Mat::t),
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
    /// The gates (and of a GRU the recurrent part of the candidate), `4 * d_hidden` wide.
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
