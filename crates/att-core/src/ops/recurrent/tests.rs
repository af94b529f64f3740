//! What the LSTM and the GRU must both hold.

use burn::backend::{Flex, ops::FloatTensorOps, tensor::FloatTensor};
use burn::tensor::{Device, Shape, Tensor};

use super::*;
use crate::ops::gru::{GruArguments, bidirectional_gru, gru, gru_reference};
use crate::ops::lstm::{LstmArguments, LstmStates, bidirectional_lstm, lstm, lstm_reference};
use crate::ops::test_support::{assert_close, cpu_devices, devices, gradients, random_tensor};

const CELLS: [Cell; 2] = [Cell::Lstm, Cell::Gru];
const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

/// Ragged, equal and single rows; sizes that are and are not multiples of a vector's width; and
/// enough rows and work for several shares.
fn cases() -> Vec<(usize, Vec<usize>)> {
    let many = |batch: usize| (0..batch).map(|row| 1 + row * 7 % 6).collect();
    vec![
        (1, vec![1]),
        (5, vec![1]),
        (5, vec![4]),
        (17, vec![3, 1, 4, 2]),
        (16, vec![3, 3]),
        (5, vec![2, 0, 5]),
        (33, many(41)),
        (64, many(50)),
        // The second share has nothing to do.
        (160, [vec![7], vec![0; 15]].concat()),
    ]
}

/// inputs, recurrent, hidden, extra; padding included.
fn arguments(cell: Cell, d: usize, lengths: &[usize], device: &Device) -> [Tensor<3>; 4] {
    let (batch, len) = (lengths.len(), longest(lengths) + 1);
    let (parts, extra) = match cell {
        Cell::Lstm => (4, batch),
        Cell::Gru => (3, 1),
    };
    // Large recurrent weights would multiply rounding errors from step to step.
    let scale = if d > 64 { 3.0 / (d as f32).sqrt() } else { 1.0 };
    [
        random_tensor([batch, len, parts * d], device),
        random_tensor([1, d, parts * d], device) * scale,
        random_tensor([1, batch, d], device),
        random_tensor([1, extra, d], device),
    ]
}

fn longest(lengths: &[usize]) -> usize {
    *lengths.iter().max().unwrap()
}

fn lstm_arguments([inputs, recurrent, hidden, cell]: [Tensor<3>; 4]) -> LstmArguments {
    LstmArguments {
        inputs,
        recurrent: recurrent.squeeze_dim(0),
        hidden: hidden.squeeze_dim(0),
        cell: cell.squeeze_dim(0),
    }
}

fn gru_arguments([inputs, recurrent, hidden, bias]: [Tensor<3>; 4]) -> GruArguments {
    GruArguments {
        inputs,
        recurrent: recurrent.squeeze_dim(0),
        bias: bias.squeeze_dims(&[0, 1]),
        hidden: hidden.squeeze_dim(0),
    }
}

/// h and c beside each other.
fn joined(states: LstmStates) -> Tensor<3> {
    Tensor::cat(vec![states.hidden, states.cell], 2)
}

fn fused(cell: Cell, a: [Tensor<3>; 4], direction: Direction, lengths: &[usize]) -> Tensor<3> {
    match cell {
        Cell::Lstm => joined(lstm(lstm_arguments(a), direction, lengths)),
        Cell::Gru => gru(gru_arguments(a), direction, lengths),
    }
}

fn reference(cell: Cell, a: [Tensor<3>; 4], direction: Direction, lengths: &[usize]) -> Tensor<3> {
    match cell {
        Cell::Lstm => joined(lstm_reference(lstm_arguments(a), direction, lengths)),
        Cell::Gru => gru_reference(gru_arguments(a), direction, lengths),
    }
}

/// The arguments of the forward direction, then those of the backward one.
fn both(cell: Cell, arguments: [Tensor<3>; 8], lengths: &[usize]) -> Tensor<3> {
    let [a, b, c, d, e, f, g, h] = arguments;
    let (forward, backward) = ([a, b, c, d], [e, f, g, h]);
    match cell {
        Cell::Lstm => joined(bidirectional_lstm(
            lstm_arguments(forward),
            lstm_arguments(backward),
            lengths,
        )),
        Cell::Gru => bidirectional_gru(gru_arguments(forward), gru_arguments(backward), lengths),
    }
}

