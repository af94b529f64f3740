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
    let r = sigmoid(f32::cast_from(inputs[x]) + f32::cast_from(product[y]));
    let z = sigmoid(f32::cast_from(inputs[x + d]) + f32::cast_from(product[y + d]));
    let y_n = f32::cast_from(product[y + 2 * d]) + f32::cast_from(bias[unit.column]);
    let n = tanh(f32::cast_from(inputs[x + 2 * d]) + r * y_n);
    let h = F::cast_from(n + z * (f32::cast_from(hidden[at]) - n));

    hidden_now[at] = h;
    states[unit.state] = h;
    let gate = unit.line * 4 * d + unit.column;
    gates[gate] = F::cast_from(r);
    gates[gate + d] = F::cast_from(z);
    gates[gate + 2 * d] = F::cast_from(n);
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
    let r = f32::cast_from(gates[gate]);
    let z = f32::cast_from(gates[gate + d]);
    let n = f32::cast_from(gates[gate + 2 * d]);
    let y_n = f32::cast_from(gates[gate + 3 * d]);
    let h_before = f32::cast_from(hiddens[unit.line * d + unit.column]);
    let d_n = dh * (1.0f32 - z) * (1.0f32 - n * n);
    let d_z = F::cast_from(dh * (h_before - n) * z * (1.0f32 - z));
    let d_r = F::cast_from(d_n * y_n * r * (1.0f32 - r));
    let d_y_n = F::cast_from(d_n * r);

    direct[at] = F::cast_from(dh * z);
    let x = unit.position * 3 * d + unit.column;
    write_gates(d_inputs, x, d, d_r, d_z, F::cast_from(d_n));
    let line = unit.line * 3 * d + unit.column;
    write_gates(d_products, line, d, d_r, d_z, d_y_n);
    let y = unit.row * 3 * d + unit.column;
    write_gates(d_product, y, d, d_r, d_z, d_y_n);
}

#[cube]
fn write_gates<F: Float>(to: &mut [F], at: usize, d: usize, r: F, z: F, n: F) {
    to[at] = r;
    to[at + d] = z;
    to[at + 2 * d] = n;
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
        all.inputs.clone().into_buffer_arg(),
        product.into_buffer_arg(),
        bias.into_buffer_arg(),
        all.positions.clone().into_buffer_arg(),
        hidden.into_buffer_arg(),
        hidden_now.clone().into_buffer_arg(),
        all.states.clone().into_buffer_arg(),
        all.memory.gates.clone().into_buffer_arg(),
        all.memory.hiddens.clone().into_buffer_arg(),
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
        all.grad.clone().into_buffer_arg(),
        all.positions.clone().into_buffer_arg(),
        all.memory.gates.clone().into_buffer_arg(),
        all.memory.hiddens.clone().into_buffer_arg(),
        through.into_buffer_arg(),
        direct.into_buffer_arg(),
        all.d_inputs.clone().into_buffer_arg(),
        all.d_products.clone().into_buffer_arg(),
        flow.d_product.clone().into_buffer_arg(),
        flow.direct.clone().into_buffer_arg(),
        step.launch(),
        elem_type(&all.grad),
    );
    flow
}
