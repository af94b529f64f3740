//! All steps of one direction in one launch, for layers whose weights are small enough.
//!
//! A cube has a few sequences and goes through their steps by itself: their h stays in the cube's shared
//! memory, and W is read anew at each step, from the GPU's cache. So nothing has to wait for other
//! cubes, and no step costs a launch.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};

use super::{Backward, Forward, written_at};
use crate::ops::cube::{dense, elem_type, empty_like, written};
use crate::ops::generic::indices;
use crate::ops::recurrent::Cell;
use crate::ops::recurrent::sequences::Sequences;
use crate::ops::steps::Steps;
use crate::ops::{gru, lstm};

/// How the work is cut, known when a kernel is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    lstm: bool,
    d: usize,
    /// Sequences of a cube.
    rows: usize,
    /// Units of a cube.
    units: usize,
    /// In how many parts, each by units of its own, a sum of a product is made.
    parts: usize,
    /// In how many columns of a product's result a unit makes sums.
    columns: usize,
}

impl Plan {
    /// Sequences of a cube, the most that fit: as much work for each weight that is read.
    const ROWS: [usize; 3] = [4, 2, 1];
    /// Parts of a product, the most that fit: as many units that wait for weights at once.
    const PARTS: [usize; 4] = [8, 4, 2, 1];
    /// Units of a cube, at most.
    const MOST_UNITS: usize = 512;
    /// Numbers of W, at most. A cube alone must read them all at each step; with this many, whole
    /// models trained on an H200 about as fast as with two launches a step.
    const MOST_WEIGHTS: usize = 512 * 2048;

    /// Numbers that a row of the gates has.
    fn width(&self) -> usize {
        if self.lstm { 4 * self.d } else { 3 * self.d }
    }

    /// For the steps themselves; none where a GPU has too little shared memory, or W too many numbers.
    pub(super) fn forward(client: &Client, cell: Cell, d: usize, sequences: usize) -> Option<Self> {
        let lstm = matches!(cell, Cell::Lstm);
        let width = cell.parts() * d;
        let columns = cell.parts();
        Self::new(client, lstm, d, [d, width], columns, sequences)
    }

    /// For their gradient.
    pub(super) fn backward(
        client: &Client,
        cell: Cell,
        d: usize,
        sequences: usize,
    ) -> Option<Self> {
        let lstm = matches!(cell, Cell::Lstm);
        let width = cell.parts() * d;
        let columns = if d.is_multiple_of(4) { 4 } else { 1 };
        Self::new(client, lstm, d, [width, d], columns, sequences)
    }

    /// For products of vectors with a matrix of that shape.
    fn new(
        client: &Client,
        lstm: bool,
        d: usize,
        [from, to]: [usize; 2],
        columns: usize,
        sequences: usize,
    ) -> Option<Self> {
        if from * to > Self::MOST_WEIGHTS {
            return None;
        }
        let hardware = &client.properties().hardware;
        let units = Self::MOST_UNITS.min(hardware.max_units_per_cube as usize);
        let tasks = |parts: usize| parts * to / columns;
        let fits = |&(rows, parts): &(usize, usize)| {
            // Vectors, sums and one more number of the state for each row, in f32.
            let bytes = 4 * rows * (from + parts * to + d);
            bytes <= hardware.max_shared_memory_size
                && (parts == 1 || tasks(parts) <= units)
                && (rows == 1 || rows < 2 * sequences)
        };
        let choices = Self::ROWS.map(|rows| Self::PARTS.map(|parts| (rows, parts)));
        let (rows, parts) = choices.into_iter().flatten().find(fits)?;
        Some(Self {
            lstm,
            d,
            rows,
            units: tasks(parts).next_multiple_of(32).min(units),
            parts,
            columns,
        })
    }

    fn grid(&self, sequences: usize) -> (CubeCount, CubeDim) {
        let cubes = sequences.div_ceil(self.rows) as u32;
        (
            CubeCount::Static(cubes, 1, 1),
            CubeDim::new_1d(self.units as u32),
        )
    }
}

/// Where the states of a direction stand, and how many steps and rows there are.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Extent {
    /// Steps of the longest row.
    steps: usize,
    /// Rows that have steps.
    rows: usize,
    /// First column of the direction in the states.
    column: usize,
    /// Columns of the states, of all directions.
    width: usize,
    /// Positions of a state, `batch * len`.
    positions: usize,
}

#[cube]
impl Extent {
    /// How many of the rows from `first` on, of `most`, run in step `t`.
    fn active(&self, starts: &[i32], t: usize, first: usize, #[comptime] most: usize) -> usize {
        let mut active = 0usize;
        if t < self.steps {
            let all = usize::cast_from(starts[t + 1] - starts[t]);
            if all > first {
                active = min(all - first, comptime!(most).runtime());
            }
        }
        active
    }
}

