//! All steps, from the first.

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Arguments, Dims, Saved, Weights};
use crate::ops::additive_score::kernel::{Factored, factors_into, scores};
use crate::ops::attention_read::kernel::{add_weighted, dot, softmax};
use crate::ops::gemm::{Mat, product, rows_per_thread};
use crate::ops::luong::cpu::{ARGUMENTS, Plan};
use crate::ops::recurrent::cpu::{CpuCell, SLOTS, biases};
use crate::ops::rows::{row, row_mut};
use crate::ops::simd::{tanh, vectorise};
use crate::ops::steps::{Steps, gather_rows};
use crate::ops::work::{Kind, span};

/// The attentional vectors, `[batch, tgt_len, d_out]`, and the weights, `[batch, tgt_len, src_len]`.
pub(super) fn forward<C: CpuCell>(
    tensors: [&[f32]; ARGUMENTS],
    plan: &Plan,
    dims: Dims,
) -> (Vec<Vec<f32>>, Vec<Saved>) {
    let arguments = Arguments::new(tensors, plan);
    let packed = arguments.packed::<C>(dims);
    let threads = dims
        .batch
        .div_ceil(rows_per_thread(dims.batch, dims.tgt_len * dims.work()));
    let saved: Vec<Saved> = Steps::deal(&plan.tgt_lengths, threads)
        .into_par_iter()
        .map(|steps| forward_part::<C>(steps, &packed, arguments, dims))
        .collect();

    let steps = dims.batch * dims.tgt_len;
    let mut attentional = vec![0.0; steps * dims.d_out];
    let mut weights = vec![0.0; steps * dims.src_len];
    for part in &saved {
        let steps = Steps::new(part.rows.clone(), &plan.tgt_lengths);
        steps.scatter(&part.fed, &mut attentional, dims.tgt_len, dims.d_out);
        steps.scatter(&part.weights, &mut weights, dims.tgt_len, dims.src_len);
    }
    (vec![attentional, weights], saved)
}

fn forward_part<C: CpuCell>(
    steps: Steps,
    packed: &Weights,
    arguments: Arguments,
    dims: Dims,
) -> Saved {
    let Dims {
        src_len,
        d_embed,
        d_hidden: d,
        d_key,
        d_memory,
        d_out,
        ..
    } = dims;
    let (d_cell, d_query) = (dims.d_cell(), dims.d_query());
    let none = Parallelism::None;
    let n = steps.positions();
    let embedded = steps.gather(arguments.embedded, dims.tgt_len, d_embed);
    let dropout = arguments.dropout(&steps, dims);
    let bias = if C::HAS_C { &[] } else { arguments.last };
    // [y; f] W + b: all steps' y at once, f as it comes.
    let mut gates = biases::<C>(arguments.input_bias, bias).repeat(n);
    let embedded = Mat::rows(&embedded, n, d_embed, d_embed);
    packed.embedded.add(&mut gates, embedded, none);
    let mut queries = match dims.additive {
        true => arguments.query_bias.repeat(n),
        false => Vec::new(),
    };
    let mut hidden = vec![0.0; n * d];
    let mut context = vec![0.0; n * d_memory];
    let mut weights = vec![0.0; n * src_len];
    let mut fed = arguments.attentional_bias.repeat(n);
    let mut cells = vec![0.0; n * d_cell];
    let first_hidden = gather_rows(&steps.rows, arguments.hidden, d);
    let first_cell = gather_rows(&steps.rows, arguments.last, d_cell);
    let key_factors = arguments.key_factors(&steps.rows, dims);
    let mut query_factors = vec![0.0; d_query];
    for t in 0..steps.len() {
        let now = steps.at(t);
        let rows = now.len();
        // The states before the step, which the cell makes those after it.
        steps.carry(t, &first_hidden, &mut hidden, d);
        steps.carry(t, &first_cell, &mut cells, d_cell);
        let sums = &mut gates[now.start * SLOTS * d..];
        if t > 0 {
            let before = Mat::rows(&fed[steps.at(t - 1).start * d_out..], rows, d_out, d_out);
            packed.fed.add(sums, before, none);
        }
        let before = Mat::rows(&hidden[now.start * d..], rows, d, d);
        product(
            sums,
            SLOTS * d,
            true,
            before,
            &packed.others.recurrent,
            none,
        );
        vectorise(
            #[inline(always)]
            || {
                let _span = span(Kind::Cells);
                for position in now.clone() {
                    C::forward(
                        row_mut(&mut gates, position, SLOTS * d),
                        row_mut(&mut hidden, position, d),
                        row_mut(&mut cells, position, d_cell),
                    );
                }
            },
        );
        let states = Mat::rows(&hidden[now.start * d..], rows, d, d);
        if let Some(weight) = &packed.others.query {
            let queries = &mut queries[now.start * d_key..];
            product(queries, d_key, true, states, weight, none);
        }
        for (slot, position) in now.clone().enumerate() {
            let _span = span(Kind::Attention);
            let (keys, memory) = arguments.source(steps.rows[slot], dims);
            let weights = &mut weights[position * src_len..][..memory.len() / d_memory];
            if dims.additive {
                let query = row(&queries, position, d_key);
                let query = Factored {
                    raw: query,
                    factors: factors_into(query, &mut query_factors).then_some(&query_factors),
                };
                let keys = Factored {
                    raw: keys,
                    factors: key_factors[slot].as_deref(),
                };
                scores(query, keys, arguments.v, weights);
            }
            let context = row_mut(&mut context, position, d_memory);
            vectorise(
                #[inline(always)]
                || {
                    if let Some(scale) = arguments.plan.scale {
                        let state = row(&hidden, position, d);
                        for (score, key) in weights.iter_mut().zip(keys.chunks_exact(d)) {
                            *score = scale * dot(state, key);
                        }
                    }
                    softmax(weights);
                    add_weighted(context, weights, memory);
                },
            );
        }
        let read = Mat::rows(&context[now.start * d_memory..], rows, d_memory, d_memory);
        let out = &mut fed[now.start * d_out..now.end * d_out];
        product(out, d_out, true, states, &packed.others.state, none);
        product(out, d_out, true, read, &packed.others.context, none);
        vectorise(
            #[inline(always)]
            || {
                out.iter_mut().for_each(|x| *x = tanh(*x));
                if let Some(dropout) = &dropout {
                    let dropout = &dropout[now.start * d_out..];
                    out.iter_mut().zip(dropout).for_each(|(x, p)| *x *= p);
                }
            },
        );
    }
    Saved {
        rows: steps.rows,
        hidden,
        context,
        weights,
        queries,
        fed,
        gates,
        cells,
    }
}
