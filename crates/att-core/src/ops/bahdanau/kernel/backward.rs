//! Back through all steps, and the gradients of the weights at the end.

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Arguments, Dims, Grads, PackedWeights, Saved, key_factors};
use crate::ops::additive_score::kernel::{Factored, factors_into, scores_backward};
use crate::ops::attention_read::kernel::{add_weighted, dot, softmax_backward};
use crate::ops::bahdanau::cpu::{ARGUMENTS, Lengths};
use crate::ops::gemm::{Mat, Packed, matmul, product};
use crate::ops::recurrent::cpu::{
    Before, CpuCell, InputWeights, SLOTS, bias_gradients, input_weight_gradient,
};
use crate::ops::rows::{add_rows, row, row_mut};
use crate::ops::simd::vectorise;
use crate::ops::steps::{Steps, gather_rows, scatter_rows};
use crate::ops::work::{Kind, span};

/// The gradients of the arguments, given those of what was given out.
pub(super) fn backward<C: CpuCell>(
    grads: Grads,
    tensors: [&[f32]; ARGUMENTS],
    saved: Vec<Saved>,
    lengths: &Lengths,
    dims: Dims,
) -> [Vec<f32>; ARGUMENTS] {
    let arguments = Arguments::new(tensors, lengths);
    let (d_hidden, d_gates) = (dims.d_hidden, dims.d_gates());
    let query = Mat::rows(arguments.query_weight, d_hidden, dims.d_attn, dims.d_attn);
    let recurrent = Mat::rows(arguments.recurrent_weight, d_hidden, d_gates, d_gates);
    let positions = lengths.tgt.iter().sum();
    let (embedded, context) = arguments.input_parts(dims);
    let transposed = PackedWeights {
        embedded: InputWeights::transposed::<C>(embedded, positions),
        context: InputWeights::transposed::<C>(context, positions),
        query: Packed::new(query.t()),
        recurrent: Packed::new(recurrent.t()),
    };
    let parts: Vec<Part> = saved
        .into_par_iter()
        .map(|saved| {
            let steps = Steps::new(saved.rows.clone(), &lengths.tgt);
            backward_part::<C>(steps, grads, saved, &transposed, arguments, dims)
        })
        .collect();

    let mut d_embedded = vec![0.0; arguments.embedded.len()];
    for part in &parts {
        let numbers = &part.d_embedded;
        part.steps
            .scatter(numbers, &mut d_embedded, dims.tgt_len, dims.d_embed);
    }
    let weights = weight_gradients::<C>(&parts, dims);
    let by_rows = |piece: fn(&Part) -> &[f32], d: usize| {
        let mut out = vec![0.0; dims.batch * d];
        for part in &parts {
            scatter_rows(&part.steps.rows, piece(part), &mut out, d);
        }
        out
    };
    [
        d_embedded,
        by_rows(|part| &part.d_hidden, d_hidden),
        by_rows(|part| &part.d_keys, dims.src_len * dims.d_attn),
        by_rows(|part| &part.d_memory, dims.src_len * dims.d_memory),
        weights.query,
        weights.query_bias,
        weights.v,
        weights.input,
        weights.input_bias,
        weights.recurrent,
        match C::HAS_C {
            true => by_rows(|part| &part.d_cells, d_hidden),
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
    /// ... and the right ones; the gradients of the sums in lines of gates.
    gates: Vec<f32>,
    d_queries: Vec<f32>,
    d_v: Vec<f32>,
    /// `[positions, d_embed]`
    d_embedded: Vec<f32>,
    /// `[rows, ..]`
    d_hidden: Vec<f32>,
    d_cells: Vec<f32>,
    d_keys: Vec<f32>,
    d_memory: Vec<f32>,
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
fn weight_gradients<C: CpuCell>(parts: &[Part], dims: Dims) -> WeightGradients {
    let Dims {
        d_embed,
        d_hidden: d,
        d_attn,
        d_memory,
        ..
    } = dims;
    let d_gates = dims.d_gates();
    let gates = parts.iter().map(|part| &part.gates[..]);
    let [input_bias, recurrent_bias] = bias_gradients::<C>(gates, d);
    let mut out = WeightGradients {
        query: vec![0.0; d * d_attn],
        query_bias: vec![0.0; d_attn],
        v: vec![0.0; d_attn],
        input: vec![0.0; (d_embed + d_memory) * d_gates],
        input_bias,
        recurrent: vec![0.0; d * d_gates],
        recurrent_bias,
    };
    let (by_embedded, by_context) = out.input.split_at_mut(d_embed * d_gates);
    for (index, part) in parts.iter().enumerate() {
        let n = part.steps.positions();
        let rows = |matrix, d| Mat::rows(matrix, n, d, d);
        let through_state = Mat::rows(&part.gates, n, d_gates, SLOTS * d);
        let before = rows(&part.hidden_before, d);
        let add = |out: &mut [f32], width: usize, left: Mat, right: Mat| {
            let threads = Parallelism::Rayon(0);
            matmul(out, width, index > 0, left.t(), right, threads);
        };
        let add_input = |out: &mut [f32], left: &[f32], d_left: usize| {
            let left = Mat::rows(left, n, d_left, d_left);
            input_weight_gradient::<C>(out, index > 0, left, &part.gates, d);
        };
        add(
            &mut out.query,
            d_attn,
            before,
            rows(&part.d_queries, d_attn),
        );
        add(&mut out.recurrent, d_gates, before, through_state);
        add_input(by_embedded, &part.embedded, d_embed);
        add_input(by_context, &part.context, d_memory);
        add_rows(&mut out.query_bias, &part.d_queries);
        add_rows(&mut out.v, &part.d_v);
    }
    out
}

fn backward_part<C: CpuCell>(
    steps: Steps,
    grads: Grads,
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

    let mut d_queries = vec![0.0; n * d_attn];
    let mut d_keys = vec![0.0; n_rows * src_len * d_attn];
    let mut d_memory_out = vec![0.0; n_rows * src_len * d_memory];
    let mut d_v = vec![0.0; d_attn];
    // The cells are not given out: their gradient comes from the next step alone.
    let mut d_hidden = vec![0.0; n_rows * d];
    let mut d_cells = vec![0.0; n_rows * d_cell];
    let mut d_context = vec![0.0; n_rows * d_memory];
    let mut d_scores = vec![0.0; src_len];
    let nothing = vec![0.0; d_states];
    for t in (0..steps.len()).rev() {
        let now = steps.at(t);
        let rows = now.len();
        let at = |slot: usize| steps.rows[slot] * tgt_len + t;
        vectorise(
            #[inline(always)]
            || {
                let _span = span(Kind::Cells);
                for (slot, position) in now.clone().enumerate() {
                    let grad = grads.states.map(|grad| row(grad, at(slot), d_states));
                    let (up, up_context) = grad.unwrap_or(&nothing).split_at(d);
                    C::backward(
                        up,
                        Before {
                            h: row(&hidden_before, position, d),
                            c: row(&cells_before, position, d_cell),
                        },
                        row_mut(&mut saved.gates, position, SLOTS * d),
                        row_mut(&mut d_hidden, slot, d),
                        row_mut(&mut d_cells, slot, d_cell),
                    );
                    row_mut(&mut d_context, slot, d_memory).copy_from_slice(up_context);
                }
            },
        );
        let gates = &saved.gates[now.start * SLOTS * d..];
        let through_input = &transposed.context;
        through_input.back(&mut d_context, d_memory, true, gates, rows, none);
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
                    match grads.weights {
                        Some(grad) => {
                            d_scores.copy_from_slice(&row(grad, at(slot), src_len)[..len])
                        }
                        None => d_scores.fill(0.0),
                    }
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
        let through_state = Mat::rows(gates, rows, d_gates, SLOTS * d);
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

    let mut d_embedded = vec![0.0; n * d_embed];
    let through_input = &transposed.embedded;
    through_input.back(&mut d_embedded, d_embed, false, &saved.gates, n, none);
    Part {
        embedded: steps.gather(arguments.embedded, tgt_len, d_embed),
        steps,
        context: saved.context,
        hidden_before,
        gates: saved.gates,
        d_queries,
        d_v,
        d_embedded,
        d_hidden,
        d_cells,
        d_keys,
        d_memory: d_memory_out,
    }
}