/// What [`both`] must be, from the reference.
fn both_reference(cell: Cell, arguments: [Tensor<3>; 8], lengths: &[usize]) -> Tensor<3> {
    let [a, b, c, d, e, f, g, h] = arguments;
    let forward = reference(cell, [a, b, c, d], Direction::Forward, lengths);
    let backward = reference(cell, [e, f, g, h], Direction::Backward, lengths);
    let states = cell.states();
    let mut halves = Vec::new();
    for state in 0..states {
        for direction in [&forward, &backward] {
            let chunk = direction.clone().chunk(states, 2).swap_remove(state);
            halves.push(chunk);
        }
    }
    Tensor::cat(halves, 2)
}

fn two_directions(cell: Cell, d: usize, lengths: &[usize], device: &Device) -> [Tensor<3>; 8] {
    let [a, b, c, d1] = arguments(cell, d, lengths, device);
    let [e, f, g, h] = arguments(cell, d, lengths, device);
    [a, b, c, d1, e, f, g, h]
}

#[test]
fn fused_equals_reference_on_every_backend() {
    for device in devices() {
        for cell in CELLS {
            for (d, lengths) in cases() {
                crate::random::seed(3);
                for direction in DIRECTIONS {
                    let arguments = arguments(cell, d, &lengths, &device);
                    let expected = reference(cell, arguments.clone(), direction, &lengths);
                    assert_close(fused(cell, arguments, direction, &lengths), expected, 1e-5);
                }
                let arguments = two_directions(cell, d, &lengths, &device);
                let expected = both_reference(cell, arguments.clone(), &lengths);
                assert_close(both(cell, arguments, &lengths), expected, 1e-5);
            }
        }
    }
}

#[test]
fn gradients_equal_those_of_the_reference() {
    for device in devices() {
        for cell in CELLS {
            for (d, lengths) in cases() {
                crate::random::seed(4);
                for direction in DIRECTIONS {
                    let arguments = arguments(cell, d, &lengths, &device);
                    let got = gradients(arguments.clone(), |a| fused(cell, a, direction, &lengths));
                    let expected =
                        gradients(arguments, |a| reference(cell, a, direction, &lengths));
                    for (got, expected) in got.into_iter().zip(expected) {
                        assert_close(got, expected, 2e-5);
                    }
                }
                let arguments = two_directions(cell, d, &lengths, &device);
                let got = gradients(arguments.clone(), |a| both(cell, a, &lengths));
                let expected = gradients(arguments, |a| both_reference(cell, a, &lengths));
                for (got, expected) in got.into_iter().zip(expected) {
                    assert_close(got, expected, 2e-5);
                }
            }
        }
    }
}

#[test]
fn huge_inputs_saturate_the_gates() {
    for device in devices() {
        for cell in CELLS {
            crate::random::seed(8);
            let [inputs, recurrent, hidden, extra] = arguments(cell, 3, &[2, 4], &device);
            let arguments = [inputs * 1e5, recurrent, hidden, extra];
            let run = |a| fused(cell, a, Direction::Forward, &[2, 4]);
            let expected = reference(cell, arguments.clone(), Direction::Forward, &[2, 4]);
            assert_close(run(arguments.clone()), expected, 1e-5);
            for gradient in gradients(arguments, run) {
                assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));
            }
        }
    }
}

/// The kernel and the generic body, over the same arguments: states, and the gradients.
fn on_flex(
    cell: Cell,
    arguments: &[Tensor<3>; 8],
    lengths: &[usize],
    with_generic: bool,
) -> Vec<Vec<f32>> {
    let primitive = |tensor: &Tensor<3>| -> FloatTensor<Flex> {
        tensor.clone().try_into_primitive::<Flex>().expect("flex")
    };
    let matrix = |tensor: &Tensor<3>| {
        let [_, rows, cols] = tensor.dims();
        Flex::float_reshape(primitive(tensor), Shape::from([rows, cols]))
    };
    let passes: Vec<_> = arguments
        .chunks_exact(4)
        .map(|a| Pass {
            inputs: primitive(&a[0]),
            recurrent: matrix(&a[1]),
            hidden: matrix(&a[2]),
            extra: match cell {
                Cell::Lstm => matrix(&a[3]),
                Cell::Gru => {
                    let [_, _, d] = a[3].dims();
                    Flex::float_reshape(primitive(&a[3]), Shape::from([d]))
                }
            },
        })
        .collect();
    let [batch, len, _] = arguments[0].dims();
    let sequences = Sequences::new(lengths, [batch, len], &DIRECTIONS);
    let recurrent: Vec<_> = passes.iter().map(|pass| pass.recurrent.clone()).collect();
    let (states, gradients) = if with_generic {
        let (states, memories) = generic::forward::<Flex>(cell, passes, &sequences, true);
        let grad = Flex::float_add_scalar(states.clone(), 0.5.into());
        let gradients = generic::backward::<Flex>(cell, grad, recurrent, memories, &sequences);
        (states, gradients)
    } else {
        let (states, memories) = Flex::recurrent_forward(cell, passes, &sequences, true);
        let grad = Flex::float_add_scalar(states.clone(), 0.5.into());
        let gradients = Flex::recurrent_backward(cell, grad, recurrent, memories, &sequences);
        (states, gradients)
    };
    let mut all = vec![states];
    for pass in gradients {
        all.extend([pass.inputs, pass.recurrent, pass.hidden, pass.extra]);
    }
    all.into_iter()
        .map(|tensor| tensor.to_contiguous().into_data().try_into_vec().unwrap())
        .collect()
}

