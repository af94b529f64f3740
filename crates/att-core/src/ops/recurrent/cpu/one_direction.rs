//! All steps of some rows in one direction.

use std::ops::Range;

use gemm::Parallelism;

use super::Saved;
use super::cell::{Before, CpuCell};
use super::gates::{InputWeights, SLOTS, biases, push_biases};
use super::kernel::{Arguments, Sizes};
use super::weights::Weights;
use crate::ops::gemm::Mat;
use crate::ops::rows::{row, row_mut};
use crate::ops::simd::vectorise;
use crate::ops::steps::{Steps, gather_rows};
use crate::ops::work::{Kind, span};

/// The steps of one share in one direction.
pub(super) struct OneDirection<'a> {
    pub(super) steps: &'a Steps,
    /// Where each position is read, see [`Sequences::places`](super::Sequences::places).
    pub(super) places: &'a [usize],
    pub(super) sizes: Sizes,
    pub(super) within_step: Parallelism,
}

/// The weights of a layer.
pub(super) struct LayerWeights<'a> {
    pub(super) input: InputWeights<'a>,
    pub(super) recurrent: Weights<'a>,
}

/// The states of each row at an end of its sequence, `[rows, d]`, or their gradients.
pub(super) struct Ends {
    pub(super) hidden: Vec<f32>,
    /// Empty where the cell has none.
    pub(super) cell: Vec<f32>,
}

impl OneDirection<'_> {
    /// The steps in groups whose input is projected at once: as many as the cache has room for until
    /// the steps have read the projection.
    fn blocks(&self) -> Vec<Range<usize>> {
        const LINES: usize = 96;
        let (mut blocks, mut start) = (Vec::new(), 0);
        for t in 0..self.steps.len() {
            if self.steps.at(t).end - self.steps.at(start).start > LINES && t > start {
                blocks.push(start..t);
                start = t;
            }
        }
        blocks.push(start..self.steps.len());
        blocks.retain(|block| !block.is_empty());
        blocks
    }

    /// The positions of some steps.
    fn positions(&self, block: &Range<usize>) -> Range<usize> {
        self.steps.at(block.start).start..self.steps.at(block.end - 1).end
    }

    /// Writes the states of each position to its part of `out`.
    pub(super) fn forward<C: CpuCell>(
        &self,
        layer: &Arguments,
        weights: &LayerWeights,
        mut out: Vec<&mut [f32]>,
        keep: bool,
    ) -> (Saved, Ends) {
        let Sizes { d_input, d } = self.sizes;
        let d_c = if C::HAS_C { d } else { 0 };
        let mut h = gather_rows(&self.steps.rows, layer.hidden, d);
        let mut c = gather_rows(&self.steps.rows, layer.cell, d_c);
        let kept = if keep { self.steps.positions() } else { 0 };
        let mut saved = Saved {
            gates: Vec::with_capacity(kept * SLOTS * d),
            hiddens: Vec::with_capacity(kept * d),
            cells: Vec::with_capacity(kept * d_c),
        };
        let width = C::PARTS * d;
        // None where each row has a bias of its own.
        let shared = (layer.input_bias.len() == width)
            .then(|| biases::<C>(layer.input_bias, layer.recurrent_bias));
        for block in self.blocks() {
            let positions = self.positions(&block);
            if !keep {
                saved.gates.clear();
            }
            let from = saved.gates.len();
            for t in block.clone() {
                for &index in &self.steps.rows[..self.steps.at(t).len()] {
                    if let Some(line) = &shared {
                        saved.gates.extend_from_slice(line);
                        continue;
                    }
                    let input_bias = row(layer.input_bias, index, width);
                    push_biases::<C>(&mut saved.gates, input_bias, layer.recurrent_bias);
                }
            }
            let gates = &mut saved.gates[from..];
            let x = gather_rows(&self.places[positions.clone()], layer.input, d_input);
            let x = Mat::rows(&x, positions.len(), d_input, d_input);
            weights.input.add(gates, x, self.within_step);
            for t in block {
                let now = self.steps.at(t);
                let gates = &mut gates[(now.start - positions.start) * SLOTS * d..];
                // Many sequences start from zeros: then there is nothing to add.
                if t > 0 || h.iter().any(|&h| h != 0.0) {
                    let h = Mat::rows(&h, now.len(), d, d);
                    let weights = &weights.recurrent;
                    weights.times(gates, SLOTS * d, true, h, self.within_step);
                }
                if keep {
                    saved.hiddens.extend_from_slice(&h[..now.len() * d]);
                    saved.cells.extend_from_slice(&c[..now.len() * d_c]);
                }
                vectorise(
                    #[inline(always)]
                    || {
                        let _span = span(Kind::Cells);
                        for (i, position) in now.clone().enumerate() {
                            let (h, c) = (row_mut(&mut h, i, d), row_mut(&mut c, i, d_c));
                            C::forward(row_mut(gates, i, SLOTS * d), h, c);
                            out[position].copy_from_slice(h);
                        }
                    },
                );
            }
        }
        (saved, Ends { hidden: h, cell: c })
    }

    /// Back-propagation through time, from the gradients of the states that were given out (`up`, by
    /// their place) and of the last ones. Writes the gradient of the input of each position to its
    /// part of `d_input`, and those of the sums over the gates; returns those of the first states.
    pub(super) fn backward<'g, C: CpuCell>(
        &self,
        up: impl Fn(usize) -> &'g [f32],
        last: Ends,
        saved: &mut Saved,
        transposed: &LayerWeights,
        mut d_input: Option<Vec<&mut [f32]>>,
    ) -> Ends {
        let Sizes { d_input: d_in, d } = self.sizes;
        let d_c = if C::HAS_C { d } else { 0 };
        // What comes to a row from behind: at its last step the gradient of its last state.
        let (mut dh, mut dc) = (last.hidden, last.cell);
        let mut lines = Vec::new();
        for block in self.blocks().into_iter().rev() {
            let positions = self.positions(&block);
            for t in block.rev() {
                let now = self.steps.at(t);
                let gates = &mut saved.gates[now.start * SLOTS * d..];
                vectorise(
                    #[inline(always)]
                    || {
                        let _span = span(Kind::Cells);
                        for (i, position) in now.clone().enumerate() {
                            let before = Before {
                                h: row(&saved.hiddens, position, d),
                                c: row(&saved.cells, position, d_c),
                            };
                            C::backward(
                                up(self.places[position]),
                                before,
                                row_mut(gates, i, SLOTS * d),
                                row_mut(&mut dh, i, d),
                                row_mut(&mut dc, i, d_c),
                            );
                        }
                    },
                );
                // What passes by the product of an LSTM is all in `dc`.
                let accumulate = !C::HAS_C;
                let through = Mat::rows(gates, now.len(), C::PARTS * d, SLOTS * d);
                let weights = &transposed.recurrent;
                weights.times(&mut dh, d, accumulate, through, self.within_step);
            }
            if let Some(d_input) = &mut d_input {
                let gates = &saved.gates[positions.start * SLOTS * d..];
                lines.resize(positions.len() * d_in, 0.0);
                transposed.input.back(
                    &mut lines,
                    d_in,
                    false,
                    gates,
                    positions.len(),
                    self.within_step,
                );
                for (line, position) in lines.chunks_exact(d_in).zip(positions) {
                    d_input[position].copy_from_slice(line);
                }
            }
        }
        Ends {
            hidden: dh,
            cell: dc,
        }
    }
}
