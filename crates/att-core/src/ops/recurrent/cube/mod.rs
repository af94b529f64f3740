//! All steps with CubeCL kernels: in one launch ([`one_launch`]) where the weights are small enough. Else
//! a step is one product and one kernel of the cell, which reads the padded inputs and writes the padded
//! states where they belong, so that nothing is cut, joined or copied in between.

mod one_launch;

use burn::backend::{TensorMetadata, ops::FloatTensorOps};
use burn::tensor::Shape;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};

use self::one_launch::Plan;
use super::generic::{self, spread, whole};
use super::sequences::Sequences;
use super::{Cell, Memory, Pass, RecurrentKernel};
use crate::ops::cube::{empty_like, first_rows, is_supported};
use crate::ops::generic::{columns, indices};
use crate::ops::steps::Steps;
use crate::ops::{gru, lstm};

/// Where a step stands among the lines of all steps, and where its states go.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(in crate::ops) struct Place {
    /// Its first line.
    pub line: usize,
    /// Its lines, one for each running row.
    pub active: usize,
    /// Of these, those that run on in the step that follows.
    pub later: usize,
    /// d_hidden.
    pub d: usize,
    /// First column of the direction in the states.
    pub column: usize,
    /// Columns of the states, of all directions.
    pub width: usize,
    /// Positions of a state, `batch * len`.
    pub positions: usize,
}

/// What a unit has of a step: one number of one row.
#[derive(CubeType, Clone, Copy)]
pub(in crate::ops) struct Unit {
    /// Row of the step.
    pub row: usize,
    /// Column of the state.
    pub column: usize,
    /// Line among those of all steps.
    pub line: usize,
    /// Row of the padded inputs, `[batch * len, ..]`.
    pub position: usize,
    /// Index of the number in the padded states.
    pub state: usize,
}

#[cube]
impl Place {
    /// What the unit `at` of the step has.
    pub fn unit(&self, at: usize, positions: &[i32]) -> Unit {
        let (row, column) = (at / self.d, at % self.d);
        let line = self.line + row;
        let position = usize::cast_from(positions[line]);
        Unit {
            row,
            column,
            line,
            position,
            state: position * self.width + self.column + column,
        }
    }
}

impl Place {
    /// As a kernel's argument.
    pub fn launch(self) -> PlaceLaunch {
        PlaceLaunch::new(
            self.line,
            self.active,
            self.later,
            self.d,
            self.column,
            self.width,
            self.positions,
        )
    }
}

/// The steps of one direction, in order.
fn each_step(steps: &Steps, sequences: &Sequences, direction: usize, d: usize) -> Vec<Place> {
    let place = |t| Place {
        line: steps.at(t).start,
        active: steps.at(t).len(),
        later: if t + 1 < steps.len() {
            steps.at(t + 1).len()
        } else {
            0
        },
        d,
        column: direction * d,
        width: sequences.directions.len() * d,
        positions: sequences.batch() * sequences.len,
    };
    (0..steps.len()).map(place).collect()
}

/// Tensors of a direction that its steps read from and write to.
pub(in crate::ops) struct Forward {
    /// Padded, `[batch, len, parts * d]`.
    pub inputs: CubeTensor,
    /// Of each line, its row of the padded inputs.
    pub positions: CubeTensor,
    /// Padded, of both directions, `[states, batch, len, width]`.
    pub states: CubeTensor,
    pub memory: Memory<CubeTensor>,
}

/// Tensors of a direction that the gradient of its steps reads from and writes to.
pub(in crate::ops) struct Backward {
    /// Of the states, padded.
    pub grad: CubeTensor,
    pub positions: CubeTensor,
    pub memory: Memory<CubeTensor>,
    /// Gradient of the inputs, padded.
    pub d_inputs: CubeTensor,
    /// Gradient of the products `h W`, a line for each position.
    pub d_products: CubeTensor,
}

