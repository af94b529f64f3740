//! One step as a CubeCL kernel, a unit for each number of the state.

use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use crate::ops::cube::{a_unit_each, dense, elem_type, empty_like, sigmoid, tanh, written};
use crate::ops::recurrent::cube::{Backward, Flow, Forward, Place};

/// The gates of one number of the state, and its c and h; or their gradients.
#[derive(CubeType, Clone, Copy)]
pub(in crate::ops) struct Numbers {
    pub i: f32,
    pub f: f32,
    pub g: f32,
    pub o: f32,
    pub c: f32,
    pub h: f32,
}

/// A step of one number, given what goes into its gates and c before the step.
#[cube]
pub(in crate::ops) fn numbers(i: f32, f: f32, g: f32, o: f32, c_before: f32) -> Numbers {
    let i = sigmoid(i);
    let f = sigmoid(f);
    let g = tanh(g);
    let o = sigmoid(o);
    let c = f * c_before + i * g;
    let h = o * tanh(c);
    Numbers { i, f, g, o, c, h }
}

/// The gradients of what went into the gates of one number and of its c before the step, given the
/// gates, which stand at `at` and `d` apart, and the gradients of h and c.
#[cube]
pub(in crate::ops) fn gradients<F: Float>(
    gates: &[F],
    at: usize,
    d: usize,
    c_before: f32,
    dh: f32,
    dc: f32,
) -> Numbers {
    let i = f32::cast_from(gates[at]);
    let f = f32::cast_from(gates[at + d]);
    let g = f32::cast_from(gates[at + 2 * d]);
    let o = f32::cast_from(gates[at + 3 * d]);
    let tanh_c = tanh(f * c_before + i * g);
    let dc = dc + dh * o * (1.0f32 - tanh_c * tanh_c);
    Numbers {
        i: dc * g * i * (1.0f32 - i),
        f: dc * c_before * f * (1.0f32 - f),
        g: dc * i * (1.0f32 - g * g),
        o: dh * tanh_c * o * (1.0f32 - o),
        c: dc * f,
        h: dh,
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Forward` and `step`
fn forward<F: Float>(
    inputs: &[F],
    product: &[F],
    positions: &[i32],
    hidden: &[F],
    cell: &[F],
    hidden_now: &mut [F],
    cell_now: &mut [F],
    states: &mut [F],
    gates: &mut [F],
    hiddens: &mut [F],
    cells: &mut [F],
    place: Place,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    let d = place.d;
    if at >= place.active * d {
        terminate!();
    }
    let unit = place.unit(at, positions);
    let x = unit.position * 4 * d + unit.column;
    let y = unit.row * 4 * d + unit.column;
    let now = numbers(
        f32::cast_from(inputs[x]) + f32::cast_from(product[y]),
        f32::cast_from(inputs[x + d]) + f32::cast_from(product[y + d]),
        f32::cast_from(inputs[x + 2 * d]) + f32::cast_from(product[y + 2 * d]),
        f32::cast_from(inputs[x + 3 * d]) + f32::cast_from(product[y + 3 * d]),
        f32::cast_from(cell[at]),
    );
    let h = F::cast_from(now.h);
    let c = F::cast_from(now.c);

    hidden_now[at] = h;
    cell_now[at] = c;
    states[unit.state] = h;
    states[place.positions * place.width + unit.state] = c;
    let gate = unit.line * 4 * d + unit.column;
    write_gates(gates, gate, d, &now);
    hiddens[unit.line * d + unit.column] = hidden[at];
    cells[unit.line * d + unit.column] = cell[at];
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Backward` and `Flow`
fn backward<F: Float>(
    grad: &[F],
    positions: &[i32],
    gates: &[F],
    cells: &[F],
    later_dh: &[F],
    later_dc: &[F],
    d_inputs: &mut [F],
    d_products: &mut [F],
    d_product: &mut [F],
    dc_before: &mut [F],
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
    let mut dc = f32::cast_from(grad[place.positions * place.width + unit.state]);
    if unit.row < place.later {
        dh += f32::cast_from(later_dh[at]);
        dc += f32::cast_from(later_dc[at]);
    }
    let gate = unit.line * 4 * d + unit.column;
    let through = gradients::<F>(
        gates,
        gate,
        d,
        f32::cast_from(cells[unit.line * d + unit.column]),
        dh,
        dc,
    );
    dc_before[at] = F::cast_from(through.c);
    write_gates(d_inputs, unit.position * 4 * d + unit.column, d, &through);
    write_gates(d_products, gate, d, &through);
    write_gates(d_product, unit.row * 4 * d + unit.column, d, &through);
}

/// The four gates of one number, or their gradients, `d` apart.
#[cube]
pub(in crate::ops) fn write_gates<F: Float>(to: &mut [F], at: usize, d: usize, of: &Numbers) {
    to[at] = F::cast_from(of.i);
    to[at + d] = F::cast_from(of.f);
    to[at + 2 * d] = F::cast_from(of.g);
    to[at + 3 * d] = F::cast_from(of.o);
}

/// h and c after a step.
pub(in crate::ops) fn step(
    all: &Forward,
    step: Place,
    product: CubeTensor,
    hidden: CubeTensor,
    cell: CubeTensor,
) -> (CubeTensor, CubeTensor) {
    let now = || empty_like(&product, [step.active, step.d]);
    let (hidden_now, cell_now) = (now(), now());
    let client = product.client.clone();
    let (count, dim) = a_unit_each(&client, step.active * step.d);
    let cells = all.memory.cells.clone().expect("an LSTM has cells");
    forward::launch(
        &client,
        count,
        dim,
        dense(all.inputs.clone()),
        dense(product),
        dense(all.positions.clone()),
        dense(hidden),
        dense(cell),
        written(&hidden_now),
        written(&cell_now),
        written(&all.states),
        written(&all.memory.gates),
        written(&all.memory.hiddens),
        written(&cells),
        step.launch(),
        elem_type(&all.inputs),
    );
    (hidden_now, cell_now)
}

/// What flows from a step to the one before it; `later` is dL/dh and dL/dc from the step that
/// follows.
pub(in crate::ops) fn step_backward(
    all: &Backward,
    step: Place,
    later: Option<(CubeTensor, CubeTensor)>,
) -> Flow {
    let flow = Flow {
        d_product: empty_like(&all.grad, [step.active, 4 * step.d]),
        direct: empty_like(&all.grad, [step.active, step.d]),
    };
    let nothing = || empty_like(&all.grad, [1]); // not read
    let (dh, dc) = later.unwrap_or_else(|| (nothing(), nothing()));
    let client = &all.grad.client;
    let (count, dim) = a_unit_each(client, step.active * step.d);
    let cells = all.memory.cells.clone().expect("an LSTM has cells");
    backward::launch(
        client,
        count,
        dim,
        dense(all.grad.clone()),
        dense(all.positions.clone()),
        dense(all.memory.gates.clone()),
        dense(cells),
        dense(dh),
        dense(dc),
        written(&all.d_inputs),
        written(&all.d_products),
        written(&flow.d_product),
        written(&flow.direct),
        step.launch(),
        elem_type(&all.grad),
    );
    flow
}
