//! The recurrence on slices. Each thread takes rows of the batch through all steps ([`Steps`]), so
//! threads meet only at the ends; all numbers of one step stand side by side.

use gemm::Parallelism;
use rayon::prelude::*;

use super::cpu::{ARGUMENTS, Lengths};
use crate::ops::additive_score::kernel::{
    Factored, factors, factors_into, scores, scores_backward,
};
use crate::ops::gemm::{Mat, Packed, matmul, product};
use crate::ops::gru::cpu::GruCell;
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::recurrent::cpu::{Before, CpuCell, Up};
use crate::ops::simd::{exp, vectorise};
use crate::ops::steps::{Steps, gather_rows};

#[derive(Clone, Copy)]
pub(super) struct Dims {
    pub(super) batch: usize,
    pub(super) tgt_len: usize,
    pub(super) src_len: usize,
    pub(super) d_embed: usize,
    pub(super) d_hidden: usize,
    pub(super) d_attn: usize,
    pub(super) d_memory: usize,
    pub(super) lstm: bool,
}

impl Dims {
    /// Size of a step's output: state, context and weights.
    pub(super) fn d_states(&self) -> usize {
        self.d_hidden + self.d_memory + self.src_len
    }

    /// Size of the gates' inputs.
    fn d_gates(&self) -> usize {
        self.d_hidden * if self.lstm { 4 } else { 3 }
    }

    /// Size of what is carried besides the hidden state.
    fn d_cell(&self) -> usize {
        if self.lstm { self.d_hidden } else { 0 }
    }

    /// Multiplications of a step's products.
    fn work(&self) -> usize {
        self.d_hidden * (self.d_attn + self.d_gates()) + self.d_memory * self.d_gates()
    }
}

/// The arguments of the operation by name.
#[derive(Clone, Copy)]
struct Arguments<'a> {
    embedded: &'a [f32],
    hidden: &'a [f32],
    keys: &'a [f32],
    memory: &'a [f32],
    query_weight: &'a [f32],
    query_bias: &'a [f32],
    v: &'a [f32],
    input_weight: &'a [f32],
    input_bias: &'a [f32],
    recurrent_weight: &'a [f32],
    /// The cell of an LSTM, the recurrent bias of a GRU.
    last: &'a [f32],
    src_lengths: &'a [usize],
}