/// What flows from a step's gradient to that of the step before it, a line for each row.
pub(in crate::ops) struct Flow {
    /// Gradient of the product, `[active, parts * d]`.
    pub d_product: CubeTensor,
    /// Of an LSTM dL/dc, of a GRU the part of dL/dh that passes by the product, `[active, d]`.
    pub direct: CubeTensor,
}

impl RecurrentKernel for CubeBackend {
    fn recurrent_forward(
        cell: Cell,
        passes: Vec<Pass<CubeTensor>>,
        sequences: &Sequences,
        keep: bool,
    ) -> (CubeTensor, Vec<Memory<CubeTensor>>) {
        let first = &passes[0];
        if !is_supported(first.inputs.dtype) {
            return generic::forward::<Self>(cell, passes, sequences, keep);
        }
        let steps = whole(sequences);
        let (batch, len) = (sequences.batch(), sequences.len);
        let width = passes.len() * first.recurrent.shape()[0];
        let shape = [cell.states(), batch, len, width];
        let states = written_at(steps.positions(), &first.inputs, shape, batch * len);
        let mut memories = Vec::new();
        for (direction, pass) in passes.into_iter().enumerate() {
            let memory = one_direction(cell, pass, &steps, sequences, direction, &states);
            memories.extend(keep.then_some(memory));
        }
        (states, memories)
    }

    fn recurrent_backward(
        cell: Cell,
        grad: CubeTensor,
        recurrent: Vec<CubeTensor>,
        memories: Vec<Memory<CubeTensor>>,
        sequences: &Sequences,
    ) -> Vec<Pass<CubeTensor>> {
        if !is_supported(grad.dtype) {
            return generic::backward::<Self>(cell, grad, recurrent, memories, sequences);
        }
        let steps = whole(sequences);
        let grad = into_contiguous(grad);
        let directions = recurrent.into_iter().zip(memories).enumerate();
        let gradients = directions.map(|(direction, (recurrent, memory))| {
            let grad = grad.clone();
            bptt(cell, grad, recurrent, memory, &steps, sequences, direction)
        });
        gradients.collect()
    }
}

/// A tensor that a kernel writes at so many of its positions: zeros where those are not all.
fn written_at<const D: usize>(
    real: usize,
    like: &CubeTensor,
    shape: [usize; D],
    positions: usize,
) -> CubeTensor {
    if real == positions {
        return empty_like(like, shape);
    }
    let zeros = CubeBackend::float_zeros(Shape::from(shape), &like.device(), like.dtype().into());
    into_contiguous(zeros)
}

/// Whether the rows of the steps are all rows, as they stand in the batch.
fn in_place(steps: &Steps, sequences: &Sequences) -> bool {
    steps.rows.iter().copied().eq(0..sequences.batch())
}

fn one_direction(
    cell: Cell,
    pass: Pass<CubeTensor>,
    steps: &Steps,
    sequences: &Sequences,
    direction: usize,
    states: &CubeTensor,
) -> Memory<CubeTensor> {
    let d = pass.recurrent.shape()[0];
    let device = pass.inputs.device();
    let positions = sequences.places(steps, sequences.directions[direction]);
    let lines = |cols| empty_like(&pass.inputs, [steps.positions(), cols]);
    let forward = Forward {
        positions: indices::<CubeBackend>(&positions, &device),
        states: states.clone(),
        memory: Memory {
            gates: lines(4 * d),
            hiddens: lines(d),
            cells: matches!(cell, Cell::Lstm).then(|| lines(d)),
        },
        inputs: into_contiguous(pass.inputs),
    };
    if let Some(plan) = Plan::forward(&forward.inputs.client, cell, d, steps.rows.len()) {
        let order = (steps, sequences, direction);
        one_launch::run(
            plan,
            &forward,
            pass.recurrent,
            pass.hidden,
            pass.extra,
            order,
        );
        return forward.memory;
    }
    let rows = |tensor: CubeTensor| {
        if in_place(steps, sequences) {
            return into_contiguous(tensor);
        }
        let rows = indices::<CubeBackend>(&steps.rows, &device);
        into_contiguous(CubeBackend::float_select(tensor, 0, rows))
    };
    let mut hidden = rows(pass.hidden);
    // c before the step, or the bias.
    let mut extra = match cell {
        Cell::Lstm => rows(pass.extra),
        Cell::Gru => into_contiguous(pass.extra),
    };
    for step in each_step(steps, sequences, direction, d) {
        let before = first_rows(&hidden, step.active);
        let product = CubeBackend::float_matmul(before, pass.recurrent.clone());
        match cell {
            Cell::Lstm => {
                (hidden, extra) = lstm::cube::step(&forward, step, product, hidden, extra);
            }
            Cell::Gru => {
                hidden = gru::cube::step(&forward, step, product, hidden, extra.clone());
            }
        }
    }
    forward.memory
}

