//! All steps of some rows in one direction.

use gemm::Parallelism;

use super::cell::{Before, CpuCell, Up};
use super::kernel::Arguments;
use super::weights::Weights;
use crate::ops::gemm::Mat;
use crate::ops::recurrent::Memory;
use crate::ops::recurrent::order::Share;
use crate::ops::rows::{row, row_mut};
use crate::ops::simd::vectorise;
use crate::ops::steps::gather_rows;
use crate::ops::work::{Kind, span};

/// All steps of one share in one direction.
pub(super) struct Steps<'a> {
    pub(super) share: &'a Share,
    pub(super) positions: &'a [usize],
    pub(super) d: usize,
    pub(super) within_step: Parallelism,
}

impl Steps<'_> {
    /// Writes the states of line `i` to `out_h[i]` and `out_c[i]`.
    pub(super) fn forward<C: CpuCell>(
        &self,
        pass: &Arguments,
        weights: &Weights,
        mut out_h: Vec<&mut [f32]>,
        mut out_c: Vec<&mut [f32]>,
        keep: bool,
    ) -> Memory<Vec<f32>> {
        let (d, width) = (self.d, C::PARTS * self.d);
        let d_c = if C::HAS_C { d } else { 0 };
        let (rows, lines) = (self.share.rows.len(), self.positions.len());
        let mut h = gather_rows(&self.share.rows, pass.hidden, d);
        let mut c = gather_rows(&self.share.rows, pass.cell, d_c);
        let (gate_lines, kept) = if keep { (lines, lines) } else { (rows, 0) };
        let mut gates = Vec::with_capacity(gate_lines * 4 * d);
        let mut hiddens = Vec::with_capacity(kept * d);
        let mut cells = Vec::with_capacity(kept * d_c);
        let mut line = 0;
        for &active in &self.share.active {
            // Step by step, so that the zeros are still in the cache when they are overwritten.
            let from = if keep { line * 4 * d } else { 0 };
            gates.resize(from + active * 4 * d, 0.0);
            let gates = &mut gates[from..];
            // Many sequences start from zeros: then the first product is what the gates are.
            if line > 0 || h.iter().any(|&h| h != 0.0) {
                let h = Mat::rows(&h, active, d, d);
                weights.times(gates, 4 * d, false, h, self.within_step);
            }
            if keep {
                hiddens.extend_from_slice(&h[..active * d]);
                cells.extend_from_slice(&c[..active * d_c]);
            }
            vectorise(
                #[inline(always)]
                || {
                    let _span = span(Kind::Cells);
                    for i in 0..active {
                        let x = row(pass.inputs, self.positions[line + i], width);
                        let (h, c) = (row_mut(&mut h, i, d), row_mut(&mut c, i, d_c));
                        C::forward(x, pass.bias, row_mut(gates, i, 4 * d), h, c);
                        out_h[line + i].copy_from_slice(h);
                        if C::HAS_C {
                            out_c[line + i].copy_from_slice(c);
                        }
                    }
                },
            );
            line += active;
        }
        Memory {
            gates,
            hiddens,
            cells: C::HAS_C.then_some(cells),
        }
    }

    /// Back-propagation through time. Writes the gradient of the input of line `i` to `d_x[i]`
    /// and those of the products over the gates; returns those of the initial states.
    pub(super) fn backward<'g, C: CpuCell>(
        &self,
        up: impl Fn(usize) -> Up<'g>,
        memory: &mut Memory<Vec<f32>>,
        transposed: &Weights,
        mut d_x: Vec<&mut [f32]>,
    ) -> [Vec<f32>; 2] {
        let (d, width) = (self.d, C::PARTS * self.d);
        let d_c = if C::HAS_C { d } else { 0 };
        let rows = self.share.rows.len();
        let (mut dh, mut dc) = (vec![0.0; rows * d], vec![0.0; rows * d_c]);
        let cells = memory.cells.as_deref().unwrap_or_default();
        let mut line = self.positions.len();
        for &active in self.share.active.iter().rev() {
            line -= active;
            let gates = &mut memory.gates[line * 4 * d..];
            vectorise(
                #[inline(always)]
                || {
                    let _span = span(Kind::Cells);
                    for i in 0..active {
                        let before = Before {
                            h: row(&memory.hiddens, line + i, d),
                            c: row(cells, line + i, d_c),
                        };
                        C::backward(
                            up(self.positions[line + i]),
                            before,
                            row_mut(gates, i, 4 * d),
                            row_mut(&mut dh, i, d),
                            row_mut(&mut dc, i, d_c),
                            d_x[line + i],
                        );
                    }
                },
            );
            // What passes by the product of an LSTM is all in `dc`.
            let accumulate = !C::HAS_C;
            let dy = Mat::rows(gates, active, width, 4 * d);
            transposed.times(&mut dh, d, accumulate, dy, self.within_step);
        }
        [dh, dc]
    }
}
