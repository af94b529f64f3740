//! All steps, from the first.

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Arguments, Dims, Saved, Weights};
use crate::ops::additive_score::kernel::{Factored, factors_into, scores};
use crate::ops::attention_read::kernel::{add_weighted, dot, softmax};
use crate::ops::gemm::{Mat, Packed, matmul, product, rows_per_thread};
use crate::ops::gru::cpu::GruCell;
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::luong::cpu::{ARGUMENTS, Plan};
use crate::ops::recurrent::cpu::CpuCell;
use crate::ops::rows::{row, row_mut};
use crate::ops::simd::{tanh, vectorise};
use crate::ops::steps::{Steps, gather_rows};
use crate::ops::work::{Kind, span};

/// The states, `[batch, tgt_len, d_states]`.
pub(in crate::ops::luong) fn forward(
    tensors: [&[f32]; ARGUMENTS],
    plan: &Plan,
    dims: Dims,
) -> (Vec<f32>, Vec<Saved>) {
    let arguments = Arguments::new(tensors, plan);
    let packed = arguments.weights(dims).packed();
    let part = match dims.lstm {
        true => forward_part::<LstmCell>,
        false => forward_part::<GruCell>,
    };
    let threads = dims
        .batch
        .div_ceil(rows_per_thread(dims.batch, dims.tgt_len * dims.work()));
    let saved: Vec<Saved> = Steps::deal(&plan.tgt_lengths, threads)
        .into_par_iter()
        .map(|steps| part(steps, &packed, arguments, dims))
        .collect();

    let d_states = dims.d_states();
    let mut states = vec![0.0; dims.batch * dims.tgt_len * d_states];
    for part in &saved {
        let steps = Steps::new(part.rows.clone(), &plan.tgt_lengths);
        for (position, (b, t)) in steps.each().enumerate() {
            let out = row_mut(&mut states, b * dims.tgt_len + t, d_states);
            let (fed, weights) = out.split_at_mut(dims.d_out);
            fed.copy_from_slice(row(&part.fed, position, dims.d_out));
            weights.copy_from_slice(row(&part.weights, position, dims.src_len));
        }
    }
    (states, saved)
}

fn forward_part<C: CpuCell>(
    steps: Steps,
    packed: &Weights<Packed>,
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
    let (d_gates, d_cell, d_query) = (dims.d_gates(), dims.d_cell(), dims.d_query());
    let none = Parallelism::None;
    let n = steps.positions();
    let embedded = steps.gather(arguments.embedded, dims.tgt_len, d_embed);
    let dropout = arguments.dropout(&steps, dims);
    // [y; f] W + b: all steps' y at once, f as it comes.
    let mut x = arguments.input_bias.repeat(n);
    let embedded = Mat::rows(&embedded, n, d_embed, d_embed);
    let weight = arguments.embedded_weight(dims);
    matmul(&mut x, d_gates, true, embedded, weight, none);
    let mut queries = match dims.additive {
        true => arguments.query_bias.repeat(n),
        false => Vec::new(),
    };
    let mut hidden = vec![0.0; n * d];
    let mut context = vec![0.0; n * d_memory];
    let mut weights = vec![0.0; n * src_len];
    let mut fed = arguments.attentional_bias.repeat(n);
    let mut gates = vec![0.0; n * 4 * d];
    let mut cells = vec![0.0; n * d_cell];
    let first_hidden = gather_rows(&steps.rows, arguments.hidden, d);
    let first_cell = gather_rows(&steps.rows, arguments.last, d_cell);
    let bias = if C::HAS_C { &[] } else { arguments.last };
    let key_factors = arguments.key_factors(&steps.rows, dims);
    let mut query_factors = vec![0.0; d_query];
    for t in 0..steps.len() {
        let now = steps.at(t);
        let rows = now.len();
        // The states before the step, which the cell makes those after it.
        steps.carry(t, &first_hidden, &mut hidden, d);
        steps.carry(t, &first_cell, &mut cells, d_cell);
        if t > 0 {
            let before = Mat::rows(&fed[steps.at(t - 1).start * d_out..], rows, d_out, d_out);
            let z = &mut x[now.start * d_gates..];
            product(z, d_gates, true, before, &packed.fed, none);
        }
        let before = Mat::rows(&hidden[now.start * d..], rows, d, d);
        let y = &mut gates[now.start * 4 * d..];
        product(y, 4 * d, false, before, &packed.recurrent, none);
        vectorise(
            #[inline(always)]
            || {
                let _span = span(Kind::Cells);
                for position in now.clone() {
                    C::forward(
                        row(&x, position, d_gates),
                        bias,
                        row_mut(&mut gates, position, 4 * d),
                        row_mut(&mut hidden, position, d),
                        row_mut(&mut cells, position, d_cell),
                    );
                }
            },
        );
        let states = Mat::rows(&hidden[now.start * d..], rows, d, d);
        if let Some(weight) = &packed.query {
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
        product(out, d_out, true, states, &packed.state, none);
        product(out, d_out, true, read, &packed.context, none);
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