/// The gradients of one direction.
fn bptt(
    cell: Cell,
    grad: CubeTensor,
    recurrent: CubeTensor,
    memory: Memory<CubeTensor>,
    steps: &Steps,
    sequences: &Sequences,
    direction: usize,
) -> Pass<CubeTensor> {
    let [d, width] = recurrent.shape().dims();
    let device = grad.device();
    let (batch, len) = (sequences.batch(), sequences.len);
    let positions = sequences.places(steps, sequences.directions[direction]);
    let backward = Backward {
        positions: indices::<CubeBackend>(&positions, &device),
        d_inputs: written_at(steps.positions(), &grad, [batch, len, width], batch * len),
        d_products: empty_like(&grad, [steps.positions(), width]),
        grad,
        memory,
    };
    let transposed = CubeBackend::float_transpose(recurrent);
    let order = (steps, sequences, direction);
    let (hidden, direct) = match Plan::backward(&backward.grad.client, cell, d, steps.rows.len()) {
        Some(plan) => one_launch::run_backward(plan, &backward, transposed, order),
        None => step_by_step_backward(cell, &backward, transposed, order),
    };
    let hiddens = CubeBackend::float_transpose(backward.memory.hiddens);
    let d_products = backward.d_products;
    let extra = match cell {
        Cell::Lstm => direct.expect("an LSTM has cells"),
        Cell::Gru => {
            let d_bias = columns::<CubeBackend>(d_products.clone(), 2 * d, 3 * d);
            let d_bias = CubeBackend::float_sum_dim(d_bias, 0);
            CubeBackend::float_reshape(d_bias, Shape::from([d]))
        }
    };
    Pass {
        inputs: backward.d_inputs,
        recurrent: CubeBackend::float_matmul(hiddens, d_products),
        hidden,
        extra,
    }
}

/// The gradients of h, and of an LSTM of c, before the first step, `[batch, d]`.
fn step_by_step_backward(
    cell: Cell,
    backward: &Backward,
    transposed: CubeTensor,
    (steps, sequences, direction): (&Steps, &Sequences, usize),
) -> (CubeTensor, Option<CubeTensor>) {
    let d = transposed.shape()[1];
    // Of the step that follows: dL/dh through its product, and what passes by it.
    let mut later: Option<(CubeTensor, CubeTensor)> = None;
    for step in each_step(steps, sequences, direction, d).into_iter().rev() {
        let flow = match cell {
            Cell::Lstm => lstm::cube::step_backward(backward, step, later),
            Cell::Gru => gru::cube::step_backward(backward, step, later),
        };
        let through = CubeBackend::float_matmul(flow.d_product, transposed.clone());
        later = Some((through, flow.direct));
    }
    let (through, direct) = later.expect("a step");
    let rows = |tensor: CubeTensor| {
        if in_place(steps, sequences) {
            return tensor;
        }
        let rows = indices::<CubeBackend>(&steps.rows, &backward.grad.device());
        spread::<CubeBackend>(tensor, rows, sequences.batch())
    };
    match cell {
        Cell::Lstm => (rows(through), Some(rows(direct))),
        Cell::Gru => (rows(CubeBackend::float_add(through, direct)), None),
    }
}