impl<'a> Arguments<'a> {
    fn new(tensors: [&'a [f32]; ARGUMENTS], lengths: &'a Lengths) -> Self {
        let [
            embedded,
            hidden,
            keys,
            memory,
            query_weight,
            query_bias,
            v,
            input_weight,
            input_bias,
            recurrent_weight,
            last,
        ] = tensors;
        Self {
            embedded,
            hidden,
            keys,
            memory,
            query_weight,
            query_bias,
            v,
            input_weight,
            input_bias,
            recurrent_weight,
            last,
            src_lengths: &lengths.src,
        }
    }

    /// The part of the input weights that meets the embedding, and the one that meets the context.
    fn input_parts(&self, dims: Dims) -> (Mat<'a>, Mat<'a>) {
        let gates = dims.d_gates();
        let (embed, context) = self.input_weight.split_at(dims.d_embed * gates);
        (
            Mat::rows(embed, dims.d_embed, gates, gates),
            Mat::rows(context, dims.d_memory, gates, gates),
        )
    }

    /// The real keys of row `row`, and its real states.
    fn source(&self, row: usize, dims: Dims) -> (&'a [f32], &'a [f32]) {
        let len = self.src_lengths[row];
        (
            &self.keys[row * dims.src_len * dims.d_attn..][..len * dims.d_attn],
            &self.memory[row * dims.src_len * dims.d_memory..][..len * dims.d_memory],
        )
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
    /// W_q s + b_q of each position.
    queries: Vec<f32>,
    /// The gates (and of a GRU the recurrent part of the candidate), `4 * d_hidden` wide.
    gates: Vec<f32>,
    /// The cells of an LSTM.
    cells: Vec<f32>,
}

/// The states, `[batch, tgt_len, d_states]`.
pub(super) fn forward(
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
        for (position, (row, t)) in steps.each().enumerate() {
            let out = &mut states[(row * dims.tgt_len + t) * d_states..][..d_states];
            let (hidden, rest) = out.split_at_mut(d_hidden);
            let (context, weights) = rest.split_at_mut(dims.d_memory);
            hidden.copy_from_slice(at(&part.hidden, position, d_hidden));
            context.copy_from_slice(at(&part.context, position, dims.d_memory));
            weights.copy_from_slice(at(&part.weights, position, dims.src_len));
        }
    }
    (states, saved)
}

fn threads(dims: Dims) -> usize {
    dims.batch / crate::ops::gemm::rows_per_thread(dims.batch, dims.tgt_len * dims.work()).max(1)
}

/// Row `position` of a matrix of `d` columns.
fn at(matrix: &[f32], position: usize, d: usize) -> &[f32] {
    &matrix[position * d..][..d]
}

fn at_mut(matrix: &mut [f32], position: usize, d: usize) -> &mut [f32] {
    &mut matrix[position * d..][..d]
}

struct PackedWeights {
    query: Packed,
    context: Packed,
    recurrent: Packed,
}

/// `rows` copies of a bias.
fn repeated(bias: &[f32], rows: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows * bias.len());
    for _ in 0..rows {
        out.extend_from_slice(bias);
    }
    out
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
    let mut x = repeated(arguments.input_bias, n);
    matmul(
        &mut x,
        d_gates,
        true,
        Mat::rows(&embedded, n, d_embed, d_embed),
        arguments.input_parts(dims).0,
        none,
    );
    let mut queries = repeated(arguments.query_bias, n);
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
            let (keys, memory) = arguments.source(steps.rows[slot], dims);
            let query = at(&queries, position, d_attn);
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
                    for (&weight, state) in weights.iter().zip(memory.chunks_exact(d_memory)) {
                        add_scaled(context, weight, state);
                    }
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
                for position in now.clone() {
                    C::forward(
                        at(&x, position, d_gates),
                        bias,
                        at_mut(&mut gates, position, 4 * d),
                        at_mut(&mut hidden, position, d),
                        at_mut(&mut cells, position, d_cell),
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

/// The factors of each row's real keys.
fn key_factors(rows: &[usize], arguments: Arguments, dims: Dims) -> Vec<Option<Vec<f32>>> {
    rows.iter()
        .map(|&row| factors(arguments.source(row, dims).0))
        .collect()
}

/// Scores to weights.
#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = exp(*score - max);
        sum += *score;
    }
    for weight in scores.iter_mut() {
        *weight /= sum;
    }
}

/// `sum += factor * x`.
#[inline(always)]
fn add_scaled(sum: &mut [f32], factor: f32, x: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += factor * x;
    }
}

/// `a . b`, in lanes.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The gradients of the arguments, given that of the states.
pub(super) fn backward(
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
    let mut parts: Vec<[Vec<f32>; ARGUMENTS]> = saved
        .into_par_iter()
        .map(|saved| {
            let steps = Steps::new(saved.rows.clone(), &lengths.tgt);
            let part = match dims.lstm {
                true => backward_part::<LstmCell>,
                false => backward_part::<GruCell>,
            };
            part(&steps, grad, saved, &transposed, arguments, dims)
        })
        .collect();

    // Of what belongs to rows each part has its own; of weights, their sum. In the order of the
    // parts, so that the same bytes come out.
    let rows: Vec<Vec<usize>> = Steps::deal(&lengths.tgt, parts.len())
        .into_iter()
        .map(|steps| steps.rows)
        .collect();
    std::array::from_fn(|argument| {
        let pieces = parts
            .iter_mut()
            .map(|part| std::mem::take(&mut part[argument]));
        if argument < 4 || (argument == ARGUMENTS - 1 && dims.lstm) {
            scattered(pieces, &rows, tensors[argument].len(), dims.batch)
        } else {
            pieces
                .reduce(|mut sum, piece| {
                    sum.iter_mut().zip(piece).for_each(|(sum, x)| *sum += x);
                    sum
                })
                .expect("at least one part")
        }
    })
}

/// Rows of a batch put to their places.
fn scattered(
    pieces: impl Iterator<Item = Vec<f32>>,
    rows: &[Vec<usize>],
    len: usize,
    batch: usize,
) -> Vec<f32> {
    let d = len / batch;
    let mut out = vec![0.0; len];
    for (piece, rows) in pieces.zip(rows) {
        for (numbers, &row) in piece.chunks_exact(d).zip(rows) {
            out[row * d..][..d].copy_from_slice(numbers);
        }
    }
    out
}

