//! All steps from a backend's own float operations.
//!
//! The real positions are selected from the padded batch into dense lines, in the order of the
//! steps; each step takes the next lines, and the results are put back at the end. So padding is
//! never read, and finished rows do no work.

use burn::backend::{Backend, TensorMetadata, tensor::FloatTensor, tensor::IntTensor};
use burn::tensor::{IndexingUpdateOp, Shape, Slice};

use super::sequences::Sequences;
use super::{Cell, Memory, Pass};
use crate::ops::generic::{columns, flatten, indices};
use crate::ops::steps::Steps;
use crate::ops::{gru, lstm};

pub(super) fn forward<B: Backend>(
    cell: Cell,
    passes: Vec<Pass<FloatTensor<B>>>,
    sequences: &Sequences,
    keep: bool,
) -> (FloatTensor<B>, Vec<Memory<FloatTensor<B>>>) {
    let steps = whole(sequences);
    let mut states = vec![Vec::new(); cell.states()];
    let mut memories = Vec::new();
    for (pass, &direction) in passes.into_iter().zip(&sequences.directions) {
        let device = pass.inputs.device();
        let rows = indices::<B>(&steps.rows, &device);
        let positions = indices::<B>(&sequences.places(&steps, direction), &device);
        let (of_direction, memory) = one_direction::<B>(cell, pass, &steps, rows, &positions);
        for (all, one) in states.iter_mut().zip(of_direction) {
            let one = spread::<B>(one, positions.clone(), sequences.batch() * sequences.len);
            all.push(one);
        }
        memories.extend(keep.then_some(memory));
    }
    let states = states
        .into_iter()
        .map(|directions| {
            let state = B::float_cat(directions, 1);
            let width = state.shape()[1];
            let shape = [1, sequences.batch(), sequences.len, width];
            B::float_reshape(state, Shape::from(shape))
        })
        .collect();
    (B::float_cat(states, 0), memories)
}

/// h (and c) of each line, `[real, d]`.
fn one_direction<B: Backend>(
    cell: Cell,
    pass: Pass<FloatTensor<B>>,
    steps: &Steps,
    rows: IntTensor<B>,
    positions: &IntTensor<B>,
) -> (Vec<FloatTensor<B>>, Memory<FloatTensor<B>>) {
    let inputs = B::float_select(flatten::<B>(pass.inputs), 0, positions.clone());
    let mut h = B::float_select(pass.hidden, 0, rows.clone());
    let (mut c, bias) = match cell {
        Cell::Lstm => (Some(B::float_select(pass.extra, 0, rows)), None),
        Cell::Gru => {
            let d = pass.extra.shape()[0];
            (
                None,
                Some(B::float_reshape(pass.extra, Shape::from([1, d]))),
            )
        }
    };
    let (mut hiddens, mut cells) = (Vec::new(), Vec::new());
    let (mut hiddens_before, mut cells_before, mut gates) = (Vec::new(), Vec::new(), Vec::new());
    for t in 0..steps.len() {
        let (line, active) = (steps.at(t).start, steps.at(t).len());
        let x = lines::<B>(inputs.clone(), line, active);
        h = lines::<B>(h, 0, active);
        hiddens_before.push(h.clone());
        let y = B::float_matmul(h.clone(), pass.recurrent.clone());
        let of_step = match (c, &bias) {
            (Some(c_before), _) => {
                let c_before = lines::<B>(c_before, 0, active);
                cells_before.push(c_before.clone());
                let (of_step, h_now, c_now) = lstm::generic::step::<B>(x, y, c_before);
                cells.push(c_now.clone());
                (h, c) = (h_now, Some(c_now));
                of_step
            }
            (None, Some(bias)) => {
                let (of_step, h_now) = gru::generic::step::<B>(x, y, bias.clone(), h);
                (h, c) = (h_now, None);
                of_step
            }
            (None, None) => unreachable!("a GRU has a bias"),
        };
        gates.push(of_step);
        hiddens.push(h.clone());
    }
    let cat = |tensors| B::float_cat(tensors, 0);
    let memory = Memory {
        gates: cat(gates),
        hiddens: cat(hiddens_before),
        cells: (!cells_before.is_empty()).then(|| cat(cells_before)),
    };
    let mut states = vec![cat(hiddens)];
    states.extend((!cells.is_empty()).then(|| cat(cells)));
    (states, memory)
}

