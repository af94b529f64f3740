//! One step as a CubeCL kernel, a unit for each number of the state.

use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use crate::ops::cube::{a_unit_each, dense, elem_type, empty_like, sigmoid, tanh, written};
use crate::ops::recurrent::cube::{Backward, Flow, Forward, Place};

/// The gates of one number of the state, what enters n by the reset gate, and h; or their gradients.
#[derive(CubeType, Clone, Copy)]
pub(in crate::ops) struct Numbers {
    pub r: f32,
    pub z: f32,
    pub n: f32,
    pub y_n: f32,
    pub h: f32,
}

/// A step of one number, given what goes into its gates and h before the step; `y_n` is the product's
/// part of n, with its bias.
#[cube]
pub(in crate::ops) fn numbers(r: f32, z: f32, n: f32, y_n: f32, h_before: f32) -> Numbers {
    let r = sigmoid(r);
    let z = sigmoid(z);
    let n = tanh(n + r * y_n);
    let h = n + z * (h_before - n);
    Numbers { r, z, n, y_n, h }
}

/// The gradients of what went into the gates of one number, and the part of that of h before the step
/// that does not pass by the product, given the gates, which stand at `at` and `d` apart with what the
/// product gave n behind them, and the gradient of h.
#[cube]
pub(in crate::ops) fn gradients<F: Float>(
    gates: &[F],
    at: usize,
    d: usize,
    h_before: f32,
    dh: f32,
) -> Numbers {
    let r = f32::cast_from(gates[at]);
    let z = f32::cast_from(gates[at + d]);
    let n = f32::cast_from(gates[at + 2 * d]);
    let y_n = f32::cast_from(gates[at + 3 * d]);
    let d_n = dh * (1.0f32 - z) * (1.0f32 - n * n);
    Numbers {
        r: d_n * y_n * r * (1.0f32 - r),
        z: dh * (h_before - n) * z * (1.0f32 - z),
        n: d_n,
        y_n: d_n * r,
        h: dh * z,
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Forward` and `step`
fn forward<F: Float>(
    inputs: &[F],
    product: &[F],
    bias: &[F],
    positions: &[i32],
    hidden: &[F],
    hidden_now: &mut [F],
    states: &mut [F],
    gates: &mut [F],
    hiddens: &mut [F],
    place: Place,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    let d = place.d;
    if at >= place.active * d {
        terminate!();
    }
    let unit = place.unit(at, positions);
    let x = unit.position * 3 * d + unit.column;
    let y = unit.row * 3 * d + unit.column;
    let y_n = f32::cast_from(product[y + 2 * d]) + f32::cast_from(bias[unit.column]);
    let now = numbers(
        f32::cast_from(inputs[x]) + f32::cast_from(product[y]),
        f32::cast_from(inputs[x + d]) + f32::cast_from(product[y + d]),
        f32::cast_from(inputs[x + 2 * d]),
        y_n,
        f32::cast_from(hidden[at]),
    );
    let h = F::cast_from(now.h);

    hidden_now[at] = h;
    states[unit.state] = h;
    let gate = unit.line * 4 * d + unit.column;
    write_gates(gates, gate, d, &now);
    gates[gate + 3 * d] = F::cast_from(y_n);
    hiddens[unit.line * d + unit.column] = hidden[at];
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Backward` and `Flow`
fn backward<F: Float>(
    grad: &[F],
    positions: &[i32],
    gates: &[F],
    hiddens: &[F],
    later_through: &[F],
    later_direct: &[F],
    d_inputs: &mut [F],
    d_products: &mut [F],
    d_product: &mut [F],
    direct: &mut [F],
    place: Place,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    let d = place.d;
    if at >= place.active * d {
        terminate!();
    }
    let unit = place.unit(at, positions);
    let mut dh = f32::cast_from(grad[unit.state]);
    if unit.row < place.later {
        dh += f32::cast_from(later_through[at]) + f32::cast_from(later_direct[at]);
    }
    let gate = unit.line * 4 * d + unit.column;
    let through = gradients::<F>(
        gates,
        gate,
        d,
        f32::cast_from(hiddens[unit.line * d + unit.column]),
        dh,
    );
    direct[at] = F::cast_from(through.h);
    write_gates(d_inputs, unit.position * 3 * d + unit.column, d, &through);
    let line = unit.line * 3 * d + unit.column;
    write_product(d_products, line, d, &through);
    write_product(d_product, unit.row * 3 * d + unit.column, d, &through);
}

/// r, z and n of one number, or the gradients of what went into them, `d` apart.
#[cube]
pub(in crate::ops) fn write_gates<F: Float>(to: &mut [F], at: usize, d: usize, of: &Numbers) {
    to[at] = F::cast_from(of.r);
    to[at + d] = F::cast_from(of.z);
    to[at + 2 * d] = F::cast_from(of.n);
}

/// What the product gives to r, z and n of one number, or its gradients, `d` apart.
#[cube]
pub(in crate::ops) fn write_product<F: Float>(to: &mut [F], at: usize, d: usize, of: &Numbers) {
    to[at] = F::cast_from(of.r);
    to[at + d] = F::cast_from(of.z);
    to[at + 2 * d] = F::cast_from(of.y_n);
}

/// h after a step.
pub(in crate::ops) fn step(
    all: &Forward,
    step: Place,
    product: CubeTensor,
    hidden: CubeTensor,
    bias: CubeTensor,
) -> CubeTensor {
    let hidden_now = empty_like(&product, [step.active, step.d]);
    let client = product.client.clone();
    let (count, dim) = a_unit_each(&client, step.active * step.d);
    forward::launch(
        &client,
        count,
        dim,
        dense(all.inputs.clone()),
        dense(product),
        dense(bias),
        dense(all.positions.clone()),
        dense(hidden),
        written(&hidden_now),
        written(&all.states),
        written(&all.memory.gates),
        written(&all.memory.hiddens),
        step.launch(),
        elem_type(&all.inputs),
    );
    hidden_now
}

/// What flows from a step to the one before it; `later` is dL/dh from the step that follows, through
/// its product and past it.
pub(in crate::ops) fn step_backward(
    all: &Backward,
    step: Place,
    later: Option<(CubeTensor, CubeTensor)>,
) -> Flow {
    let flow = Flow {
        d_product: empty_like(&all.grad, [step.active, 3 * step.d]),
        direct: empty_like(&all.grad, [step.active, step.d]),
    };
    let nothing = || empty_like(&all.grad, [1]); // not read
    let (through, direct) = later.unwrap_or_else(|| (nothing(), nothing()));
    let client = &all.grad.client;
    let (count, dim) = a_unit_each(client, step.active * step.d);
    backward::launch(
        client,
        count,
        dim,
        dense(all.grad.clone()),
        dense(all.positions.clone()),
        dense(all.memory.gates.clone()),
        dense(all.memory.hiddens.clone()),
        dense(through),
        dense(direct),
        written(&all.d_inputs),
        written(&all.d_products),
        written(&flow.d_product),
        written(&flow.direct),
        step.launch(),
        elem_type(&all.grad),
    );
    flow
}
