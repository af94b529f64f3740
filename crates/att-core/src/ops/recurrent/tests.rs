//! What the LSTM and the GRU must both hold.

use burn::tensor::{Device, Tensor};

use super::*;
use crate::ops::gru::{GruArguments, bidirectional_gru, gru, gru_reference};
use crate::ops::lstm::{LstmArguments, bidirectional_lstm, lstm, lstm_reference};
use crate::ops::test_support::{assert_close, cpu_devices, devices, gradients, random_tensor};

const CELLS: [Cell; 2] = [Cell::Lstm, Cell::Gru];
const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

/// Ragged, equal and single rows, with a bias each where d is odd; sizes that are and are not
/// multiples of a vector's width; and enough rows and work for several shares.
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

/// input, its weight and bias, recurrent weight, hidden, extra; padding included.
type Arguments = [Tensor<3>; 6];

fn arguments(cell: Cell, d: usize, lengths: &[usize], device: &Device) -> Arguments {
    let (batch, len, d_input) = (lengths.len(), longest(lengths) + 1, d / 2 + 3);
    let (parts, extra) = match cell {
        Cell::Lstm => (4, batch),
        Cell::Gru => (3, 1),
    };
    let biases = if d % 2 == 1 { batch } else { 1 };
    // Large weights would multiply rounding errors from step to step.
    let scale = if d > 64 { 3.0 / (d as f32).sqrt() } else { 1.0 };
    [
        random_tensor([batch, len, d_input], device),
        random_tensor([1, d_input, parts * d], device) * scale,
        random_tensor([1, biases, parts * d], device),
        random_tensor([1, d, parts * d], device) * scale,
        random_tensor([1, batch, d], device),
        random_tensor([1, extra, d], device),
    ]
}

fn longest(lengths: &[usize]) -> usize {
    *lengths.iter().max().unwrap()
}

fn lstm_arguments([input, wx, b, w, hidden, cell]: Arguments) -> LstmArguments {
    LstmArguments {
        input,
        input_weight: wx.squeeze_dim(0),
        input_bias: b.squeeze_dim(0),
        recurrent_weight: w.squeeze_dim(0),
        hidden: hidden.squeeze_dim(0),
        cell: cell.squeeze_dim(0),
    }
}

fn gru_arguments([input, wx, b, w, hidden, bias]: Arguments) -> GruArguments {
    GruArguments {
        input,
        input_weight: wx.squeeze_dim(0),
        input_bias: b.squeeze_dim(0),
        recurrent_weight: w.squeeze_dim(0),
        recurrent_bias: bias.squeeze_dims(&[0, 1]),
        hidden: hidden.squeeze_dim(0),
    }
}

/// All states below each other, `[batch, len + 1, d]`, or of an LSTM `len + 2`.
fn joined(states: RecurrentStates) -> Tensor<3> {
    let last = [Some(states.last.hidden), states.last.cell];
    let last = last.into_iter().flatten().map(|last| last.unsqueeze_dim(1));
    Tensor::cat([states.hidden].into_iter().chain(last).collect(), 1)
}

fn fused(cell: Cell, a: Arguments, direction: Direction, lengths: &[usize]) -> Tensor<3> {
    joined(match cell {
        Cell::Lstm => lstm(lstm_arguments(a), direction, lengths),
        Cell::Gru => gru(gru_arguments(a), direction, lengths),
    })
}

fn reference(cell: Cell, a: Arguments, direction: Direction, lengths: &[usize]) -> Tensor<3> {
    joined(match cell {
        Cell::Lstm => lstm_reference(lstm_arguments(a), direction, lengths),
        Cell::Gru => gru_reference(gru_arguments(a), direction, lengths),
    })
}

fn halves(arguments: [Tensor<3>; 12]) -> [Arguments; 2] {
    let mut arguments = arguments.into_iter();
    let mut half = || std::array::from_fn(|_| arguments.next().expect("there are two times six"));
    [half(), half()]
}

/// Of the arguments of the forward direction and then those of the backward one.
fn states(cell: Cell, arguments: [Tensor<3>; 12], lengths: &[usize]) -> RecurrentStates {
    let [forward, backward] = halves(arguments);
    match cell {
        Cell::Lstm => {
            let (forward, backward) = (lstm_arguments(forward), lstm_arguments(backward));
            bidirectional_lstm(forward, backward, lengths)
        }
        Cell::Gru => bidirectional_gru(gru_arguments(forward), gru_arguments(backward), lengths),
    }
}

fn both(cell: Cell, arguments: [Tensor<3>; 12], lengths: &[usize]) -> Tensor<3> {
    joined(states(cell, arguments, lengths))
}

/// [`both`] in the way of the backends that have no kernels on slices.
fn both_projected_first(cell: Cell, arguments: [Tensor<3>; 12], lengths: &[usize]) -> Tensor<3> {
    let layers = halves(arguments).map(|[input, wx, b, w, hidden, extra]| Layer {
        input,
        input_weight: wx.squeeze_dim(0),
        input_bias: b.squeeze_dim(0),
        recurrent_weight: w.squeeze_dim(0),
        hidden: hidden.squeeze_dim(0),
        extra: match cell {
            Cell::Lstm => Extra::Cell(extra.squeeze_dim(0)),
            Cell::Gru => Extra::Bias(extra.squeeze_dims(&[0, 1])),
        },
    });
    let [batch, len, _] = layers[0].input.dims();
    let sequences = Sequences::new(lengths, [batch, len], &DIRECTIONS);
    joined(projected_first(layers.into(), sequences))
}

