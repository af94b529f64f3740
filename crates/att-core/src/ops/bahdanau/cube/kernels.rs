//! The kernels of a step.

use burn_cubecl::cubecl::{self, prelude::*};

use crate::ops::cube::{UNITS, max_of_units, sum_of_units, tanh};
use crate::ops::{gru, lstm};

/// Units that share a key.
pub(super) const LANES: usize = 32;
/// Keys of a cube.
pub(super) const KEYS: usize = 8;

/// The sizes of a pass, and which step of it is meant.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Step {
    pub t: usize,
    pub batch: usize,
    pub tgt_len: usize,
    pub src_len: usize,
    pub d_attn: usize,
    pub d_memory: usize,
    /// d_hidden.
    pub d: usize,
    /// Columns of a row of what the state is multiplied into: query, then gates.
    pub width: usize,
}

#[cube]
impl Step {
    /// Which row and step of `[batch, tgt_len, ..]` a row of the batch has.
    fn line(&self, row: usize) -> usize {
        row * self.tgt_len + self.t
    }

    /// The first number of a row and step of `[batch, tgt_len, d + d_memory + src_len]`.
    fn out(&self, row: usize) -> usize {
        self.line(row) * (self.d + self.d_memory + self.src_len)
    }
}

/// The sum of one value of each of the [`LANES`] of a key, to the first of them.
#[cube]
fn sum_of_lanes(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    let lane = unit % LANES;
    sync_cube();
    shared[unit] = value;
    sync_cube();
    let mut half = (LANES / 2).runtime();
    while half > 0 {
        if lane < half {
            let other = shared[unit + half];
            shared[unit] += other;
        }
        sync_cube();
        half /= 2;
    }
    shared[unit]
}

/// `scores[row, s] = sum_a v[a] tanh(product[row, a] + keys[row, s, a])` of the real keys. A cube has
/// [`KEYS`] of a row.
#[cube(launch)]
pub(super) fn scores<F: Float>(
    product: &[F],
    keys: &[F],
    v: &[F],
    src_lengths: &[i32],
    scores: &mut [f32],
    step: Step,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS_Y as usize;
    let lane = UNIT_POS as usize % LANES;
    let s = CUBE_POS_X as usize * KEYS + UNIT_POS as usize / LANES;
    let is_real = s < usize::cast_from(src_lengths[row]);
    let mut shared = Shared::<[f32]>::new_slice(comptime!(KEYS * LANES));
    let mut score = 0.0f32;
    if is_real {
        let query = row * step.width;
        let key = (row * step.src_len + s) * step.d_attn;
        let mut a = lane;
        while a < step.d_attn {
            let y = tanh(f32::cast_from(product[query + a]) + f32::cast_from(keys[key + a]));
            score += f32::cast_from(v[a]) * y;
            a += LANES;
        }
    }
    let score = sum_of_lanes(score, &mut shared);
    if is_real && lane == 0 {
        scores[row * step.src_len + s] = score;
    }
}

/// Weights and context of each row, from its scores. A cube has [`UNITS`] columns of a row's context, and
/// the first one of a row writes its weights.
#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Saved` and `Step`
pub(super) fn read<F: Float>(
    scores: &[f32],
    product: &[F],
    memory: &[F],
    src_lengths: &[i32],
    tgt_lengths: &[i32],
    queries: &mut [F],
    weights: &mut [F],
    contexts: &mut [F],
    context: &mut [F],
    out: &mut [F],
    step: Step,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS_Y as usize;
    let unit = UNIT_POS as usize;
    let column = CUBE_POS_X as usize * UNITS + unit;
    let len = usize::cast_from(src_lengths[row]);
    let is_real = step.t < usize::cast_from(tgt_lengths[row]);
    let first = row * step.src_len;
    let mut shared = Shared::<[f32]>::new_slice(UNITS);
    let mut greatest = f32::MIN.runtime();
    let mut s = unit;
    while s < len {
        greatest = max(greatest, scores[first + s]);
        s += UNITS;
    }
    let greatest = max_of_units(greatest, &mut shared);
    let mut sum = 0.0f32;
    let mut s = unit;
    while s < len {
        sum += (scores[first + s] - greatest).exp();
        s += UNITS;
    }
    let sum = sum_of_units(sum, &mut shared);

    let mut of_column = 0.0f32;
    let mut from = 0usize.runtime();
    while from < step.src_len {
        let s = from + unit;
        let mut weight = 0.0f32;
        if s < len {
            weight = (scores[first + s] - greatest).exp() / sum;
        }
        sync_cube();
        shared[unit] = weight;
        sync_cube();
        if CUBE_POS_X == 0 && s < step.src_len {
            weights[step.line(row) * step.src_len + s] = F::cast_from(weight);
            let mut given = weight;
            if !is_real {
                given = 0.0f32;
            }
            out[step.out(row) + step.d + step.d_memory + s] = F::cast_from(given);
        }
        if column < step.d_memory {
            let here = min(step.src_len - from, UNITS);
            for i in 0..here {
                let at = (first + from + i) * step.d_memory + column;
                of_column += shared[i] * f32::cast_from(memory[at]);
            }
        }
        from += UNITS;
    }
    if column < step.d_memory {
        let value = F::cast_from(of_column);
        contexts[step.line(row) * step.d_memory + column] = value;
        context[row * step.d_memory + column] = value;
        let mut given = of_column;
        if !is_real {
            given = 0.0f32;
        }
        out[step.out(row) + step.d + column] = F::cast_from(given);
    }
    if column < step.d_attn {
        queries[step.line(row) * step.d_attn + column] = product[row * step.width + column];
    }
}

