use super::*;
use crate::mask::src_pad_mask;
use crate::ops::test_support::{assert_close, cpu_devices, devices, random_tensor};
use crate::ops::{LuongInputs, luong, steps_are_one};
use burn::tensor::Device;

/// batch, beam, src_len, d_embed, d_memory, d_hidden, d_attentional
type Sizes = [usize; 7];

const CASES: [(Sizes, &[usize]); 3] = [
    ([1, 1, 1, 1, 1, 1, 1], &[1]),
    ([3, 2, 5, 2, 6, 7, 4], &[5, 1, 3]),
    ([2, 30, 3, 7, 10, 33, 35], &[3, 2]),
];

/// Inputs without feeding, and the memory that they have projected.
fn inputs(
    sizes: Sizes,
    lengths: &[usize],
    (lstm, additive): (bool, bool),
    device: &Device,
) -> (LuongStepInputs, Tensor<3>) {
    let [batch, beam, src_len, d_embed, d_memory, d, d_attentional] = sizes;
    let (rows, d_key) = (batch * beam, if additive { d + 2 } else { d });
    let width = if lstm { 4 * d } else { 3 * d };
    let memory = random_tensor([batch, src_len, d_memory], device);
    let attentional_weight = random_tensor([d + d_memory, d_attentional], device);
    let of_context = attentional_weight.clone().narrow(0, d, d_memory);
    let inputs = LuongStepInputs {
        input: random_tensor([rows, d_embed], device),
        state: RecurrentState {
            hidden: random_tensor([rows, d], device),
            cell: lstm.then(|| random_tensor([rows, d], device)),
        },
        keys: random_tensor([batch, src_len, d_key], device),
        projected: memory.clone().matmul(of_context.unsqueeze()),
        src_pad_mask: src_pad_mask(lengths, src_len, device),
        score: match additive {
            false => LuongScore::Dot { scale: 0.7 },
            true => LuongScore::Additive {
                query_weight: random_tensor([d, d_key], device),
                query_bias: random_tensor([d_key], device),
                v: random_tensor([d_key], device),
            },
        },
        input_weight: random_tensor([d_embed, width], device),
        input_bias: random_tensor([width], device),
        recurrent_weight: random_tensor([d, width], device),
        recurrent_bias: (!lstm).then(|| random_tensor([d], device)),
        attentional_weight,
        attentional_bias: random_tensor([d_attentional], device),
    };
    (inputs, memory)
}

/// The whole pass over a target of one token, each row with a source of its own: nothing is fed yet.
fn by_whole_pass(inputs: LuongStepInputs, memory: Tensor<3>, lengths: &[usize]) -> [Tensor<2>; 2] {
    let [rows, _] = inputs.state.hidden.dims();
    let beam = rows / lengths.len();
    let of_rows = |sources: Tensor<3>| {
        let rows: Vec<i64> = (0..rows as i64).map(|row| row / beam as i64).collect();
        let rows = Tensor::from_data(rows.as_slice(), &sources.device());
        sources.select(0, rows)
    };
    let lengths: Vec<usize> = (0..rows).map(|row| lengths[row / beam]).collect();
    let [_, width] = inputs.input_weight.dims();
    let [_, d_attentional] = inputs.attentional_weight.dims();
    let of_fed = random_tensor([d_attentional, width], &memory.device());
    let arguments = LuongInputs {
        embedded: inputs.input.unsqueeze_dim(1),
        hidden: inputs.state.hidden,
        cell: inputs.state.cell,
        keys: of_rows(inputs.keys),
        memory: of_rows(memory),
        score: inputs.score,
        input_weight: Tensor::cat(vec![inputs.input_weight, of_fed], 0),
        input_bias: inputs.input_bias,
        recurrent_weight: inputs.recurrent_weight,
        recurrent_bias: inputs.recurrent_bias,
        attentional_weight: inputs.attentional_weight,
        attentional_bias: inputs.attentional_bias,
        dropout: None,
    };
    let states = luong(arguments, &lengths, &vec![1; rows]);
    [states.attentional, states.weights].map(|tensor| tensor.squeeze_dim(1))
}

const KINDS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

#[test]
fn a_step_is_that_of_the_whole_pass_on_every_backend() {
    for device in devices() {
        for (sizes, lengths) in CASES {
            for kind in KINDS {
                crate::random::seed(3);
                let (inputs, memory) = inputs(sizes, lengths, kind, &device);
                let step = luong_step(inputs.clone());
                assert_eq!(step.state.cell.is_some(), kind.0);
                let [attentional, weights] = by_whole_pass(inputs, memory, lengths);
                assert_close(step.attentional, attentional, 2e-5);
                assert_close(step.weights, weights, 2e-5);
            }
        }
    }
}

#[test]
fn one_operation_equals_the_operations_of_its_parts() {
    for device in cpu_devices() {
        for (sizes, lengths) in CASES {
            for kind in KINDS {
                crate::random::seed(4);
                let (inputs, _) = inputs(sizes, lengths, kind, &device);
                assert!(steps_are_one(&inputs.input));
                let one = luong_step(inputs.clone());
                let parts = luong_step_composed(inputs);
                assert_close(one.attentional, parts.attentional, 2e-5);
                assert_close(one.weights, parts.weights, 2e-5);
                assert_close(one.state.hidden, parts.state.hidden, 2e-5);
                if let (Some(cell), Some(expected)) = (one.state.cell, parts.state.cell) {
                    assert_close(cell, expected, 2e-5);
                }
            }
        }
    }
}

/// A source with a hole, and one that is masked whole; a state that does not lie row by row.
#[test]
fn any_mask_and_any_layout_will_do() {
    for device in cpu_devices() {
        crate::random::seed(6);
        let (sizes, lengths) = CASES[1];
        let (mut inputs, _) = inputs(sizes, lengths, (true, false), &device);
        let hole = [false, true, false, false, false];
        inputs.src_pad_mask = Tensor::from_data([hole, [true; 5], [false; 5]], &device);
        inputs.state.hidden = (inputs.state.hidden.transpose() * 1.0).transpose();
        let one = luong_step(inputs.clone());
        let weights = crate::host_vec(one.weights.clone());
        assert!(weights[1] == 0.0 && weights[10..20] == [0.0; 10]);
        let parts = luong_step_composed(inputs);
        assert_close(one.weights, parts.weights, 2e-5);
        assert_close(one.attentional, parts.attentional, 2e-5);
    }
}