fn backward_part<C: CpuCell>(
    steps: &Steps,
    grad: &[f32],
    mut saved: Saved,
    transposed: &PackedWeights,
    arguments: Arguments,
    dims: Dims,
) -> [Vec<f32>; ARGUMENTS] {
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
                for (slot, position) in now.clone().enumerate() {
                    C::backward(
                        Up {
                            h: &grad_of(slot)[..d],
                            c: &up_cell,
                        },
                        Before {
                            h: at(&hidden_before, position, d),
                            c: at(&cells_before, position, d_cell),
                        },
                        at_mut(&mut saved.gates, position, 4 * d),
                        at_mut(&mut d_hidden, slot, d),
                        at_mut(&mut d_cells, slot, d_cell),
                        at_mut(&mut d_x, position, d_gates),
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
            let (keys, memory) = arguments.source(steps.rows[slot], dims);
            let len = memory.len() / d_memory;
            let weights = &at(&saved.weights, position, src_len)[..len];
            let d_context = at(&d_context, slot, d_memory);
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
                        add_scaled(d_state, weight, d_context);
                    }
                    let mean = dot(d_scores, weights);
                    for (d_score, &weight) in d_scores.iter_mut().zip(weights) {
                        *d_score = weight * (*d_score - mean);
                    }
                },
            );
            let query = at(&saved.queries, position, d_attn);
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

    let left = |matrix, d| Mat::rows(matrix, n, d, d).t();
    let right = |matrix, d| Mat::rows(matrix, n, d, d);
    let d_y = Mat::rows(&saved.gates, n, d_gates, 4 * d);
    let mut d_query_weight = vec![0.0; d * d_attn];
    let mut d_recurrent_weight = vec![0.0; d * d_gates];
    let before = left(&hidden_before, d);
    matmul(
        &mut d_query_weight,
        d_attn,
        false,
        before,
        right(&d_queries, d_attn),
        none,
    );
    matmul(&mut d_recurrent_weight, d_gates, false, before, d_y, none);
    let embedded = steps.gather(arguments.embedded, tgt_len, d_embed);
    let mut d_input_weight = vec![0.0; (d_embed + d_memory) * d_gates];
    let (by_embedded, by_context) = d_input_weight.split_at_mut(d_embed * d_gates);
    let d_x_rows = right(&d_x, d_gates);
    matmul(
        by_embedded,
        d_gates,
        false,
        left(&embedded, d_embed),
        d_x_rows,
        none,
    );
    matmul(
        by_context,
        d_gates,
        false,
        left(&saved.context, d_memory),
        d_x_rows,
        none,
    );

    let mut d_steps = vec![0.0; n * d_embed];
    let embed_weight = arguments.input_parts(dims).0;
    matmul(
        &mut d_steps,
        d_embed,
        false,
        d_x_rows,
        embed_weight.t(),
        none,
    );
    // By row of the part, as the others.
    let mut d_embedded = vec![0.0; n_rows * tgt_len * d_embed];
    for t in 0..steps.len() {
        for (slot, position) in steps.at(t).enumerate() {
            d_embedded[(slot * tgt_len + t) * d_embed..][..d_embed]
                .copy_from_slice(at(&d_steps, position, d_embed));
        }
    }
    let d_last = match C::HAS_C {
        true => d_cells,
        // Inside the reset gate: the candidate's third of the recurrent part.
        false => column_sums(&saved.gates, 4 * d)[2 * d..3 * d].to_vec(),
    };
    [
        d_embedded,
        d_hidden,
        d_keys,
        d_memory_out,
        d_query_weight,
        column_sums(&d_queries, d_attn),
        d_v,
        d_input_weight,
        column_sums(&d_x, d_gates),
        d_recurrent_weight,
        d_last,
    ]
}

fn column_sums(matrix: &[f32], d: usize) -> Vec<f32> {
    let mut sums = vec![0.0; d];
    vectorise(
        #[inline(always)]
        || {
            for row in matrix.chunks_exact(d) {
                add_scaled(&mut sums, 1.0, row);
            }
        },
    );
    sums
}