/// The states after the step, a unit for each number: an LSTM's, or a GRU's, whose `extra` is its bias.
#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Arguments`, `Saved` and `Step`
pub(super) fn cell<F: Float>(
    projected: &[F],
    of_context: &[F],
    product: &[F],
    extra: &[F],
    hidden: &[F],
    tgt_lengths: &[i32],
    hidden_now: &mut [F],
    cell_now: &mut [F],
    gates: &mut [F],
    hiddens: &mut [F],
    cells: &mut [F],
    out: &mut [F],
    step: Step,
    #[comptime] lstm: bool,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    let d = step.d;
    if at >= step.batch * d {
        terminate!();
    }
    let (row, column) = (at / d, at % d);
    let line = step.line(row);
    let parts = step.width - step.d_attn;
    let x = line * parts + column;
    let c = row * parts + column;
    let p = row * step.width + step.d_attn + column;
    let gate = line * 4 * d + column;
    let before = hidden[at];
    let mut h = if lstm {
        let now = lstm::cube::numbers(
            f32::cast_from(projected[x])
                + f32::cast_from(of_context[c])
                + f32::cast_from(product[p]),
            f32::cast_from(projected[x + d])
                + f32::cast_from(of_context[c + d])
                + f32::cast_from(product[p + d]),
            f32::cast_from(projected[x + 2 * d])
                + f32::cast_from(of_context[c + 2 * d])
                + f32::cast_from(product[p + 2 * d]),
            f32::cast_from(projected[x + 3 * d])
                + f32::cast_from(of_context[c + 3 * d])
                + f32::cast_from(product[p + 3 * d]),
            f32::cast_from(extra[at]),
        );
        lstm::cube::write_gates(gates, gate, d, &now);
        cells[line * d + column] = extra[at];
        cell_now[at] = F::cast_from(now.c);
        now.h
    } else {
        let y_n = f32::cast_from(product[p + 2 * d]) + f32::cast_from(extra[column]);
        let now = gru::cube::numbers(
            f32::cast_from(projected[x])
                + f32::cast_from(of_context[c])
                + f32::cast_from(product[p]),
            f32::cast_from(projected[x + d])
                + f32::cast_from(of_context[c + d])
                + f32::cast_from(product[p + d]),
            f32::cast_from(projected[x + 2 * d]) + f32::cast_from(of_context[c + 2 * d]),
            y_n,
            f32::cast_from(before),
        );
        gru::cube::write_gates(gates, gate, d, &now);
        gates[gate + 3 * d] = F::cast_from(y_n);
        now.h
    };
    hiddens[line * d + column] = before;
    hidden_now[at] = F::cast_from(h);
    if step.t >= usize::cast_from(tgt_lengths[row]) {
        h = 0.0f32;
    }
    out[step.out(row) + column] = F::cast_from(h);
}

/// The gradient through [`cell`], a unit for each number, given that of the result and what flows from
/// the step that follows (nothing into the last).
#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Arguments`, `Saved` and `Step`
pub(super) fn cell_backward<F: Float>(
    grad: &[F],
    gates: &[F],
    hiddens: &[F],
    cells: &[F],
    later_through: &[F],
    later_direct: &[F],
    tgt_lengths: &[i32],
    d_projected: &mut [F],
    d_of_context: &mut [F],
    d_products: &mut [F],
    d_product: &mut [F],
    direct: &mut [F],
    step: Step,
    #[comptime] lstm: bool,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    let d = step.d;
    if at >= step.batch * d {
        terminate!();
    }
    let (row, column) = (at / d, at % d);
    let line = step.line(row);
    let parts = step.width - step.d_attn;
    let x = line * parts + column;
    let c = row * parts + column;
    let p = row * step.width + step.d_attn + column;
    let all = line * step.width + step.d_attn + column;
    let gate = line * 4 * d + column;
    let mut dh = 0.0f32;
    if step.t < usize::cast_from(tgt_lengths[row]) {
        dh = f32::cast_from(grad[step.out(row) + column]);
    }
    let mut flow = 0.0f32;
    if step.t + 1 < step.tgt_len {
        dh += f32::cast_from(later_through[at]);
        flow = f32::cast_from(later_direct[at]);
    }
    if lstm {
        let through = lstm::cube::gradients::<F>(
            gates,
            gate,
            d,
            f32::cast_from(cells[line * d + column]),
            dh,
            flow,
        );
        lstm::cube::write_gates(d_projected, x, d, &through);
        lstm::cube::write_gates(d_of_context, c, d, &through);
        lstm::cube::write_gates(d_products, all, d, &through);
        lstm::cube::write_gates(d_product, p, d, &through);
        direct[at] = F::cast_from(through.c);
    } else {
        let through = gru::cube::gradients::<F>(
            gates,
            gate,
            d,
            f32::cast_from(hiddens[line * d + column]),
            dh + flow,
        );
        gru::cube::write_gates(d_projected, x, d, &through);
        gru::cube::write_gates(d_of_context, c, d, &through);
        gru::cube::write_product(d_products, all, d, &through);
        gru::cube::write_product(d_product, p, d, &through);
        direct[at] = F::cast_from(through.h);
    }
}