/// `sums[part, r, n]`, over the numbers of a part, of `vectors[r, k] * matrix[k, n]`, for all rows of a
/// cube. Units must meet before the sums are read.
#[cube]
fn multiply<F: Float>(
    vectors: &Shared<[f32]>,
    matrix: &[F],
    sums: &mut Shared<[f32]>,
    #[comptime] from: usize,
    #[comptime] to: usize,
    #[comptime] plan: Plan,
) {
    let apart = comptime!(to / plan.columns);
    let of_part = comptime!(from.div_ceil(plan.parts));
    let mut task = UNIT_POS as usize;
    while task < comptime!(plan.parts * apart) {
        let (part, column) = (task / apart, task % apart);
        let mut acc = Array::<f32>::new(comptime!(plan.rows * plan.columns));
        #[unroll]
        for i in 0..comptime!(plan.rows * plan.columns) {
            acc[i] = 0.0f32;
        }
        let end = min((part + 1) * of_part, comptime!(from).runtime());
        for k in part * of_part..end {
            #[unroll]
            for c in 0..comptime!(plan.columns) {
                let w = f32::cast_from(matrix[k * to + column + c * apart]);
                #[unroll]
                for r in 0..comptime!(plan.rows) {
                    acc[r * comptime!(plan.columns) + c] += w * vectors[r * from + k];
                }
            }
        }
        #[unroll]
        for r in 0..comptime!(plan.rows) {
            #[unroll]
            for c in 0..comptime!(plan.columns) {
                sums[(part * comptime!(plan.rows) + r) * to + column + c * apart] =
                    acc[r * comptime!(plan.columns) + c];
            }
        }
        task += comptime!(plan.units);
    }
}

/// One sum of [`multiply`], of all parts.
#[cube]
fn sum_of_parts(
    sums: &Shared<[f32]>,
    row: usize,
    column: usize,
    #[comptime] to: usize,
    #[comptime] plan: Plan,
) -> f32 {
    let mut sum = 0.0f32;
    #[unroll]
    for part in 0..comptime!(plan.parts) {
        sum += sums[(part * comptime!(plan.rows) + row) * to + column];
    }
    sum
}

/// What is stored of a number: itself, rounded to the type of the tensors.
#[cube]
fn rounded<F: Float>(x: f32) -> f32 {
    f32::cast_from(F::cast_from(x))
}

/// `extra` is c before the first step (LSTM) or the bias (GRU); a GRU writes no `cells`.
#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Forward` and `run`
fn forward<F: Float>(
    inputs: &[F],
    recurrent: &[F],
    hidden: &[F],
    extra: &[F],
    rows: &[i32],
    starts: &[i32],
    positions: &[i32],
    states: &mut [F],
    gates: &mut [F],
    hiddens: &mut [F],
    cells: &mut [F],
    extent: Extent,
    #[comptime] plan: Plan,
    #[define(F)] _dtype: ElemType,
) {
    let d = comptime!(plan.d);
    let width = comptime!(plan.width());
    let first = CUBE_POS_X as usize * comptime!(plan.rows);
    let mut h = Shared::<[f32]>::new_slice(comptime!(plan.rows * plan.d));
    let mut c = Shared::<[f32]>::new_slice(comptime!(plan.rows * plan.d));
    let mut sums = Shared::<[f32]>::new_slice(comptime!(plan.parts * plan.rows * plan.width()));
    let mut at = UNIT_POS as usize;
    while at < comptime!(plan.rows * plan.d) {
        let (row, column) = (at / d, at % d);
        h[at] = 0.0f32;
        c[at] = 0.0f32;
        if first + row < extent.rows {
            let number = usize::cast_from(rows[first + row]) * d + column;
            h[at] = f32::cast_from(hidden[number]);
            if comptime!(plan.lstm) {
                c[at] = f32::cast_from(extra[number]);
            }
        }
        at += comptime!(plan.units);
    }
    sync_cube();

    for t in 0..extent.steps {
        let active = extent.active(starts, t, first, comptime!(plan.rows));
        if active > 0 {
            multiply::<F>(
                &h,
                recurrent,
                &mut sums,
                comptime!(plan.d),
                comptime!(plan.width()),
                plan,
            );
        }
        sync_cube();
        let mut at = UNIT_POS as usize;
        while at < active * d {
            let (row, column) = (at / d, at % d);
            let line = usize::cast_from(starts[t]) + first + row;
            let position = usize::cast_from(positions[line]);
            let x = position * width + column;
            let gate = line * 4 * d + column;
            let state = position * extent.width + extent.column + column;
            let y_0 = sum_of_parts(&sums, row, column, comptime!(plan.width()), plan);
            let y_1 = sum_of_parts(&sums, row, column + d, comptime!(plan.width()), plan);
            let y_2 = sum_of_parts(&sums, row, column + 2 * d, comptime!(plan.width()), plan);
            hiddens[line * d + column] = F::cast_from(h[at]);
            if comptime!(plan.lstm) {
                let y_3 = sum_of_parts(&sums, row, column + 3 * d, comptime!(plan.width()), plan);
                let now = lstm::cube::numbers(
                    f32::cast_from(inputs[x]) + y_0,
                    f32::cast_from(inputs[x + d]) + y_1,
                    f32::cast_from(inputs[x + 2 * d]) + y_2,
                    f32::cast_from(inputs[x + 3 * d]) + y_3,
                    c[at],
                );
                cells[line * d + column] = F::cast_from(c[at]);
                lstm::cube::write_gates(gates, gate, d, &now);
                states[extent.positions * extent.width + state] = F::cast_from(now.c);
                states[state] = F::cast_from(now.h);
                c[at] = rounded::<F>(now.c);
                h[at] = rounded::<F>(now.h);
            } else {
                let y_n = y_2 + f32::cast_from(extra[column]);
                let now = gru::cube::numbers(
                    f32::cast_from(inputs[x]) + y_0,
                    f32::cast_from(inputs[x + d]) + y_1,
                    f32::cast_from(inputs[x + 2 * d]),
                    y_n,
                    h[at],
                );
                gru::cube::write_gates(gates, gate, d, &now);
                gates[gate + 3 * d] = F::cast_from(y_n);
                states[state] = F::cast_from(now.h);
                h[at] = rounded::<F>(now.h);
            }
            at += comptime!(plan.units);
        }
        sync_cube();
    }
}

