//! One step as a CubeCL kernel, a unit for each number of the state.

use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use crate::ops::cube::{a_unit_each, elem_type, empty_like, sigmoid, tanh};
use crate::ops::recurrent::cube::{Backward, Flow, Forward, Place};

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
    let i = sigmoid(f32::cast_from(inputs[x]) + f32::cast_from(product[y]));
    let f = sigmoid(f32::cast_from(inputs[x + d]) + f32::cast_from(product[y + d]));
    let g = tanh(f32::cast_from(inputs[x + 2 * d]) + f32::cast_from(product[y + 2 * d]));
    let o = sigmoid(f32::cast_from(inputs[x + 3 * d]) + f32::cast_from(product[y + 3 * d]));
    let c = f * f32::cast_from(cell[at]) + i * g;
    let h = F::cast_from(o * tanh(c));
    let c = F::cast_from(c);

    hidden_now[at] = h;
    cell_now[at] = c;
    states[unit.state] = h;
    states[place.positions * place.width + unit.state] = c;
    let gate = unit.line * 4 * d + unit.column;
    gates[gate] = F::cast_from(i);
    gates[gate + d] = F::cast_from(f);
    gates[gate + 2 * d] = F::cast_from(g);
    gates[gate + 3 * d] = F::cast_from(o);
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
    let i = f32::cast_from(gates[gate]);
    let f = f32::cast_from(gates[gate + d]);
    let g = f32::cast_from(gates[gate + 2 * d]);
    let o = f32::cast_from(gates[gate + 3 * d]);
    let c_before = f32::cast_from(cells[unit.line * d + unit.column]);
    let tanh_c = tanh(f * c_before + i * g);
    dc += dh * o * (1.0f32 - tanh_c * tanh_c);
    let d_i = F::cast_from(dc * g * i * (1.0f32 - i));
    let d_f = F::cast_from(dc * c_before * f * (1.0f32 - f));
    let d_g = F::cast_from(dc * i * (1.0f32 - g * g));
    let d_o = F::cast_from(dh * tanh_c * o * (1.0f32 - o));

    dc_before[at] = F::cast_from(dc * f);
    write_gates(
        d_inputs,
        unit.position * 4 * d + unit.column,
        d,
        d_i,
        d_f,
        d_g,
        d_o,
    );
    write_gates(d_products, gate, d, d_i, d_f, d_g, d_o);
    write_gates(
        d_product,
        unit.row * 4 * d + unit.column,
        d,
        d_i,
        d_f,
        d_g,
        d_o,
    );
}

#[cube]
fn write_gates<F: Float>(to: &mut [F], at: usize, d: usize, i: F, f: F, g: F, o: F) {
    to[at] = i;
    to[at + d] = f;
    to[at + 2 * d] = g;
    to[at + 3 * d] = o;
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
        all.inputs.clone().into_buffer_arg(),
        product.into_buffer_arg(),
        all.positions.clone().into_buffer_arg(),
        hidden.into_buffer_arg(),
        cell.into_buffer_arg(),
        hidden_now.clone().into_buffer_arg(),
        cell_now.clone().into_buffer_arg(),
        all.states.clone().into_buffer_arg(),
        all.memory.gates.clone().into_buffer_arg(),
        all.memory.hiddens.clone().into_buffer_arg(),
        cells.into_buffer_arg(),
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
        all.grad.clone().into_buffer_arg(),
        all.positions.clone().into_buffer_arg(),
        all.memory.gates.clone().into_buffer_arg(),
        cells.into_buffer_arg(),
        dh.into_buffer_arg(),
        dc.into_buffer_arg(),
        all.d_inputs.clone().into_buffer_arg(),
        all.d_products.clone().into_buffer_arg(),
        flow.d_product.clone().into_buffer_arg(),
        flow.direct.clone().into_buffer_arg(),
        step.launch(),
        elem_type(&all.grad),
    );
    flow
}
