//! One row of one step on slices.

use crate::ops::recurrent::cpu::{Before, CpuCell, Up};
use crate::ops::simd::{sigmoid, tanh};

pub(in crate::ops) struct GruCell;

impl CpuCell for GruCell {
    const PARTS: usize = 3;
    const HAS_C: bool = false;

    #[inline(always)]
    fn forward(x: &[f32], bias: &[f32], gates: &mut [f32], h: &mut [f32], _c: &mut [f32]) {
        let d = h.len();
        let (x_r, x_z, x_n) = (&x[..d], &x[d..2 * d], &x[2 * d..3 * d]);
        let (r, rest) = gates.split_at_mut(d);
        let (z, rest) = rest.split_at_mut(d);
        let (n, b) = rest.split_at_mut(d);
        let (b, bias) = (&mut b[..d], &bias[..d]);
        for j in 0..d {
            r[j] = sigmoid(x_r[j] + r[j]);
            z[j] = sigmoid(x_z[j] + z[j]);
            b[j] = n[j] + bias[j];
            n[j] = tanh(x_n[j] + r[j] * b[j]);
            h[j] = n[j] + z[j] * (h[j] - n[j]);
        }
    }

    #[inline(always)]
    fn backward(
        up: Up,
        before: Before,
        gates: &mut [f32],
        dh: &mut [f32],
        _dc: &mut [f32],
        d_x: &mut [f32],
    ) {
        let d = dh.len();
        let (up, h_before) = (&up.h[..d], &before.h[..d]);
        let (r, rest) = gates.split_at_mut(d);
        let (z, rest) = rest.split_at_mut(d);
        let (n, b) = rest.split_at_mut(d);
        let b = &b[..d];
        let (dx_r, rest) = d_x.split_at_mut(d);
        let (dx_z, dx_n) = rest.split_at_mut(d);
        let dx_n = &mut dx_n[..d];
        for j in 0..d {
            let dh_now = up[j] + dh[j];
            dh[j] = dh_now * z[j];
            let dn = dh_now * (1.0 - z[j]) * (1.0 - n[j] * n[j]);
            let dz = dh_now * (h_before[j] - n[j]) * z[j] * (1.0 - z[j]);
            let dr = dn * b[j] * r[j] * (1.0 - r[j]);
            (dx_r[j], dx_z[j], dx_n[j]) = (dr, dz, dn);
            (r[j], z[j], n[j]) = (dr, dz, dn * r[j]);
        }
    }
}
