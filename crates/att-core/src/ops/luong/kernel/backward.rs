//! Back through all steps, and the gradients of the weights at the end.

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Arguments, Dims, Saved, Weights, positions_of};
use crate::ops::additive_score::kernel::{Factored, factors_into, scores_backward};
use crate::ops::attention_read::kernel::{add_weighted, dot, softmax_backward};
use crate::ops::gemm::{Mat, Packed, matmul, matmul_f32, product};
use crate::ops::gru::cpu::GruCell;
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::luong::cpu::{ARGUMENTS, Plan};
use crate::ops::recurrent::cpu::{Before, CpuCell, Up};
use crate::ops::rows::{add_rows, row, row_mut};
use crate::ops::simd::vectorise;
use crate::ops::steps::{Steps, gather_rows};
use crate::ops::work::{Kind, span};

/// The gradients of the arguments, given that of the states.
pub(in crate::ops::luong) fn backward(
    grad: &[f32],
    tensors: [&[f32]; ARGUMENTS],
    saved: Vec<Saved>,
    plan: &Plan,
    dims: Dims,
) -> [Vec<f32>; ARGUMENTS] {
    let arguments = Arguments::new(tensors, plan);
    let transposed = arguments.weights(dims).transposed().packed();
    let part = match dims.lstm {
        true => backward_part::<LstmCell>,
        false => backward_part::<GruCell>,
    };
    let parts: Vec<Part> = saved
        .into_par_iter()
        .map(|saved| {
            let steps = Steps::new(saved.rows.clone(), &plan.tgt_lengths);
            part(steps, grad, saved, &transposed, arguments, dims)
        })
        .collect();

    let weights = weight_gradients(&parts, dims);
    let by_rows = |piece: fn(&Part) -> &[f32], d: usize| {
        let mut out = vec![0.0; dims.batch * d];
        for part in &parts {
            for (numbers, &row) in piece(part).chunks_exact(d).zip(&part.steps.rows) {
                row_mut(&mut out, row, d).copy_from_slice(numbers);
            }
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
        embedded_gradient(&parts, arguments.embedded_weight(dims).t(), dims),
        by_rows(|part| &part.d_hidden, dims.d_hidden),
        d_keys,
        d_memory,
        weights.input,
        weights.input_bias,
        weights.recurrent,
        match dims.lstm {
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
    /// ... and the right ones; d_y in rows of `4 * d_hidden`, d_out before the tanh, d_scores times
    /// the scale.
    d_x: Vec<f32>,
    d_y: Vec<f32>,
    d_out: Vec<f32>,
    d_context: Vec<f32>,
    d_scores: Vec<f32>,
    d_queries: Vec<f32>,
    d_v: Vec<f32>,
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
fn weight_gradients(parts: &[Part], dims: Dims) -> WeightGradients {
    let Dims {
        d_embed,
        d_hidden: d,
        d_memory,
        d_out,
        ..
    } = dims;
    let (d_gates, d_query) = (dims.d_gates(), dims.d_query());
    let mut out = WeightGradients {
        input: vec![0.0; (d_embed + d_out) * d_gates],
        input_bias: vec![0.0; d_gates],
        recurrent: vec![0.0; d * d_gates],
        recurrent_bias: vec![0.0; d],
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
        let (d_x, d_attentional) = (rows(&part.d_x, d_gates), rows(&part.d_out, d_out));
        let d_y = Mat::rows(&part.d_y, n, d_gates, 4 * d);
        let (before, after) = (rows(&part.hidden_before, d), rows(&part.hidden, d));
        let add = |out: &mut [f32], width: usize, left: Mat, right: Mat| {
            let threads = Parallelism::Rayon(0);
            matmul(out, width, index > 0, left.t(), right, threads);
        };
        add(by_embedded, d_gates, rows(&part.embedded, d_embed), d_x);
        add(by_fed, d_gates, rows(&part.fed_before, d_out), d_x);
        add(&mut out.recurrent, d_gates, before, d_y);
        add(by_state, d_out, after, d_attentional);
        let context = rows(&part.context, d_memory);
        add(by_context, d_out, context, d_attentional);
        add_rows(&mut out.input_bias, &part.d_x);
        add_rows(&mut out.attentional_bias, &part.d_out);
        if dims.additive {
            let d_queries = rows(&part.d_queries, d_query);
            add(&mut out.query, d_query, after, d_queries);
            add_rows(&mut out.query_bias, &part.d_queries);
            add_rows(&mut out.v, &part.d_v);
        }
        if !dims.lstm {
            // Inside a GRU's reset gate: the candidate's third of the recurrent part.
            for d_y in part.d_y.chunks_exact(4 * d) {
                add_weighted(&mut out.recurrent_bias, &[1.0], &d_y[2 * d..3 * d]);
            }
        }
    }
    out
}

/// `dx W_y^T` at its places in `[batch, tgt_len, d_embed]`.
fn embedded_gradient(parts: &[Part], weight: Mat, dims: Dims) -> Vec<f32> {
    let (d, d_gates) = (dims.d_embed, dims.d_gates());
    let mut out = vec![0.0; dims.batch * dims.tgt_len * d];
    for part in parts {
        let n = part.steps.positions();
        let mut d_steps = vec![0.0; n * d];
        let d_x = Mat::rows(&part.d_x, n, d_gates, d_gates);
        let threads = Parallelism::Rayon(0);
        matmul(&mut d_steps, d, false, d_x, weight, threads);
        for (position, (b, t)) in part.steps.each().enumerate() {
            row_mut(&mut out, b * dims.tgt_len + t, d).copy_from_slice(row(&d_steps, position, d));
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
    grad: &[f32],
    mut saved: Saved,
    transposed: &Weights<Packed>,
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
    let d_states = dims.d_states();
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

    // By way of the input; by way of the recurrent product it takes the place of the gates.
    let mut d_x = vec![0.0; n * d_gates];
    let mut d_attentional = vec![0.0; n * d_out];
    let mut d_context = vec![0.0; n * d_memory];
    let mut d_scores = vec![0.0; n * src_len];
    let mut d_queries = vec![0.0; n * d_query];
    let mut d_keys = vec![0.0; n_rows * src_len * d_query];
    let mut d_v = vec![0.0; d_query];
    // What comes from the next step: by way of the state, the cell, and the vector that is fed.
    let mut d_hidden = vec![0.0; n_rows * d];
    let mut d_cells = vec![0.0; n_rows * d_cell];
    let mut d_fed = vec![0.0; n_rows * d_out];
    // What comes by way of the attention.
    let mut d_state = vec![0.0; n_rows * d];
    // The cells are not given out: their gradient comes from the next step alone.
    let up_cell = vec![0.0; d_cell];
    for t in (0..steps.len()).rev() {
        let now = steps.at(t);
        let rows = now.len();
        let grad_of = |slot: usize| row(grad, steps.rows[slot] * tgt_len + t, d_states);
        vectorise(
            #[inline(always)]
            || {
                for (slot, position) in now.clone().enumerate() {
                    let d_fed = row_mut(&mut d_fed, slot, d_out);
                    for (d_fed, grad) in d_fed.iter_mut().zip(&grad_of(slot)[..d_out]) {
                        *d_fed += grad;
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
        product(&mut d_state, d, false, up, &transposed.state, none);
        let d_read = &mut d_context[now.start * d_memory..];
        product(d_read, d_memory, false, up, &transposed.context, none);
        for (slot, position) in now.clone().enumerate() {
            let _span = span(Kind::Attention);
            let (keys, memory) = arguments.source(steps.rows[slot], dims);
            let len = memory.len() / d_memory;
            let d_context = row(&d_context, position, d_memory);
            let d_scores = &mut d_scores[position * src_len..][..len];
            vectorise(
                #[inline(always)]
                || {
                    d_scores.copy_from_slice(&grad_of(slot)[d_out..][..len]);
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
        if let Some(weight) = &transposed.query {
            let up = Mat::rows(&d_queries[now.start * d_key..], rows, d_key, d_key);
            product(&mut d_state, d, true, up, weight, none);
        }
        vectorise(
            #[inline(always)]
            || {
                let _span = span(Kind::Cells);
                for (slot, position) in now.clone().enumerate() {
                    C::backward(
                        Up {
                            h: row(&d_state, slot, d),
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
                }
            },
        );
        // What goes past the product is in d_hidden already; in an LSTM that is nothing, and what
        // is there is used up.
        let through_state = Mat::rows(&saved.gates[now.start * 4 * d..], rows, d_gates, 4 * d);
        let weight = &transposed.recurrent;
        product(&mut d_hidden, d, !C::HAS_C, through_state, weight, none);
        if t > 0 {
            let through_input = Mat::rows(&d_x[now.start * d_gates..], rows, d_gates, d_gates);
            let weight = &transposed.fed;
            product(&mut d_fed, d_out, false, through_input, weight, none);
        }
    }

    Part {
        embedded: steps.gather(arguments.embedded, tgt_len, d_embed),
        steps,
        fed_before,
        hidden_before,
        hidden: saved.hidden,
        context: saved.context,
        weights: saved.weights,
        d_x,
        d_y: saved.gates,
        d_out: d_attentional,
        d_context,
        d_scores,
        d_queries,
        d_v,
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
