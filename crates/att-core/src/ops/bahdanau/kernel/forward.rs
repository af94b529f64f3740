//! All steps, from the first.

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Arguments, Dims, PackedWeights, Saved, key_factors};
use crate::ops::additive_score::kernel::{Factored, factors_into, scores};
use crate::ops::attention_read::kernel::{add_weighted, softmax};
use crate::ops::bahdanau::cpu::{ARGUMENTS, Lengths};
use crate::ops::gemm::{Mat, Packed, product, rows_per_thread};
use crate::ops::recurrent::cpu::{CpuCell, InputWeights, SLOTS, biases};
use crate::ops::rows::{row, row_mut};
use crate::ops::simd::vectorise;
use crate::ops::steps::{Steps, gather_rows};
use crate::ops::work::{Kind, span};

/// State and context of each step, `[batch, tgt_len, d_states]`, and the weights, `[batch, tgt_len,
/// src_len]`.
pub(super) fn forward<C: CpuCell>(
    tensors: [&[f32]; ARGUMENTS],
    lengths: &Lengths,
    dims: Dims,
) -> (Vec<Vec<f32>>, Vec<Saved>) {
    let arguments = Arguments::new(tensors, lengths);
    let (d_hidden, d_gates) = (dims.d_hidden, dims.d_gates());
    let positions = lengths.tgt.iter().sum();
    let (embedded, context) = arguments.input_parts(dims);
    let packed = PackedWeights {
        embedded: InputWeights::new::<C>(embedded, positions),
        context: InputWeights::new::<C>(context, positions),
        query: Packed::new(Mat::rows(
            arguments.query_weight,
            d_hidden,
            dims.d_attn,
            dims.d_attn,
        )),
        recurrent: Packed::new(Mat::rows(
            arguments.recurrent_weight,
            d_hidden,
            d_gates,
            d_gates,
        )),
    };
    let saved: Vec<Saved> = Steps::deal(&lengths.tgt, threads(dims))
        .into_par_iter()
        .map(|steps| forward_part::<C>(steps, &packed, arguments, dims))
        .collect();

    let (d_states, src_len) = (dims.d_states(), dims.src_len);
    let mut states = vec![0.0; dims.batch * dims.tgt_len * d_states];
    let mut weights = vec![0.0; dims.batch * dims.tgt_len * src_len];
    for part in &saved {
        let steps = Steps::new(part.rows.clone(), &lengths.tgt);
        for (position, (b, t)) in steps.each().enumerate() {
            let out = row_mut(&mut states, b * dims.tgt_len + t, d_states);
            let (hidden, context) = out.split_at_mut(d_hidden);
            hidden.copy_from_slice(row(&part.hidden, position, d_hidden));
            context.copy_from_slice(row(&part.context, position, dims.d_memory));
        }
        steps.scatter(&part.weights, &mut weights, dims.tgt_len, src_len);
    }
    (vec![states, weights], saved)
}

fn threads(dims: Dims) -> usize {
    let rows = rows_per_thread(dims.batch, dims.tgt_len * dims.work());
    dims.batch.div_ceil(rows)
}

fn forward_part<C: CpuCell>(
    steps: Steps,
    packed: &PackedWeights,
    arguments: Arguments,
    dims: Dims,
) -> Saved {
    let Dims {
        src_len,
        d_embed,
        d_hidden: d,
        d_attn,
        d_memory,
        ..
    } = dims;
    let d_cell = dims.d_cell();
    let none = Parallelism::None;
    let n = steps.positions();
    let embedded = steps.gather(arguments.embedded, dims.tgt_len, d_embed);
    let bias = if C::HAS_C { &[] } else { arguments.last };
    // [y; c] W + b: all steps' y at once, c as it comes.
    let mut gates = biases::<C>(arguments.input_bias, bias).repeat(n);
    let embedded = Mat::rows(&embedded, n, d_embed, d_embed);
    packed.embedded.add(&mut gates, embedded, none);
    let mut queries = arguments.query_bias.repeat(n);
    let mut hidden = vec![0.0; n * d];
    let mut context = vec![0.0; n * d_memory];
    let mut weights = vec![0.0; n * src_len];
    let mut cells = vec![0.0; n * d_cell];
    let first_hidden = gather_rows(&steps.rows, arguments.hidden, d);
    let first_cell = gather_rows(&steps.rows, arguments.last, d_cell);
    let key_factors = key_factors(&steps.rows, arguments, dims);
    let mut query_factors = vec![0.0; d_attn];
    for t in 0..steps.len() {
        let now = steps.at(t);
        let rows = now.len();
        // The states before the step, which the cell makes those after it.
        steps.carry(t, &first_hidden, &mut hidden, d);
        steps.carry(t, &first_cell, &mut cells, d_cell);
        let left = Mat::rows(&hidden[now.start * d..], rows, d, d);
        let query = &mut queries[now.start * d_attn..];
        product(query, d_attn, true, left, &packed.query, none);
        for (slot, position) in now.clone().enumerate() {
            let _span = span(Kind::Attention);
            let (keys, memory) = arguments.source(steps.rows[slot], dims);
            let query = row(&queries, position, d_attn);
            let query = Factored {
                raw: query,
                factors: factors_into(query, &mut query_factors).then_some(&query_factors),
            };
            let keys = Factored {
                raw: keys,
                factors: key_factors[slot].as_deref(),
            };
            let weights = &mut weights[position * src_len..][..memory.len() / d_memory];
            scores(query, keys, arguments.v, weights);
            let context = &mut context[position * d_memory..][..d_memory];
            vectorise(
                #[inline(always)]
                || {
                    softmax(weights);
                    add_weighted(context, weights, memory);
                },
            );
        }
        let left_context = Mat::rows(&context[now.start * d_memory..], rows, d_memory, d_memory);
        let sums = &mut gates[now.start * SLOTS * d..];
        packed.context.add(sums, left_context, none);
        product(sums, SLOTS * d, true, left, &packed.recurrent, none);
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
    }
    Saved {
        rows: steps.rows,
        hidden,
        context,
        weights,
        queries,
        gates,
        cells,
    }
}
