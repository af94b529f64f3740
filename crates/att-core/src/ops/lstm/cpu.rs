//! One row of one step on slices.

use crate::ops::recurrent::cpu::{Before, CpuCell, Piece};
use crate::ops::simd::{sigmoid, tanh};

/// The slots are i, f, g, o.
pub(in crate::ops) struct LstmCell;

impl CpuCell for LstmCell {
    const PARTS: usize = 4;
    const HAS_C: bool = true;
    const INPUT: &'static [Piece] = &[Piece {
        parts: 0..4,
        slot: 0,
    }];

    #[inline(always)]
    fn forward(gates: &mut [f32], h: &mut [f32], c: &mut [f32]) {
        let d = h.len();
        let (i, rest) = gates.split_at_mut(d);
        let (f, rest) = rest.split_at_mut(d);
        let (g, o) = rest.split_at_mut(d);
        let (o, c) = (&mut o[..d], &mut c[..d]);
        for j in 0..d {
            i[j] = sigmoid(i[j]);
            f[j] = sigmoid(f[j]);
            g[j] = tanh(g[j]);
            o[j] = sigmoid(o[j]);
            c[j] = f[j] * c[j] + i[j] * g[j];
            h[j] = o[j] * tanh(c[j]);
        }
    }

    #[inline(always)]
    fn backward(up: &[f32], before: Before, gates: &mut [f32], dh: &mut [f32], dc: &mut [f32]) {
        let d = dh.len();
        let up = &up[..d];
        let (c_before, dc) = (&before.c[..d], &mut dc[..d]);
        let (i, rest) = gates.split_at_mut(d);
        let (f, rest) = rest.split_at_mut(d);
        let (g, o) = rest.split_at_mut(d);
        let o = &mut o[..d];
        for j in 0..d {
            let tanh_c = tanh(f[j] * c_before[j] + i[j] * g[j]);
            let dh = up[j] + dh[j];
            let dc_now = dc[j] + dh * o[j] * (1.0 - tanh_c * tanh_c);
            dc[j] = dc_now * f[j];
            let dz_i = dc_now * g[j] * i[j] * (1.0 - i[j]);
            let dz_f = dc_now * c_before[j] * f[j] * (1.0 - f[j]);
            let dz_g = dc_now * i[j] * (1.0 - g[j] * g[j]);
            let dz_o = dh * tanh_c * o[j] * (1.0 - o[j]);
            (i[j], f[j], g[j], o[j]) = (dz_i, dz_f, dz_g, dz_o);
        }
    }
}
