//! One row of one step on slices.

use crate::ops::recurrent::cpu::{Before, CpuCell, Up};
use crate::ops::simd::{sigmoid, tanh};

pub(in crate::ops) struct LstmCell;

impl CpuCell for LstmCell {
    const PARTS: usize = 4;
    const HAS_C: bool = true;

    #[inline(always)]
    fn forward(x: &[f32], _bias: &[f32], gates: &mut [f32], h: &mut [f32], c: &mut [f32]) {
        let d = h.len();
        let (x_i, x_f) = (&x[..d], &x[d..2 * d]);
        let (x_g, x_o) = (&x[2 * d..3 * d], &x[3 * d..4 * d]);
        let (i, rest) = gates.split_at_mut(d);
        let (f, rest) = rest.split_at_mut(d);
        let (g, o) = rest.split_at_mut(d);
        let (o, c) = (&mut o[..d], &mut c[..d]);
        for j in 0..d {
            i[j] = sigmoid(x_i[j] + i[j]);
            f[j] = sigmoid(x_f[j] + f[j]);
            g[j] = tanh(x_g[j] + g[j]);
            o[j] = sigmoid(x_o[j] + o[j]);
            c[j] = f[j] * c[j] + i[j] * g[j];
            h[j] = o[j] * tanh(c[j]);
        }
    }

    #[inline(always)]
    fn backward(
        up: Up,
        before: Before,
        gates: &mut [f32],
        dh: &mut [f32],
        dc: &mut [f32],
        d_x: &mut [f32],
    ) {
        let d = dh.len();
        let (up_h, up_c) = (&up.h[..d], &up.c[..d]);
        let (c_before, dc) = (&before.c[..d], &mut dc[..d]);
        let (i, rest) = gates.split_at_mut(d);
        let (f, rest) = rest.split_at_mut(d);
        let (g, o) = rest.split_at_mut(d);
        let o = &mut o[..d];
        let (dx_i, rest) = d_x.split_at_mut(d);
        let (dx_f, rest) = rest.split_at_mut(d);
        let (dx_g, dx_o) = rest.split_at_mut(d);
        let dx_o = &mut dx_o[..d];
        for j in 0..d {
            let tanh_c = tanh(f[j] * c_before[j] + i[j] * g[j]);
            let dh = up_h[j] + dh[j];
            let dc_now = up_c[j] + dc[j] + dh * o[j] * (1.0 - tanh_c * tanh_c);
            dc[j] = dc_now * f[j];
            let dz_i = dc_now * g[j] * i[j] * (1.0 - i[j]);
            let dz_f = dc_now * c_before[j] * f[j] * (1.0 - f[j]);
            let dz_g = dc_now * i[j] * (1.0 - g[j] * g[j]);
            let dz_o = dh * tanh_c * o[j] * (1.0 - o[j]);
            // z = x + y: both have the same gradient.
            (i[j], f[j], g[j], o[j]) = (dz_i, dz_f, dz_g, dz_o);
            (dx_i[j], dx_f[j], dx_g[j], dx_o[j]) = (dz_i, dz_f, dz_g, dz_o);
        }
    }
}
