//! Lines of gates ([`CpuCell`]) of many positions, and what inputs and biases have to do with them.

use std::ops::Range;

use gemm::Parallelism;

use super::cell::CpuCell;
use super::weights::Weights;
use crate::ops::gemm::{Mat, matmul};
use crate::ops::rows::{add_rows, row_mut};
use crate::ops::steps::Steps;

/// Slots of a line.
pub(in crate::ops) const SLOTS: usize = 4;

/// Where the numbers of each piece stand: in `x W_x` and in a line.
fn pieces<C: CpuCell>(d: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    let numbers = move |parts: &Range<usize>| parts.start * d..parts.end * d;
    let pieces = C::INPUT.iter();
    pieces.map(move |piece| (numbers(&piece.parts), piece.slot * d))
}

/// W_x, cut into the pieces that lie together in a line.
pub(in crate::ops) struct InputWeights<'a> {
    pieces: Vec<InputPiece<'a>>,
    d: usize,
}

struct InputPiece<'a> {
    weights: Weights<'a>,
    /// Where it begins in a line.
    at: usize,
    width: usize,
}

impl<'a> InputWeights<'a> {
    /// Of W_x, `[d_input, PARTS * d]`, for products with `lines` lines in all.
    pub(in crate::ops) fn new<C: CpuCell>(weight: Mat<'a>, lines: usize) -> Self {
        Self::cut::<C>(weight, |piece| Weights::new(piece, lines))
    }

    /// Of the same, for the way [back](Self::back).
    pub(in crate::ops) fn transposed<C: CpuCell>(weight: Mat<'a>, lines: usize) -> Self {
        Self::cut::<C>(weight, |piece| Weights::transposed(piece.t(), lines))
    }

    fn cut<C: CpuCell>(weight: Mat<'a>, weights: impl Fn(Mat<'a>) -> Weights<'a>) -> Self {
        let [_, width] = weight.sizes();
        let d = width / C::PARTS;
        let piece = |(columns, at): (Range<usize>, usize)| InputPiece {
            width: columns.len(),
            weights: weights(weight.columns(columns)),
            at,
        };
        Self {
            pieces: pieces::<C>(d).map(piece).collect(),
            d,
        }
    }

    /// `gates += x W_x`, a line a row of x.
    pub(in crate::ops) fn add(&self, gates: &mut [f32], x: Mat, parallelism: Parallelism) {
        for piece in &self.pieces {
            let (gates, stride) = (&mut gates[piece.at..], SLOTS * self.d);
            piece.weights.times(gates, stride, true, x, parallelism);
        }
    }

    /// The gradient of x from that of the first `lines` lines, into (or, where `accumulate`, onto)
    /// `out`, `[lines, d_input]`.
    pub(in crate::ops) fn back(
        &self,
        out: &mut [f32],
        d_input: usize,
        mut accumulate: bool,
        gates: &[f32],
        lines: usize,
        parallelism: Parallelism,
    ) {
        for piece in &self.pieces {
            let of_piece = Mat::rows(&gates[piece.at..], lines, piece.width, SLOTS * self.d);
            let weights = &piece.weights;
            weights.times(out, d_input, accumulate, of_piece, parallelism);
            accumulate = true;
        }
    }
}

/// The gradient of W_x from that of the lines, into (or, where `accumulate`, onto) `out`,
/// `[d_input, PARTS * d]`; all threads.
pub(in crate::ops) fn input_weight_gradient<C: CpuCell>(
    out: &mut [f32],
    accumulate: bool,
    x: Mat,
    gates: &[f32],
    d: usize,
) {
    let [lines, _] = x.sizes();
    if lines == 0 {
        return;
    }
    for (columns, at) in pieces::<C>(d) {
        let of_piece = Mat::rows(&gates[at..], lines, columns.len(), SLOTS * d);
        let (out, threads) = (&mut out[columns.start..], Parallelism::Rayon(0));
        matmul(out, C::PARTS * d, accumulate, x.t(), of_piece, threads);
    }
}

/// The part of a line's slots that a GRU's bias in the reset gate is in.
fn recurrent_bias_slot<C: CpuCell>(d: usize) -> Range<usize> {
    (C::PARTS - 1) * d..C::PARTS * d
}

/// A line before any product: the biases.
pub(in crate::ops) fn biases<C: CpuCell>(input_bias: &[f32], recurrent_bias: &[f32]) -> Vec<f32> {
    let mut line = Vec::new();
    push_biases::<C>(&mut line, input_bias, recurrent_bias);
    line
}

/// Appends such a line.
pub(super) fn push_biases<C: CpuCell>(
    lines: &mut Vec<f32>,
    input_bias: &[f32],
    recurrent_bias: &[f32],
) {
    let d = input_bias.len() / C::PARTS;
    let start = lines.len();
    lines.resize(start + SLOTS * d, 0.0);
    let line = &mut lines[start..];
    for (columns, at) in pieces::<C>(d) {
        line[at..][..columns.len()].copy_from_slice(&input_bias[columns]);
    }
    if !C::HAS_C {
        line[recurrent_bias_slot::<C>(d)].copy_from_slice(recurrent_bias);
    }
}

/// Adds what is as wide as `x W_x` to a line.
pub(in crate::ops) fn add_to_line<C: CpuCell>(line: &mut [f32], projected: &[f32]) {
    let d = projected.len() / C::PARTS;
    for (columns, at) in pieces::<C>(d) {
        let sums = line[at..].iter_mut();
        sums.zip(&projected[columns]).for_each(|(sum, x)| *sum += x);
    }
}

/// The gradients of b and of a GRU's bias in the reset gate, from those of all lines.
pub(in crate::ops) fn bias_gradients<'a, C: CpuCell>(
    gates: impl Iterator<Item = &'a [f32]>,
    d: usize,
) -> [Vec<f32>; 2] {
    let mut sums = vec![0.0; SLOTS * d];
    gates.for_each(|gates| add_rows(&mut sums, gates));
    of_biases::<C>(&sums, d)
}

/// The same where each row of the batch has a b of its own, whose gradients are `[batch, PARTS * d]`.
pub(super) fn row_bias_gradients<'a, C: CpuCell>(
    shares: impl Iterator<Item = (&'a Steps, &'a [f32])>,
    batch: usize,
    d: usize,
) -> [Vec<f32>; 2] {
    let mut by_row = vec![0.0; batch * SLOTS * d];
    for (steps, gates) in shares {
        for (line, (row, _)) in gates.chunks_exact(SLOTS * d).zip(steps.each()) {
            for (sum, x) in row_mut(&mut by_row, row, SLOTS * d).iter_mut().zip(line) {
                *sum += x;
            }
        }
    }
    let [_, recurrent_bias] = bias_gradients::<C>([&by_row[..]].into_iter(), d);
    let rows = by_row.chunks_exact(SLOTS * d);
    let input_bias = rows.flat_map(|sums| {
        let [input_bias, _] = of_biases::<C>(sums, d);
        input_bias
    });
    [input_bias.collect(), recurrent_bias]
}

/// What a line of sums holds of the gradients of b and of a GRU's bias in the reset gate.
fn of_biases<C: CpuCell>(sums: &[f32], d: usize) -> [Vec<f32>; 2] {
    let mut input_bias = Vec::with_capacity(C::PARTS * d);
    for (columns, at) in pieces::<C>(d) {
        input_bias.extend_from_slice(&sums[at..][..columns.len()]);
    }
    let recurrent_bias = match C::HAS_C {
        true => Vec::new(),
        false => sums[recurrent_bias_slot::<C>(d)].to_vec(),
    };
    [input_bias, recurrent_bias]
}