#[test]
fn the_generic_body_equals_the_kernel() {
    let device = &cpu_devices()[0];
    for cell in CELLS {
        for (d, lengths) in cases() {
            crate::random::seed(5);
            let arguments = two_directions(cell, d, &lengths, device);
            let kernel = on_flex(cell, &arguments, &lengths, false);
            let generic = on_flex(cell, &arguments, &lengths, true);
            assert_eq!(kernel.len(), 9);
            for (kernel, generic) in kernel.iter().zip(&generic) {
                assert_eq!(kernel.len(), generic.len());
                for (a, b) in kernel.iter().zip(generic) {
                    assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{a} against {b}");
                }
            }
        }
    }
}

/// `tensor` (`[batch, len, _]`) with `what` at padding.
fn at_padding(tensor: Tensor<3>, lengths: &[usize], what: f32) -> Tensor<3> {
    let [batch, len, d] = tensor.dims();
    let padding = crate::mask::src_pad_mask(lengths, len, &tensor.device());
    let padding = padding.unsqueeze_dim::<3>(2).expand([batch, len, d]);
    tensor.mask_fill(padding, what)
}

/// That all of `tensor` at padding is exactly zero.
fn assert_zero_at_padding(tensor: Tensor<3>, lengths: &[usize]) {
    let [batch, len, d] = tensor.dims();
    let data = tensor.into_data().try_into_vec::<f32>().unwrap();
    for row in 0..batch {
        let padding = &data[(row * len + lengths[row]) * d..(row + 1) * len * d];
        assert!(padding.iter().all(|&x| x == 0.0), "row {row}: {padding:?}");
    }
}

#[test]
fn padding_is_zero_and_whatever_stands_there_changes_nothing() {
    for device in devices() {
        for cell in CELLS {
            for (d, lengths) in cases() {
                crate::random::seed(6);
                let clean = two_directions(cell, d, &lengths, &device);
                let expected = gradients(clean.clone(), |a| {
                    at_padding(both(cell, a, &lengths), &lengths, 0.0)
                });
                let states = both(cell, clean.clone(), &lengths);
                assert_zero_at_padding(states.clone(), &lengths);
                for garbage in [f32::NAN, 1e30] {
                    let mut dirty = clean.clone();
                    for k in [0, 4] {
                        dirty[k] = at_padding(dirty[k].clone(), &lengths, garbage);
                    }
                    let got = both(cell, dirty.clone(), &lengths);
                    got.into_data().assert_eq(&states.to_data(), true);
                    // Gradients arrive at padding here, and do nothing.
                    let got = gradients(dirty, |a| both(cell, a, &lengths));
                    for k in [0, 4] {
                        assert_zero_at_padding(got[k].clone(), &lengths);
                    }
                    for (got, expected) in got.into_iter().zip(&expected) {
                        assert_close(got, expected.clone(), 1e-6);
                    }
                }
            }
        }
    }
}

#[test]
fn the_generic_body_does_not_read_padding_either() {
    let device = &cpu_devices()[0];
    for cell in CELLS {
        crate::random::seed(7);
        let lengths = [3, 1, 2];
        let mut arguments = two_directions(cell, 5, &lengths, device);
        let clean = on_flex(cell, &arguments, &lengths, true);
        for k in [0, 4] {
            arguments[k] = at_padding(arguments[k].clone(), &lengths, f32::NAN);
        }
        assert_eq!(on_flex(cell, &arguments, &lengths, true), clean);
    }
}

#[test]
#[should_panic(expected = "at least one step")]
fn a_batch_of_nothing_is_refused() {
    let device = &cpu_devices()[0];
    let arguments = arguments(Cell::Gru, 2, &[0, 0], device);
    fused(Cell::Gru, arguments, Direction::Forward, &[0, 0]);
}
