//! Back through all steps, and the gradients of the weights at the end.

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Arguments, Dims, PackedWeights, Saved, key_factors};
use crate::ops::additive_score::kernel::{Factored, factors_into, scores_backward};
use crate::ops::attention_read::kernel::{add_weighted, dot, softmax_backward};
use crate::ops::bahdanau::cpu::{ARGUMENTS, Lengths};
use crate::ops::gemm::{Mat, Packed, matmul, product};
use crate::ops::gru::cpu::GruCell;
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::recurrent::cpu::{Before, CpuCell, Up};
use crate::ops::rows::{add_rows, row, row_mut};
use crate::ops::simd::vectorise;
use crate::ops::steps::{Steps, gather_rows};
use crate::ops::work::{Kind, span};

/// The gradients of the arguments, given that of the states.
pub(in crate::ops::bahdanau) fn backward(
    grad: &[f32],
    tensors: [&[f32]; ARGUMENTS],
    saved: Vec<Saved>,
    lengths: &Lengths,
    dims: Dims,
) -> [Vec<f32>; ARGUMENTS] {
    let arguments = Arguments::new(tensors, lengths);
    let (d_hidden, d_gates) = (dims.d_hidden, dims.d_gates());
    let query = Mat::rows(arguments.query_weight, d_hidden, dims.d_attn, dims.d_attn);
    let recurrent = Mat::rows(arguments.recurrent_weight, d_hidden, d_gates, d_gates);
    let transposed = PackedWeights {
        query: Packed::new(query.t()),
        context: Packed::new(arguments.input_parts(dims).1.t()),
        recurrent: Packed::new(recurrent.t()),
    };
    let mut parts: Vec<Part> = saved
        .into_par_iter()
        .map(|saved| {
            let steps = Steps::new(saved.rows.clone(), &lengths.tgt);
            let part = match dims.lstm {
                true => backward_part::<LstmCell>,
                false => backward_part::<GruCell>,
            };
            part(steps, grad, saved, &transposed, arguments, dims)
        })
        .collect();

    let mut d_embedded = vec![0.0; arguments.embedded.len()];
    for part in &parts {
        part.scatter_embedded(&mut d_embedded, arguments, dims);
    }
    let weights = weight_gradients(&parts, dims);
    let mut by_rows = |piece: fn(&mut Part) -> &mut Vec<f32>, d: usize| {
        let mut out = vec![0.0; dims.batch * d];
        for part in &mut parts {
            let numbers = std::mem::take(piece(part));
            for (numbers, &row) in numbers.chunks_exact(d).zip(&part.steps.rows) {
                row_mut(&mut out, row, d).copy_from_slice(numbers);
            }
        }
        out
    };
    [
        d_embedded,
        by_rows(|part| &mut part.d_hidden, d_hidden),
        by_rows(|part| &mut part.d_keys, dims.src_len * dims.d_attn),
        by_rows(|part| &mut part.d_memory, dims.src_len * dims.d_memory),
        weights.query,
        weights.query_bias,
        weights.v,
        weights.input,
        weights.input_bias,
        weights.recurrent,
        match dims.lstm {
            true => by_rows(|part| &mut part.d_cells, d_hidden),
            false => weights.recurrent_bias,
        },
    ]
}

/// What the rows of one thread leave: their own gradients, and the factors of the weights'.
struct Part {
    steps: Steps,
    /// `[positions, ..]`: the left factors ...
    embedded: Vec<f32>,
    context: Vec<f32>,
    hidden_before: Vec<f32>,
    /// ... and the right ones; d_y in rows of `4 * d_hidden`.
    d_x: Vec<f32>,
    d_y: Vec<f32>,
    d_queries: Vec<f32>,
    d_v: Vec<f32>,
    /// `[rows, ..]`
    d_hidden: Vec<f32>,
    d_cells: Vec<f32>,
    d_keys: Vec<f32>,
    d_memory: Vec<f32>,
}