/// `transposed` is W transposed, row after row. Of a GRU `d_cell` is not written.
#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is named in `Backward` and `run_backward`
fn backward<F: Float>(
    grad: &[F],
    transposed: &[F],
    gates: &[F],
    hiddens: &[F],
    cells: &[F],
    rows: &[i32],
    starts: &[i32],
    positions: &[i32],
    d_inputs: &mut [F],
    d_products: &mut [F],
    d_hidden: &mut [F],
    d_cell: &mut [F],
    extent: Extent,
    #[comptime] plan: Plan,
    #[define(F)] _dtype: ElemType,
) {
    let d = comptime!(plan.d);
    let width = comptime!(plan.width());
    let first = CUBE_POS_X as usize * comptime!(plan.rows);
    // Of the step that follows: of its product, and what passes by it: of an LSTM dL/dc, of a GRU a
    // part of dL/dh.
    let mut d_product = Shared::<[f32]>::new_slice(comptime!(plan.rows * plan.width()));
    let mut sums = Shared::<[f32]>::new_slice(comptime!(plan.parts * plan.rows * plan.d));
    let mut direct = Shared::<[f32]>::new_slice(comptime!(plan.rows * plan.d));
    let mut at = UNIT_POS as usize;
    while at < comptime!(plan.rows * plan.width()) {
        d_product[at] = 0.0f32;
        at += comptime!(plan.units);
    }
    sync_cube();

    for back in 0..extent.steps {
        let t = extent.steps - 1 - back;
        let active = extent.active(starts, t, first, comptime!(plan.rows));
        let later = extent.active(starts, t + 1, first, comptime!(plan.rows));
        let mut at = UNIT_POS as usize;
        while at < active * d {
            let (row, column) = (at / d, at % d);
            let line = usize::cast_from(starts[t]) + first + row;
            let position = usize::cast_from(positions[line]);
            let state = position * extent.width + extent.column + column;
            let gate = line * 4 * d + column;
            let x = position * width + column;
            let y = line * width + column;
            let own = row * width + column;
            let mut dh = f32::cast_from(grad[state]);
            let mut passed = 0.0f32;
            if row < later {
                dh += sum_of_parts(&sums, row, column, comptime!(plan.d), plan);
                passed = direct[at];
            }
            if comptime!(plan.lstm) {
                let through = lstm::cube::gradients::<F>(
                    gates,
                    gate,
                    d,
                    f32::cast_from(cells[line * d + column]),
                    dh,
                    passed + f32::cast_from(grad[extent.positions * extent.width + state]),
                );
                lstm::cube::write_gates(d_inputs, x, d, &through);
                lstm::cube::write_gates(d_products, y, d, &through);
                d_product[own] = rounded::<F>(through.i);
                d_product[own + d] = rounded::<F>(through.f);
                d_product[own + 2 * d] = rounded::<F>(through.g);
                d_product[own + 3 * d] = rounded::<F>(through.o);
                direct[at] = through.c;
            } else {
                let through = gru::cube::gradients::<F>(
                    gates,
                    gate,
                    d,
                    f32::cast_from(hiddens[line * d + column]),
                    dh + passed,
                );
                gru::cube::write_gates(d_inputs, x, d, &through);
                gru::cube::write_product(d_products, y, d, &through);
                d_product[own] = rounded::<F>(through.r);
                d_product[own + d] = rounded::<F>(through.z);
                d_product[own + 2 * d] = rounded::<F>(through.y_n);
                direct[at] = through.h;
            }
            at += comptime!(plan.units);
        }
        sync_cube();
        if active > 0 {
            multiply::<F>(
                &d_product,
                transposed,
                &mut sums,
                comptime!(plan.width()),
                comptime!(plan.d),
                plan,
            );
        }
        sync_cube();
    }

    let mut at = UNIT_POS as usize;
    while at < comptime!(plan.rows * plan.d) {
        let (row, column) = (at / d, at % d);
        if first + row < extent.rows {
            let number = usize::cast_from(rows[first + row]) * d + column;
            let through = sum_of_parts(&sums, row, column, comptime!(plan.d), plan);
            if comptime!(plan.lstm) {
                d_hidden[number] = F::cast_from(through);
                d_cell[number] = F::cast_from(direct[at]);
            } else {
                d_hidden[number] = F::cast_from(through + direct[at]);
            }
        }
        at += comptime!(plan.units);
    }
}

