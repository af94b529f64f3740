//! One row of one step on slices.

use crate::ops::recurrent::cpu::{Before, CpuCell, Piece};
use crate::ops::simd::{sigmoid, tanh};

/// The slots are r, z, `y_n + b_n`, n.
pub(in crate::ops) struct GruCell;

impl CpuCell for GruCell {
    const PARTS: usize = 3;
    const HAS_C: bool = false;
    // The reset gate stands between the two products' parts of n: they don't add up.
    const INPUT: &'static [Piece] = &[
        Piece {
            parts: 0..2,
            slot: 0,
        },
        Piece {
            parts: 2..3,
            slot: 3,
        },
    ];

    #[inline(always)]
    fn forward(gates: &mut [f32], h: &mut [f32], _c: &mut [f32]) {
        let d = h.len();
        let (r, rest) = gates.split_at_mut(d);
        let (z, rest) = rest.split_at_mut(d);
        let (y, n) = rest.split_at_mut(d);
        let n = &mut n[..d];
        for j in 0..d {
            r[j] = sigmoid(r[j]);
            z[j] = sigmoid(z[j]);
            n[j] = tanh(n[j] + r[j] * y[j]);
            h[j] = n[j] + z[j] * (h[j] - n[j]);
        }
    }

    #[inline(always)]
    fn backward(up: &[f32], before: Before, gates: &mut [f32], dh: &mut [f32], _dc: &mut [f32]) {
        let d = dh.len();
        let (up, h_before) = (&up[..d], &before.h[..d]);
        let (r, rest) = gates.split_at_mut(d);
        let (z, rest) = rest.split_at_mut(d);
        let (y, n) = rest.split_at_mut(d);
        let n = &mut n[..d];
        for j in 0..d {
            let dh_now = up[j] + dh[j];
            dh[j] = dh_now * z[j];
            let dn = dh_now * (1.0 - z[j]) * (1.0 - n[j] * n[j]);
            let dz = dh_now * (h_before[j] - n[j]) * z[j] * (1.0 - z[j]);
            let dr = dn * y[j] * r[j] * (1.0 - r[j]);
            (r[j], z[j], y[j], n[j]) = (dr, dz, dn * r[j], dn);
        }
    }
}
