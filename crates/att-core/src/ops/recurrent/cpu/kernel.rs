//! All directions and shares, on slices.

use gemm::Parallelism;

use super::cell::{CpuCell, Up};
use super::plan::{Pieces, Plan};
use super::steps::Steps;
use super::weights::Weights;
use crate::ops::gemm::{Mat, matmul};
use crate::ops::recurrent::order::{Sequences, Share};
use crate::ops::recurrent::{Memory, Pass};
use crate::ops::rows::{row, row_mut};

/// The arguments of a direction, and what follows from the kind of cell.
pub(super) struct Arguments<'a> {
    pub(super) inputs: &'a [f32],
    pub(super) recurrent: &'a [f32],
    pub(super) hidden: &'a [f32],
    pub(super) cell: &'a [f32],
    pub(super) bias: &'a [f32],
}

impl<'a> Arguments<'a> {
    pub(super) fn new<C: CpuCell>(pass: Pass<&'a [f32]>) -> Self {
        Self {
            inputs: pass.inputs,
            recurrent: pass.recurrent,
            hidden: pass.hidden,
            cell: if C::HAS_C { pass.extra } else { &[] },
            bias: if C::HAS_C { &[] } else { pass.extra },
        }
    }
}

/// The states, `[states, batch, len, directions * d]`, and the memories of each direction and
/// share (empty unless `keep`).
pub(super) fn forward<C: CpuCell>(
    passes: Vec<Pass<&[f32]>>,
    sequences: &Sequences,
    d: usize,
    keep: bool,
) -> (Vec<f32>, Vec<Memory<Vec<f32>>>) {
    let passes: Vec<_> = passes.into_iter().map(Arguments::new::<C>).collect();
    let width = C::PARTS * d;
    let (directions, all) = (passes.len(), sequences.batch() * sequences.len);
    let plan = Plan::new(sequences, d * width);
    let lines = plan.shares.iter().map(Share::real).sum();
    let weights = plan.each(passes.iter().collect(), |pass| {
        Weights::new(Mat::rows(pass.recurrent, d, width, width), lines)
    });

    let kinds = 1 + usize::from(C::HAS_C);
    let mut states = vec![0.0; kinds * all * directions * d];
    let mut pieces = Pieces::new(&mut states, d);
    let mut jobs = Vec::new();
    for (k, &direction) in sequences.directions.iter().enumerate() {
        for share in &plan.shares {
            let positions = share.positions(sequences, direction);
            let mut of_kind = |kind: usize| {
                let piece = |&position: &usize| (kind * all + position) * directions + k;
                pieces.take(positions.iter().map(piece))
            };
            let (h, c) = (of_kind(0), if C::HAS_C { of_kind(1) } else { Vec::new() });
            jobs.push((k, share, positions, h, c));
        }
    }
    let memories = plan.each(jobs, |(k, share, positions, h, c)| {
        let steps = Steps {
            share,
            positions: &positions,
            d,
            within_step: plan.within_step,
        };
        steps.forward::<C>(&passes[k], &weights[k], h, c, keep)
    });
    (states, memories)
}

/// The gradients of each direction's arguments; the gates of the memories are used up.
pub(super) fn backward<C: CpuCell>(
    grad: &[f32],
    recurrent: &[&[f32]],
    mut memories: Vec<Memory<Vec<f32>>>,
    sequences: &Sequences,
    d: usize,
) -> Vec<Pass<Vec<f32>>> {
    let width = C::PARTS * d;
    let (directions, all) = (recurrent.len(), sequences.batch() * sequences.len);
    // As many shares as the forward pass had, whatever thread this is.
    let n_shares = memories.len() / directions;
    let plan = Plan::with_shares(sequences, n_shares, true);
    let lines = plan.shares.iter().map(Share::real).sum();
    let transposed = plan.each(recurrent.to_vec(), |recurrent| {
        Weights::transposed(Mat::rows(recurrent, d, width, width).t(), lines)
    });

    let mut d_inputs: Vec<_> = (0..directions).map(|_| vec![0.0; all * width]).collect();
    let mut jobs = Vec::new();
    for (k, (d_inputs, memories)) in d_inputs
        .iter_mut()
        .zip(memories.chunks_exact_mut(n_shares))
        .enumerate()
    {
        let mut pieces = Pieces::new(d_inputs, width);
        for (share, memory) in plan.shares.iter().zip(memories) {
            let positions = share.positions(sequences, sequences.directions[k]);
            let d_x = pieces.take(positions.iter().copied());
            jobs.push((k, share, positions, memory, d_x));
        }
    }
    let d_states = plan.each(jobs, |(k, share, positions, memory, d_x)| {
        let steps = Steps {
            share,
            positions: &positions,
            d,
            within_step: plan.within_step,
        };
        let up = |position: usize| Up {
            h: row(grad, position * directions + k, d),
            c: if C::HAS_C {
                row(grad, (all + position) * directions + k, d)
            } else {
                &[]
            },
        };
        steps.backward::<C>(up, memory, &transposed[k], d_x)
    });

    let rows = sequences.batch();
    let finish = |(k, inputs): (usize, Vec<f32>)| {
        let of_direction = k * n_shares..(k + 1) * n_shares;
        let d_states = &d_states[of_direction.clone()];
        let mut hidden = vec![0.0; rows * d];
        let mut cell = vec![0.0; if C::HAS_C { rows * d } else { 0 }];
        for (share, [dh, dc]) in plan.shares.iter().zip(d_states) {
            scatter(&mut hidden, dh, &share.rows, d);
            scatter(&mut cell, dc, &share.rows, if C::HAS_C { d } else { 0 });
        }
        let (recurrent, bias) = of_products::<C>(&memories[of_direction], d);
        Pass {
            inputs,
            recurrent,
            hidden,
            extra: if C::HAS_C { cell } else { bias },
        }
    };
    plan.each(d_inputs.into_iter().enumerate().collect(), finish)
}

fn scatter(out: &mut [f32], lines: &[f32], rows: &[usize], width: usize) {
    for (i, &at) in rows.iter().enumerate() {
        row_mut(out, at, width).copy_from_slice(row(lines, i, width));
    }
}

/// The gradients of W and of the bias that is added to the last part of `h W`, from the gradients
/// of the products, which stand where the gates were.
fn of_products<C: CpuCell>(memories: &[Memory<Vec<f32>>], d: usize) -> (Vec<f32>, Vec<f32>) {
    let width = C::PARTS * d;
    let (mut recurrent, mut bias) = (vec![0.0; d * width], vec![0.0; d]);
    for (index, memory) in memories.iter().enumerate() {
        let lines = memory.hiddens.len() / d;
        matmul(
            &mut recurrent,
            width,
            index > 0,
            Mat::rows(&memory.hiddens, lines, d, d).t(),
            Mat::rows(&memory.gates, lines, width, 4 * d),
            Parallelism::Rayon(0),
        );
        if !C::HAS_C {
            for dy in memory.gates.chunks_exact(4 * d) {
                for (sum, x) in bias.iter_mut().zip(&dy[width - d..width]) {
                    *sum += x;
                }
            }
        }
    }
    (recurrent, bias)
}