/// What [`both`] must be, from the reference.
fn both_reference(cell: Cell, arguments: [Tensor<3>; 12], lengths: &[usize]) -> Tensor<3> {
    let [forward, backward] = halves(arguments);
    let forward = reference(cell, forward, Direction::Forward, lengths);
    let backward = reference(cell, backward, Direction::Backward, lengths);
    Tensor::cat(vec![forward, backward], 2)
}

fn two_directions(cell: Cell, d: usize, lengths: &[usize], device: &Device) -> [Tensor<3>; 12] {
    let forward = arguments(cell, d, lengths, device);
    let backward = arguments(cell, d, lengths, device);
    let all = [forward, backward].concat();
    all.try_into().expect("two times six")
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

/// A GPU has a launch for all steps of a layer up to a size, and launches for each step beyond.
#[test]
fn large_layers_equal_the_reference() {
    let (d, lengths) = (600, [2, 1]);
    for device in devices() {
        for cell in CELLS {
            crate::random::seed(12);
            let arguments = arguments(cell, d, &lengths, &device);
            let fused = |a| fused(cell, a, Direction::Forward, &lengths);
            let reference = |a| reference(cell, a, Direction::Forward, &lengths);
            assert_close(fused(arguments.clone()), reference(arguments.clone()), 1e-5);
            let expected = gradients(arguments.clone(), reference);
            for (got, expected) in gradients(arguments, fused).into_iter().zip(expected) {
                assert_close(got, expected, 2e-5);
            }
        }
    }
}

#[test]
fn huge_inputs_saturate_the_gates() {
    for device in devices() {
        for cell in CELLS {
            crate::random::seed(8);
            let mut arguments = arguments(cell, 3, &[2, 4], &device);
            arguments[0] = arguments[0].clone() * 1e5;
            let run = |a| fused(cell, a, Direction::Forward, &[2, 4]);
            let expected = reference(cell, arguments.clone(), Direction::Forward, &[2, 4]);
            assert_close(run(arguments.clone()), expected, 1e-5);
            for gradient in gradients(arguments, run) {
                assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));
            }
        }
    }
}

#[test]
fn the_way_without_kernels_equals_the_kernel() {
    let device = &cpu_devices()[0];
    for cell in CELLS {
        for (d, lengths) in cases() {
            crate::random::seed(5);
            let arguments = two_directions(cell, d, &lengths, device);
            let kernel = both(cell, arguments.clone(), &lengths);
            let generic = both_projected_first(cell, arguments.clone(), &lengths);
            assert_close(kernel, generic, 1e-5);
            let kernel = gradients(arguments.clone(), |a| both(cell, a, &lengths));
            let generic = gradients(arguments, |a| both_projected_first(cell, a, &lengths));
            for (kernel, generic) in kernel.into_iter().zip(generic) {
                assert_close(kernel, generic, 2e-5);
            }
        }
    }
}

#[test]
fn any_of_the_states_may_go_unused() {
    for device in devices() {
        for cell in CELLS {
            crate::random::seed(9);
            let lengths = [3, 1, 2];
            let arguments = two_directions(cell, 5, &lengths, &device);
            let len = longest(&lengths) + 1;
            // Where it stands among the joined ones, and how it is taken without them.
            type Take = fn(RecurrentStates) -> Tensor<3>;
            let mut parts: Vec<(_, Take)> = vec![
                (0..len, |states| states.hidden),
                (len..len + 1, |states| states.last.hidden.unsqueeze_dim(1)),
            ];
            if cell.states() == 2 {
                parts.push((len + 1..len + 2, |states| {
                    states.last.cell.expect("of an LSTM").unsqueeze_dim(1)
                }));
            }
            for (place, take) in parts {
                let expected = gradients(arguments.clone(), |a| {
                    let all = both_reference(cell, a, &lengths);
                    all.narrow(1, place.start, place.len())
                });
                let got = gradients(arguments.clone(), |a| take(states(cell, a, &lengths)));
                for (got, expected) in got.into_iter().zip(expected) {
                    assert_close(got, expected, 2e-5);
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
    for (index, device) in devices().into_iter().enumerate() {
        for cell in CELLS {
            for (d, lengths) in cases() {
                crate::random::seed(6);
                let clean = two_directions(cell, d, &lengths, &device);
                let len = longest(&lengths) + 1;
                let all_steps = |states: Tensor<3>| states.narrow(1, 0, len);
                let expected = gradients(clean.clone(), |a| {
                    at_padding(all_steps(both(cell, a, &lengths)), &lengths, 0.0)
                });
                let states = both(cell, clean.clone(), &lengths);
                assert_zero_at_padding(all_steps(states.clone()), &lengths);
                // Not on slices the gradient of the projection multiplies what is there with zero.
                let on_slices = index < cpu_devices().len();
                for garbage in [if on_slices { f32::NAN } else { 1e10 }, 1e30] {
                    let mut dirty = clean.clone();
                    for k in [0, 6] {
                        dirty[k] = at_padding(dirty[k].clone(), &lengths, garbage);
                    }
                    let got = both(cell, dirty.clone(), &lengths);
                    got.into_data().assert_eq(&states.to_data(), true);
                    // Gradients arrive at padding here, and do nothing.
                    let got = gradients(dirty, |a| all_steps(both(cell, a, &lengths)));
                    for k in [0, 6] {
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
#[should_panic(expected = "at least one step")]
fn a_batch_of_nothing_is_refused() {
    let device = &cpu_devices()[0];
    let arguments = arguments(Cell::Gru, 2, &[0, 0], device);
    fused(Cell::Gru, arguments, Direction::Forward, &[0, 0]);
}
