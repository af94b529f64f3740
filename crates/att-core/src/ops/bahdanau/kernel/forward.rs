//! All steps, from the first.

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Arguments, Dims, PackedWeights, Saved, key_factors};
use crate::ops::additive_score::kernel::{Factored, factors_into, scores};
use crate::ops::attention_read::kernel::{add_weighted, softmax};
use crate::ops::bahdanau::cpu::{ARGUMENTS, Lengths};
use crate::ops::gemm::{Mat, Packed, matmul, product, rows_per_thread};
use crate::ops::gru::cpu::GruCell;
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::recurrent::cpu::CpuCell;
use crate::ops::rows::{row, row_mut};
use crate::ops::simd::vectorise;
use crate::ops::steps::{Steps, gather_rows};
use crate::ops::work::{Kind, span};

/// The states, `[batch, tgt_len, d_states]`.
pub(in crate::ops::bahdanau) fn forward(
    tensors: [&[f32]; ARGUMENTS],
    lengths: &Lengths,
    dims: Dims,
) -> (Vec<f32>, Vec<Saved>) {
    let arguments = Arguments::new(tensors, lengths);
    let (d_hidden, d_gates) = (dims.d_hidden, dims.d_gates());
    let packed = PackedWeights {
        query: Packed::new(Mat::rows(
            arguments.query_weight,
            d_hidden,
            dims.d_attn,
            dims.d_attn,
        )),
        context: Packed::new(arguments.input_parts(dims).1),
        recurrent: Packed::new(Mat::rows(
            arguments.recurrent_weight,
            d_hidden,
            d_gates,
            d_gates,
        )),
    };
    let saved: Vec<Saved> = Steps::deal(&lengths.tgt, threads(dims))
        .into_par_iter()
        .map(|steps| match dims.lstm {
            true => forward_part::<LstmCell>(steps, &packed, arguments, dims),
            false => forward_part::<GruCell>(steps, &packed, arguments, dims),
        })
        .collect();

    let d_states = dims.d_states();
    let mut states = vec![0.0; dims.batch * dims.tgt_len * d_states];
    for part in &saved {
        let steps = Steps::new(part.rows.clone(), &lengths.tgt);
        for (position, (b, t)) in steps.each().enumerate() {
            let out = &mut states[(b * dims.tgt_len + t) * d_states..][..d_states];
            let (hidden, rest) = out.split_at_mut(d_hidden);
            let (context, weights) = rest.split_at_mut(dims.d_memory);
            hidden.copy_from_slice(row(&part.hidden, position, d_hidden));
            context.copy_from_slice(row(&part.context, position, dims.d_memory));
            weights.copy_from_slice(row(&part.weights, position, dims.src_len));
        }
    }
    (states, saved)
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
    let (d_gates, d_cell) = (dims.d_gates(), dims.d_cell());
    let none = Parallelism::None;
    let n = steps.positions();
    let embedded = steps.gather(arguments.embedded, dims.tgt_len, d_embed);
    // [y; c] W + b: all steps' y at once, c as it comes.
    let mut x = arguments.input_bias.repeat(n);
    matmul(
        &mut x,
        d_gates,
        true,
        Mat::rows(&embedded, n, d_embed, d_embed),
        arguments.input_parts(dims).0,
        none,
    );
    let mut queries = arguments.query_bias.repeat(n);
    let mut hidden = vec![0.0; n * d];
    let mut context = vec![0.0; n * d_memory];
    let mut weights = vec![0.0; n * src_len];
    let mut gates = vec![0.0; n * 4 * d];
    let mut cells = vec![0.0; n * d_cell];
    let first_hidden = gather_rows(&steps.rows, arguments.hidden, d);
    let first_cell = gather_rows(&steps.rows, arguments.last, d_cell);
    let bias = if C::HAS_C { &[] } else { arguments.last };
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
        let z = &mut x[now.start * d_gates..];
        product(z, d_gates, true, left_context, &packed.context, none);
        let y = &mut gates[now.start * 4 * d..];
        product(y, 4 * d, false, left, &packed.recurrent, none);
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