impl Part {
    /// `dx W_y^T`, to its place in `[batch, tgt_len, d_embed]`.
    fn scatter_embedded(&self, out: &mut [f32], arguments: Arguments, dims: Dims) {
        let (n, d, d_gates) = (self.steps.positions(), dims.d_embed, dims.d_gates());
        let mut d_steps = vec![0.0; n * d];
        let d_x = Mat::rows(&self.d_x, n, d_gates, d_gates);
        let weight = arguments.input_parts(dims).0.t();
        matmul(&mut d_steps, d, false, d_x, weight, Parallelism::Rayon(0));
        for (position, (b, t)) in self.steps.each().enumerate() {
            row_mut(out, b * dims.tgt_len + t, d).copy_from_slice(row(&d_steps, position, d));
        }
    }
}

/// The gradients of weights and biases.
struct WeightGradients {
    query: Vec<f32>,
    query_bias: Vec<f32>,
    v: Vec<f32>,
    input: Vec<f32>,
    input_bias: Vec<f32>,
    recurrent: Vec<f32>,
    recurrent_bias: Vec<f32>,
}

/// One product a weight and part, all threads in each, the parts in their order.
fn weight_gradients(parts: &[Part], dims: Dims) -> WeightGradients {
    let Dims {
        d_embed,
        d_hidden: d,
        d_attn,
        d_memory,
        ..
    } = dims;
    let d_gates = dims.d_gates();
    let mut out = WeightGradients {
        query: vec![0.0; d * d_attn],
        query_bias: vec![0.0; d_attn],
        v: vec![0.0; d_attn],
        input: vec![0.0; (d_embed + d_memory) * d_gates],
        input_bias: vec![0.0; d_gates],
        recurrent: vec![0.0; d * d_gates],
        recurrent_bias: vec![0.0; d],
    };
    let (by_embedded, by_context) = out.input.split_at_mut(d_embed * d_gates);
    for (index, part) in parts.iter().enumerate() {
        let n = part.steps.positions();
        let rows = |matrix, d| Mat::rows(matrix, n, d, d);
        let d_x = rows(&part.d_x, d_gates);
        let d_y = Mat::rows(&part.d_y, n, d_gates, 4 * d);
        let before = rows(&part.hidden_before, d);
        let add = |out: &mut [f32], width: usize, left: Mat, right: Mat| {
            let threads = Parallelism::Rayon(0);
            matmul(out, width, index > 0, left.t(), right, threads);
        };
        add(
            &mut out.query,
            d_attn,
            before,
            rows(&part.d_queries, d_attn),
        );
        add(&mut out.recurrent, d_gates, before, d_y);
        add(by_embedded, d_gates, rows(&part.embedded, d_embed), d_x);
        add(by_context, d_gates, rows(&part.context, d_memory), d_x);
        add_rows(&mut out.query_bias, &part.d_queries);
        add_rows(&mut out.input_bias, &part.d_x);
        add_rows(&mut out.v, &part.d_v);
        // Inside a GRU's reset gate: the candidate's third of the recurrent part.
        for d_y in part.d_y.chunks_exact(4 * d) {
            add_weighted(&mut out.recurrent_bias, &[1.0], &d_y[2 * d..3 * d]);
        }
    }
    out
}