pub(super) fn backward<B: Backend>(
    cell: Cell,
    grad: FloatTensor<B>,
    recurrent: Vec<FloatTensor<B>>,
    memories: Vec<Memory<FloatTensor<B>>>,
    sequences: &Sequences,
) -> Vec<Pass<FloatTensor<B>>> {
    let steps = whole(sequences);
    let device = grad.device();
    let all = sequences.batch() * sequences.len;
    let directions = recurrent.into_iter().zip(memories).enumerate();
    let gradients = directions.map(|(index, (recurrent, memory))| {
        let positions = sequences.places(&steps, sequences.directions[index]);
        let positions = indices::<B>(&positions, &device);
        let d = recurrent.shape()[0];
        let up = (0..cell.states()).map(|state| {
            let part = [
                Slice::from(state..state + 1),
                Slice::full(),
                Slice::full(),
                Slice::from(index * d..(index + 1) * d),
            ];
            let part = B::float_slice(grad.clone(), &part);
            let part = B::float_reshape(part, Shape::from([all, d]));
            B::float_select(part, 0, positions.clone())
        });
        let dense = bptt::<B>(cell, up.collect(), recurrent, memory, &steps);
        let rows = || indices::<B>(&steps.rows, &device);
        Pass {
            inputs: {
                let padded = spread::<B>(dense.inputs, positions, all);
                let width = padded.shape()[1];
                let shape = [sequences.batch(), sequences.len, width];
                B::float_reshape(padded, Shape::from(shape))
            },
            recurrent: dense.recurrent,
            hidden: spread::<B>(dense.hidden, rows(), sequences.batch()),
            extra: match cell {
                Cell::Lstm => spread::<B>(dense.extra, rows(), sequences.batch()),
                Cell::Gru => dense.extra,
            },
        }
    });
    gradients.collect()
}

/// The gradients of one direction, those of `inputs`, `hidden` and the initial cells as lines.
fn bptt<B: Backend>(
    cell: Cell,
    up: Vec<FloatTensor<B>>,
    recurrent: FloatTensor<B>,
    memory: Memory<FloatTensor<B>>,
    steps: &Steps,
) -> Pass<FloatTensor<B>> {
    let d = recurrent.shape()[0];
    let transposed = B::float_transpose(recurrent);
    let nothing = |rows| zeros::<B>([rows, d], &up[0]);
    let mut dh: Option<FloatTensor<B>> = None;
    let mut dc: Option<FloatTensor<B>> = None;
    // Gradients of the inputs and of the products `h W`.
    let (mut d_x, mut d_y) = (Vec::new(), Vec::new());
    for t in (0..steps.len()).rev() {
        let (line, active) = (steps.at(t).start, steps.at(t).len());
        let of_step = |tensor: &FloatTensor<B>| lines::<B>(tensor.clone(), line, active);
        // Nothing has come yet to rows that end with this step.
        let joined = |later: Option<FloatTensor<B>>| match later {
            None => nothing(active),
            Some(later) if later.shape()[0] == active => later,
            Some(later) => {
                let ending = nothing(active - later.shape()[0]);
                B::float_cat(vec![later, ending], 0)
            }
        };
        let dh_here = B::float_add(of_step(&up[0]), joined(dh));
        let gates = of_step(&memory.gates);
        match &memory.cells {
            Some(cells) => {
                let dc_here = B::float_add(of_step(&up[1]), joined(dc));
                let (dz, dc_before) =
                    lstm::generic::step_backward::<B>(dh_here, dc_here, gates, of_step(cells));
                dh = Some(B::float_matmul(dz.clone(), transposed.clone()));
                dc = Some(dc_before);
                d_x.push(dz);
            }
            None => {
                let h_before = of_step(&memory.hiddens);
                let (dx, dy, past) = gru::generic::step_backward::<B>(dh_here, gates, h_before);
                let through = B::float_matmul(dy.clone(), transposed.clone());
                dh = Some(B::float_add(past, through));
                dc = None;
                d_x.push(dx);
                d_y.push(dy);
            }
        }
    }
    let in_order = |mut tensors: Vec<FloatTensor<B>>| {
        tensors.reverse();
        B::float_cat(tensors, 0)
    };
    let d_x = in_order(d_x);
    let d_y = match cell {
        Cell::Lstm => d_x.clone(),
        Cell::Gru => in_order(d_y),
    };
    let extra = match cell {
        Cell::Lstm => dc.expect("a step"),
        Cell::Gru => {
            let d_bias = B::float_sum_dim(columns::<B>(d_y.clone(), 2 * d, 3 * d), 0);
            B::float_reshape(d_bias, Shape::from([d]))
        }
    };
    Pass {
        inputs: d_x,
        recurrent: B::float_matmul(B::float_transpose(memory.hiddens), d_y),
        hidden: dh.expect("a step"),
        extra,
    }
}

/// The steps of all rows together.
pub(super) fn whole(sequences: &Sequences) -> Steps {
    Steps::new((0..sequences.batch()).collect(), &sequences.lengths)
}

/// Lines `from..from + count` of a `[lines, ..]` tensor.
fn lines<B: Backend>(tensor: FloatTensor<B>, from: usize, count: usize) -> FloatTensor<B> {
    if from == 0 && tensor.shape()[0] == count {
        return tensor;
    }
    B::float_slice(tensor, &[Slice::from(from..from + count), Slice::full()])
}

/// Zeros of `[count, d]`, with the lines at their indices.
pub(super) fn spread<B: Backend>(
    lines: FloatTensor<B>,
    indices: IntTensor<B>,
    count: usize,
) -> FloatTensor<B> {
    let zeros = zeros::<B>([count, lines.shape()[1]], &lines);
    B::float_select_assign(zeros, 0, indices, lines, IndexingUpdateOp::Add)
}

/// Zeros of the type of `like`, where it lives.
fn zeros<B: Backend>(shape: [usize; 2], like: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_zeros(Shape::from(shape), &like.device(), like.dtype().into())
}
