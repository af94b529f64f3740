//! Back through all steps, and the gradients of the weights at the end.

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Arguments, Dims, Grads, Saved, Weights, positions_of};
use crate::ops::additive_score::kernel::{Factored, factors_into, scores_backward};
use crate::ops::attention_read::kernel::{add_weighted, dot, softmax_backward};
use crate::ops::gemm::{Mat, matmul, matmul_f32, product};
use crate::ops::luong::cpu::{ARGUMENTS, Plan};
use crate::ops::recurrent::cpu::{Before, CpuCell, SLOTS, bias_gradients, input_weight_gradient};
use crate::ops::rows::{add_rows, row, row_mut};
use crate::ops::simd::vectorise;
use crate::ops::steps::{Steps, gather_rows, scatter_rows};
use crate::ops::work::{Kind, span};

/// The gradients of the arguments, given those of what was given out.
pub(super) fn backward<C: CpuCell>(
    grads: Grads,
    tensors: [&[f32]; ARGUMENTS],
    saved: Vec<Saved>,
    plan: &Plan,
    dims: Dims,
) -> [Vec<f32>; ARGUMENTS] {
    let arguments = Arguments::new(tensors, plan);
    let transposed = arguments.transposed::<C>(dims);
    let parts: Vec<Part> = saved
        .into_par_iter()
        .map(|saved| {
            let steps = Steps::new(saved.rows.clone(), &plan.tgt_lengths);
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
    let d_memory = by_source(&parts, dims, dims.d_memory, |part, slot| {
        let positions = positions_of(&part.steps, slot);
        let weights = gather_rows(&positions, &part.weights, dims.src_len);
        let d_context = gather_rows(&positions, &part.d_context, dims.d_memory);
        (weights, d_context)
    });
    let d_keys = if dims.additive {
        by_rows(|part| &part.d_keys, dims.src_len * dims.d_key)
    } else {
        by_source(&parts, dims, dims.d_key, |part, slot| {
            let positions = positions_of(&part.steps, slot);
            let d_scores = gather_rows(&positions, &part.d_scores, dims.src_len);
            (
                d_scores,
                gather_rows(&positions, &part.hidden, dims.d_hidden),
            )
        })
    };
    [
        d_embedded,
        by_rows(|part| &part.d_hidden, dims.d_hidden),
        d_keys,
        d_memory,
        weights.input,
        weights.input_bias,
        weights.recurrent,
        match C::HAS_C {
            true => by_rows(|part| &part.d_cells, dims.d_hidden),
            false => weights.recurrent_bias,
        },
        weights.attentional,
        weights.attentional_bias,
        weights.query,
        weights.query_bias,
        weights.v,
    ]
}

/// What the rows of one thread leave: their own gradients, and the factors of the others'.
struct Part {
    steps: Steps,
    /// `[positions, ..]`: the left factors ...
    embedded: Vec<f32>,
    fed_before: Vec<f32>,
    hidden_before: Vec<f32>,
    hidden: Vec<f32>,
    context: Vec<f32>,
    weights: Vec<f32>,
    /// ... and the right ones; the gradients of the sums in lines of gates, d_out before the tanh,
    /// d_scores times the scale.
    gates: Vec<f32>,
    d_out: Vec<f32>,
    d_context: Vec<f32>,
    d_scores: Vec<f32>,
    d_queries: Vec<f32>,
    d_v: Vec<f32>,
    /// `[positions, d_embed]`
    d_embedded: Vec<f32>,
    /// `[rows, ..]`
    d_hidden: Vec<f32>,
    d_cells: Vec<f32>,
    /// Of an additive score.
    d_keys: Vec<f32>,
}

/// The gradients of weights and biases.
struct WeightGradients {
    input: Vec<f32>,
    input_bias: Vec<f32>,
    recurrent: Vec<f32>,
    recurrent_bias: Vec<f32>,
    attentional: Vec<f32>,
    attentional_bias: Vec<f32>,
    query: Vec<f32>,
    query_bias: Vec<f32>,
    v: Vec<f32>,
}

/// One product a weight and part, all threads in each, the parts in their order.
fn weight_gradients<C: CpuCell>(parts: &[Part], dims: Dims) -> WeightGradients {
    let Dims {
        d_embed,
        d_hidden: d,
        d_memory,
        d_out,
        ..
    } = dims;
    let (d_gates, d_query) = (dims.d_gates(), dims.d_query());
    let gates = parts.iter().map(|part| &part.gates[..]);
    let [input_bias, recurrent_bias] = bias_gradients::<C>(gates, d);
    let mut out = WeightGradients {
        input: vec![0.0; (d_embed + d_out) * d_gates],
        input_bias,
        recurrent: vec![0.0; d * d_gates],
        recurrent_bias,
        attentional: vec![0.0; (d + d_memory) * d_out],
        attentional_bias: vec![0.0; d_out],
        // Those of a score that has none are of one number.
        query: vec![0.0; (d * d_query).max(1)],
        query_bias: vec![0.0; d_query.max(1)],
        v: vec![0.0; d_query.max(1)],
    };
    let (by_embedded, by_fed) = out.input.split_at_mut(d_embed * d_gates);
    let (by_state, by_context) = out.attentional.split_at_mut(d * d_out);
    for (index, part) in parts.iter().enumerate() {
        let n = part.steps.positions();
        let rows = |matrix, d| Mat::rows(matrix, n, d, d);
        let d_attentional = rows(&part.d_out, d_out);
        let through_state = Mat::rows(&part.gates, n, d_gates, SLOTS * d);
        let (before, after) = (rows(&part.hidden_before, d), rows(&part.hidden, d));
        let add = |out: &mut [f32], width: usize, left: Mat, right: Mat| {
            let threads = Parallelism::Rayon(0);
            matmul(out, width, index > 0, left.t(), right, threads);
        };
        let add_input = |out: &mut [f32], left: &[f32], d_left: usize| {
            let left = Mat::rows(left, n, d_left, d_left);
            input_weight_gradient::<C>(out, index > 0, left, &part.gates, d);
        };
        add_input(by_embedded, &part.embedded, d_embed);
        add_input(by_fed, &part.fed_before, d_out);
        add(&mut out.recurrent, d_gates, before, through_state);
        add(by_state, d_out, after, d_attentional);
        let context = rows(&part.context, d_memory);
        add(by_context, d_out, context, d_attentional);
        add_rows(&mut out.attentional_bias, &part.d_out);
        if dims.additive {
            let d_queries = rows(&part.d_queries, d_query);
            add(&mut out.query, d_query, after, d_queries);
            add_rows(&mut out.query_bias, &part.d_queries);
            add_rows(&mut out.v, &part.d_v);
        }
    }
    out
}

/// For each source `left^T right`, of `[tgt_len, src_len]` and `[tgt_len, d]`: what all steps of
/// its target add to the gradient of something of `[batch, src_len, d]`.
fn by_source(
    parts: &[Part],
    dims: Dims,
    d: usize,
    factors: impl Fn(&Part, usize) -> (Vec<f32>, Vec<f32>) + Sync,
) -> Vec<f32> {
    let mut places = vec![(0, 0); dims.batch];
    for (part, of_part) in parts.iter().enumerate() {
        for (slot, &row) in of_part.steps.rows.iter().enumerate() {
            places[row] = (part, slot);
        }
    }
    let mut out = vec![0.0; dims.batch * dims.src_len * d];
    out.par_chunks_mut(dims.src_len * d)
        .zip(places)
        .for_each(|(out, (part, slot))| {
            let (left, right) = factors(&parts[part], slot);
            let steps = right.len() / d;
            let left = Mat::rows(&left, steps, dims.src_len, dims.src_len);
            let right = Mat::rows(&right, steps, d, d);
            matmul_f32(out, d, false, left.t(), right, Parallelism::None);
        });
    out
}

fn backward_part<C: CpuCell>(
    steps: Steps,
    grads: Grads,
    mut saved: Saved,
    transposed: &Weights,
    arguments: Arguments,
    dims: Dims,
) -> Part {
    let Dims {
        tgt_len,
        src_len,
        d_embed,
        d_hidden: d,
        d_key,
        d_memory,
        d_out,
        ..
    } = dims;
    let (d_gates, d_cell, d_query) = (dims.d_gates(), dims.d_cell(), dims.d_query());
    let (n, n_rows) = (steps.positions(), steps.rows.len());
    let none = Parallelism::None;
    let first_hidden = gather_rows(&steps.rows, arguments.hidden, d);
    let hidden_before = steps.before(&first_hidden, &saved.hidden, d);
    let first_cell = gather_rows(&steps.rows, arguments.last, d_cell);
    let cells_before = steps.before(&first_cell, &saved.cells, d_cell);
    let fed_before = steps.before(&vec![0.0; n_rows * d_out], &saved.fed, d_out);
    let dropout = arguments.dropout(&steps, dims);
    let key_factors = arguments.key_factors(&steps.rows, dims);
    let mut query_factors = vec![0.0; d_query];

    let mut d_attentional = vec![0.0; n * d_out];
    let mut d_context = vec![0.0; n * d_memory];
    let mut d_scores = vec![0.0; n * src_len];
    let mut d_queries = vec![0.0; n * d_query];
    let mut d_keys = vec![0.0; n_rows * src_len * d_query];
    let mut d_v = vec![0.0; d_query];
    // What comes from the next step: by way of the state, the cell (which is not given out), and the
    // vector that is fed.
    let mut d_hidden = vec![0.0; n_rows * d];
    let mut d_cells = vec![0.0; n_rows * d_cell];
    let mut d_fed = vec![0.0; n_rows * d_out];
    // What comes by way of the attention.
    let mut d_state = vec![0.0; n_rows * d];
    for t in (0..steps.len()).rev() {
        let now = steps.at(t);
        let rows = now.len();
        let at = |slot: usize| steps.rows[slot] * tgt_len + t;
        vectorise(
            #[inline(always)]
            || {
                for (slot, position) in now.clone().enumerate() {
                    let d_fed = row_mut(&mut d_fed, slot, d_out);
                    if let Some(grad) = grads.attentional {
                        add_weighted(d_fed, &[1.0], row(grad, at(slot), d_out));
                    }
                    through_tanh(
                        row(&saved.fed, position, d_out),
                        dropout
                            .as_ref()
                            .map(|dropout| row(dropout, position, d_out)),
                        d_fed,
                        row_mut(&mut d_attentional, position, d_out),
                    );
                }
            },
        );
        let up = Mat::rows(&d_attentional[now.start * d_out..], rows, d_out, d_out);
        product(&mut d_state, d, false, up, &transposed.others.state, none);
        let d_read = &mut d_context[now.start * d_memory..];
        product(
            d_read,
            d_memory,
            false,
            up,
            &transposed.others.context,
            none,
        );
        for (slot, position) in now.clone().enumerate() {
            let _span = span(Kind::Attention);
            let (keys, memory) = arguments.source(steps.rows[slot], dims);
            let len = memory.len() / d_memory;
            let d_context = row(&d_context, position, d_memory);
            let d_scores = &mut d_scores[position * src_len..][..len];
            vectorise(
                #[inline(always)]
                || {
                    match grads.weights {
                        Some(grad) => {
                            d_scores.copy_from_slice(&row(grad, at(slot), src_len)[..len])
                        }
                        None => d_scores.fill(0.0),
                    }
                    for (d_weight, state) in d_scores.iter_mut().zip(memory.chunks_exact(d_memory))
                    {
                        *d_weight += dot(d_context, state);
                    }
                    softmax_backward(d_scores, &row(&saved.weights, position, src_len)[..len]);
                    if let Some(scale) = arguments.plan.scale {
                        d_scores.iter_mut().for_each(|x| *x *= scale);
                        add_weighted(row_mut(&mut d_state, slot, d), d_scores, keys);
                    }
                },
            );
            if dims.additive {
                let query = row(&saved.queries, position, d_key);
                let query = Factored {
                    raw: query,
                    factors: factors_into(query, &mut query_factors).then_some(&query_factors),
                };
                let keys = Factored {
                    raw: keys,
                    factors: key_factors[slot].as_deref(),
                };
                scores_backward(
                    query,
                    keys,
                    arguments.v,
                    d_scores,
                    row_mut(&mut d_queries, position, d_key),
                    &mut d_keys[slot * src_len * d_key..][..len * d_key],
                    &mut d_v,
                );
            }
        }
        if let Some(weight) = &transposed.others.query {
            let up = Mat::rows(&d_queries[now.start * d_key..], rows, d_key, d_key);
            product(&mut d_state, d, true, up, weight, none);
        }
        vectorise(
            #[inline(always)]
            || {
                let _span = span(Kind::Cells);
                for (slot, position) in now.clone().enumerate() {
                    C::backward(
                        row(&d_state, slot, d),
                        Before {
                            h: row(&hidden_before, position, d),
                            c: row(&cells_before, position, d_cell),
                        },
                        row_mut(&mut saved.gates, position, SLOTS * d),
                        row_mut(&mut d_hidden, slot, d),
                        row_mut(&mut d_cells, slot, d_cell),
                    );
                }
            },
        );
        // What goes past the product is in d_hidden already; in an LSTM that is nothing, and what
        // is there is used up.
        let gates = &saved.gates[now.start * SLOTS * d..];
        let through_state = Mat::rows(gates, rows, d_gates, SLOTS * d);
        let weight = &transposed.others.recurrent;
        product(&mut d_hidden, d, !C::HAS_C, through_state, weight, none);
        if t > 0 {
            let through_input = &transposed.fed;
            through_input.back(&mut d_fed, d_out, false, gates, rows, none);
        }
    }

    let mut d_embedded = vec![0.0; n * d_embed];
    let through_input = &transposed.embedded;
    through_input.back(&mut d_embedded, d_embed, false, &saved.gates, n, none);
    Part {
        embedded: steps.gather(arguments.embedded, tgt_len, d_embed),
        steps,
        fed_before,
        hidden_before,
        hidden: saved.hidden,
        context: saved.context,
        weights: saved.weights,
        gates: saved.gates,
        d_out: d_attentional,
        d_context,
        d_scores,
        d_queries,
        d_v,
        d_embedded,
        d_hidden,
        d_cells,
        d_keys,
    }
}

/// The gradient before the tanh of `fed = p tanh(..)`: `grad p (1 - (fed / p)^2)`, and zero where p
/// is.
#[inline(always)]
fn through_tanh(fed: &[f32], dropout: Option<&[f32]>, grad: &[f32], out: &mut [f32]) {
    let n = out.len();
    let (fed, grad) = (&fed[..n], &grad[..n]);
    match dropout {
        None => {
            for i in 0..n {
                out[i] = grad[i] * (1.0 - fed[i] * fed[i]);
            }
        }
        Some(p) => {
            let p = &p[..n];
            for i in 0..n {
                let whole = fed[i] / p[i].max(f32::MIN_POSITIVE);
                out[i] = grad[i] * p[i] * (1.0 - whole * whole);
            }
        }
    }
}