fn backward_part<C: CpuCell>(
    steps: Steps,
    grad: &[f32],
    mut saved: Saved,
    transposed: &PackedWeights,
    arguments: Arguments,
    dims: Dims,
) -> Part {
    let Dims {
        tgt_len,
        src_len,
        d_embed,
        d_hidden: d,
        d_attn,
        d_memory,
        ..
    } = dims;
    let (d_gates, d_states, d_cell) = (dims.d_gates(), dims.d_states(), dims.d_cell());
    let (n, n_rows) = (steps.positions(), steps.rows.len());
    let none = Parallelism::None;
    let first_hidden = gather_rows(&steps.rows, arguments.hidden, d);
    let hidden_before = steps.before(&first_hidden, &saved.hidden, d);
    let first_cell = gather_rows(&steps.rows, arguments.last, d_cell);
    let cells_before = steps.before(&first_cell, &saved.cells, d_cell);
    let key_factors = key_factors(&steps.rows, arguments, dims);
    let mut query_factors = vec![0.0; d_attn];

    // By way of the input; by way of the recurrent product it takes the place of the gates.
    let mut d_x = vec![0.0; n * d_gates];
    let mut d_queries = vec![0.0; n * d_attn];
    let mut d_keys = vec![0.0; n_rows * src_len * d_attn];
    let mut d_memory_out = vec![0.0; n_rows * src_len * d_memory];
    let mut d_v = vec![0.0; d_attn];
    let mut d_hidden = vec![0.0; n_rows * d];
    let mut d_cells = vec![0.0; n_rows * d_cell];
    let mut d_context = vec![0.0; n_rows * d_memory];
    let mut d_scores = vec![0.0; src_len];
    // The cells are not given out: their gradient comes from the next step alone.
    let up_cell = vec![0.0; d_cell];
    for t in (0..steps.len()).rev() {
        let now = steps.at(t);
        let rows = now.len();
        let grad_of = |slot: usize| {
            let row = steps.rows[slot];
            &grad[(row * tgt_len + t) * d_states..][..d_states]
        };
        vectorise(
            #[inline(always)]
            || {
                let _span = span(Kind::Cells);
                for (slot, position) in now.clone().enumerate() {
                    C::backward(
                        Up {
                            h: &grad_of(slot)[..d],
                            c: &up_cell,
                        },
                        Before {
                            h: row(&hidden_before, position, d),
                            c: row(&cells_before, position, d_cell),
                        },
                        row_mut(&mut saved.gates, position, 4 * d),
                        row_mut(&mut d_hidden, slot, d),
                        row_mut(&mut d_cells, slot, d_cell),
                        row_mut(&mut d_x, position, d_gates),
                    );
                    d_context[slot * d_memory..][..d_memory]
                        .copy_from_slice(&grad_of(slot)[d..][..d_memory]);
                }
            },
        );
        let through_input = Mat::rows(&d_x[now.start * d_gates..], rows, d_gates, d_gates);
        let through_state = Mat::rows(&saved.gates[now.start * 4 * d..], rows, d_gates, 4 * d);
        product(
            &mut d_context,
            d_memory,
            true,
            through_input,
            &transposed.context,
            none,
        );
        for (slot, position) in now.clone().enumerate() {
            let _span = span(Kind::Attention);
            let (keys, memory) = arguments.source(steps.rows[slot], dims);
            let len = memory.len() / d_memory;
            let weights = &row(&saved.weights, position, src_len)[..len];
            let d_context = row(&d_context, slot, d_memory);
            let d_scores = &mut d_scores[..len];
            vectorise(
                #[inline(always)]
                || {
                    d_scores.copy_from_slice(&grad_of(slot)[d + d_memory..][..len]);
                    let d_memory_out = &mut d_memory_out[slot * src_len * d_memory..];
                    let states = memory
                        .chunks_exact(d_memory)
                        .zip(d_memory_out.chunks_exact_mut(d_memory));
                    for ((d_score, &weight), (state, d_state)) in
                        d_scores.iter_mut().zip(weights).zip(states)
                    {
                        *d_score += dot(d_context, state);
                        add_weighted(d_state, &[weight], d_context);
                    }
                    softmax_backward(d_scores, weights);
                },
            );
            let query = row(&saved.queries, position, d_attn);
            scores_backward(
                Factored {
                    raw: query,
                    factors: factors_into(query, &mut query_factors).then_some(&query_factors),
                },
                Factored {
                    raw: keys,
                    factors: key_factors[slot].as_deref(),
                },
                arguments.v,
                d_scores,
                &mut d_queries[position * d_attn..][..d_attn],
                &mut d_keys[slot * src_len * d_attn..][..len * d_attn],
                &mut d_v,
            );
        }
        // What goes past the products is in d_hidden already; in an LSTM that is nothing, and what
        // is there is used up.
        let through_query = Mat::rows(&d_queries[now.start * d_attn..], rows, d_attn, d_attn);
        product(
            &mut d_hidden,
            d,
            !C::HAS_C,
            through_state,
            &transposed.recurrent,
            none,
        );
        product(
            &mut d_hidden,
            d,
            true,
            through_query,
            &transposed.query,
            none,
        );
    }

    Part {
        embedded: steps.gather(arguments.embedded, tgt_len, d_embed),
        steps,
        context: saved.context,
        hidden_before,
        d_x,
        d_y: saved.gates,
        d_queries,
        d_v,
        d_hidden,
        d_cells,
        d_keys,
        d_memory: d_memory_out,
    }
}