/// The order of the steps, for a kernel.
struct Order {
    rows: CubeTensor,
    starts: CubeTensor,
    extent: ExtentLaunch,
}

impl Order {
    fn new(
        steps: &Steps,
        sequences: &Sequences,
        direction: usize,
        d: usize,
        like: &CubeTensor,
    ) -> Self {
        let device = like.device();
        Self {
            rows: indices::<CubeBackend>(&steps.rows, &device),
            starts: indices::<CubeBackend>(steps.starts(), &device),
            extent: ExtentLaunch::new(
                steps.len(),
                steps.rows.len(),
                direction * d,
                sequences.directions.len() * d,
                sequences.batch() * sequences.len,
            ),
        }
    }
}

/// All steps of a direction, given W and what stands before the first step (or the bias): writes the
/// states and the memory.
pub(super) fn run(
    plan: Plan,
    all: &Forward,
    recurrent: CubeTensor,
    hidden: CubeTensor,
    extra: CubeTensor,
    (steps, sequences, direction): (&Steps, &Sequences, usize),
) {
    let order = Order::new(steps, sequences, direction, plan.d, &all.inputs);
    let client = &all.inputs.client;
    let (count, dim) = plan.grid(steps.rows.len());
    let cells = all.memory.cells.clone();
    let cells = cells.unwrap_or_else(|| empty_like(&all.inputs, [1])); // not written
    forward::launch(
        client,
        count,
        dim,
        dense(all.inputs.clone()),
        dense(recurrent),
        dense(hidden),
        dense(extra),
        dense(order.rows),
        dense(order.starts),
        dense(all.positions.clone()),
        written(&all.states),
        written(&all.memory.gates),
        written(&all.memory.hiddens),
        written(&cells),
        order.extent,
        plan,
        elem_type(&all.inputs),
    );
}

/// The gradients of all steps of a direction: writes those of the inputs and of the products. The result is
/// that of h and, of an LSTM, of c before the first step, `[batch, d]`.
pub(super) fn run_backward(
    plan: Plan,
    all: &Backward,
    transposed: CubeTensor,
    (steps, sequences, direction): (&Steps, &Sequences, usize),
) -> (CubeTensor, Option<CubeTensor>) {
    let order = Order::new(steps, sequences, direction, plan.d, &all.grad);
    let client = &all.grad.client;
    let (count, dim) = plan.grid(steps.rows.len());
    let nothing = || empty_like(&all.grad, [1]); // neither read nor written
    let batch = sequences.batch();
    let before = || written_at(steps.rows.len(), &all.grad, [batch, plan.d], batch);
    let (d_hidden, d_cell) = (before(), plan.lstm.then(before));
    backward::launch(
        client,
        count,
        dim,
        dense(all.grad.clone()),
        dense(transposed),
        dense(all.memory.gates.clone()),
        dense(all.memory.hiddens.clone()),
        dense(all.memory.cells.clone().unwrap_or_else(nothing)),
        dense(order.rows),
        dense(order.starts),
        dense(all.positions.clone()),
        written(&all.d_inputs),
        written(&all.d_products),
        written(&d_hidden),
        written(&d_cell.clone().unwrap_or_else(nothing)),
        order.extent,
        plan,
        elem_type(&all.grad),
    );
    (d_hidden, d_cell)
}