/// The gradient of each weight, `d_weights[row, s] = d_c[row] . memory[row, s]` and what reaches it from
/// the result, where `d_c` is what the products give and what reaches the context from the result. A
/// cube has [`KEYS`] of a row, and the first one of a row writes `d_c`.
#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is written above
pub(super) fn weights_backward<F: Float>(
    grad: &[F],
    d_context: &[F],
    memory: &[F],
    src_lengths: &[i32],
    tgt_lengths: &[i32],
    d_contexts: &mut [F],
    d_weights: &mut [f32],
    step: Step,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS_Y as usize;
    let unit = UNIT_POS as usize;
    let lane = unit % LANES;
    let s = CUBE_POS_X as usize * KEYS + unit / LANES;
    let is_key = s < usize::cast_from(src_lengths[row]);
    let is_real = step.t < usize::cast_from(tgt_lengths[row]);
    let given = step.out(row) + step.d;
    let mut shared = Shared::<[f32]>::new_slice(comptime!(KEYS * LANES));
    let mut along = 0.0f32;
    if is_key {
        let value = (row * step.src_len + s) * step.d_memory;
        let mut m = lane;
        while m < step.d_memory {
            let mut d_c = f32::cast_from(d_context[row * step.d_memory + m]);
            if is_real {
                d_c += f32::cast_from(grad[given + m]);
            }
            along += d_c * f32::cast_from(memory[value + m]);
            m += LANES;
        }
    }
    let along = sum_of_lanes(along, &mut shared);
    if is_key && lane == 0 {
        let mut d_weight = along;
        if is_real {
            d_weight += f32::cast_from(grad[given + step.d_memory + s]);
        }
        d_weights[row * step.src_len + s] = d_weight;
    }
    if CUBE_POS_X == 0 {
        let mut m = unit;
        while m < step.d_memory {
            let mut d_c = f32::cast_from(d_context[row * step.d_memory + m]);
            if is_real {
                d_c += f32::cast_from(grad[given + m]);
            }
            d_contexts[step.line(row) * step.d_memory + m] = F::cast_from(d_c);
            m += comptime!(KEYS * LANES);
        }
    }
}

/// The gradients of scores and query, given that of the weights: through the softmax, then through the
/// tanh, which is computed again. A cube has [`UNITS`] columns of a row's query, and the first one of a row
/// writes the gradient of its scores.
#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Arguments`, `Saved` and `Step`
pub(super) fn scores_backward<F: Float>(
    d_weights: &[f32],
    weights: &[F],
    queries: &[F],
    keys: &[F],
    v: &[F],
    src_lengths: &[i32],
    d_scores: &mut [F],
    d_products: &mut [F],
    d_product: &mut [F],
    step: Step,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS_Y as usize;
    let unit = UNIT_POS as usize;
    let a = CUBE_POS_X as usize * UNITS + unit;
    let len = usize::cast_from(src_lengths[row]);
    let first = row * step.src_len;
    let line = step.line(row);
    let mut shared = Shared::<[f32]>::new_slice(UNITS);
    let mut along = 0.0f32;
    let mut s = unit;
    while s < len {
        along += f32::cast_from(weights[line * step.src_len + s]) * d_weights[first + s];
        s += UNITS;
    }
    let along = sum_of_units(along, &mut shared);

    let mut query = 0.0f32;
    if a < step.d_attn {
        query = f32::cast_from(queries[line * step.d_attn + a]);
    }
    let mut through = 0.0f32;
    let mut from = 0usize.runtime();
    while from < step.src_len {
        let s = from + unit;
        let mut d_score = 0.0f32;
        if s < len {
            let weight = f32::cast_from(weights[line * step.src_len + s]);
            d_score = weight * (d_weights[first + s] - along);
        }
        sync_cube();
        shared[unit] = d_score;
        sync_cube();
        if CUBE_POS_X == 0 && s < step.src_len {
            d_scores[line * step.src_len + s] = F::cast_from(d_score);
        }
        if a < step.d_attn && from < len {
            let here = min(len - from, UNITS);
            for i in 0..here {
                let key = f32::cast_from(keys[(first + from + i) * step.d_attn + a]);
                let y = tanh(query + key);
                through += shared[i] * (1.0f32 - y * y);
            }
        }
        from += UNITS;
    }
    if a < step.d_attn {
        let d_query = F::cast_from(through * f32::cast_from(v[a]));
        d_products[line * step.width + a] = d_query;
        d_product[row * step.width + a] = d_query;
    }
}
