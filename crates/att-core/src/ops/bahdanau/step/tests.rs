use super::*;
use crate::mask::src_pad_mask;
use crate::ops::test_support::{assert_close, cpu_devices, devices, random_tensor};
use crate::ops::{BahdanauInputs, bahdanau, steps_are_one};
use burn::tensor::Device;

/// batch, beam, src_len, d_embed, d_memory, d_attn, d_hidden, d_output
type Sizes = [usize; 8];

const CASES: [(Sizes, &[usize]); 3] = [
    ([1, 1, 1, 1, 1, 1, 1, 1], &[1]),
    ([3, 2, 5, 2, 6, 7, 3, 4], &[5, 1, 3]),
    ([2, 30, 3, 7, 10, 33, 17, 35], &[3, 2]),
];

/// Inputs, and the memory that they have projected.
fn inputs(
    sizes: Sizes,
    lengths: &[usize],
    lstm: bool,
    device: &Device,
) -> (BahdanauStepInputs, Tensor<3>) {
    let [batch, beam, src_len, d_embed, d_memory, d_attn, d, d_output] = sizes;
    let rows = batch * beam;
    let width = if lstm { 4 * d } else { 3 * d };
    let memory = random_tensor([batch, src_len, d_memory], device);
    let input_weight = random_tensor([d_embed + d_memory, width], device);
    let deep_weight = random_tensor([d + d_memory + d_embed, d_output], device);
    let of_context = Tensor::cat(
        vec![
            input_weight.clone().narrow(0, d_embed, d_memory),
            deep_weight.clone().narrow(0, d, d_memory),
        ],
        1,
    );
    let inputs = BahdanauStepInputs {
        embedded: random_tensor([rows, d_embed], device),
        state: RecurrentState {
            hidden: random_tensor([rows, d], device),
            cell: lstm.then(|| random_tensor([rows, d], device)),
        },
        keys: random_tensor([batch, src_len, d_attn], device),
        projected: memory.clone().matmul(of_context.unsqueeze()),
        src_pad_mask: src_pad_mask(lengths, src_len, device),
        query_weight: random_tensor([d, d_attn], device),
        query_bias: random_tensor([d_attn], device),
        v: random_tensor([d_attn], device),
        input_weight,
        input_bias: random_tensor([width], device),
        recurrent_weight: random_tensor([d, width], device),
        recurrent_bias: (!lstm).then(|| random_tensor([d], device)),
        deep_weight,
        deep_bias: random_tensor([d_output], device),
    };
    (inputs, memory)
}

/// The whole pass over a target of one token, each row with a source of its own.
fn by_whole_pass(inputs: BahdanauStepInputs, memory: Tensor<3>, lengths: &[usize]) -> BahdanauStep {
    let [rows, d] = inputs.state.hidden.dims();
    let beam = rows / lengths.len();
    let of_rows = |sources: Tensor<3>| {
        let rows: Vec<i64> = (0..rows as i64).map(|row| row / beam as i64).collect();
        let rows = Tensor::from_data(rows.as_slice(), &sources.device());
        sources.select(0, rows)
    };
    let lengths: Vec<usize> = (0..rows).map(|row| lengths[row / beam]).collect();
    let arguments = BahdanauInputs {
        embedded: inputs.embedded.clone().unsqueeze_dim(1),
        hidden: inputs.state.hidden,
        cell: inputs.state.cell,
        keys: of_rows(inputs.keys),
        memory: of_rows(memory),
        query_weight: inputs.query_weight,
        query_bias: inputs.query_bias,
        v: inputs.v,
        input_weight: inputs.input_weight,
        input_bias: inputs.input_bias,
        recurrent_weight: inputs.recurrent_weight,
        recurrent_bias: inputs.recurrent_bias,
    };
    let states = bahdanau(arguments, &lengths, &vec![1; rows]);
    let states_and_context = states.hidden_and_context.squeeze_dim::<2>(1);
    let joined = Tensor::cat(vec![states_and_context.clone(), inputs.embedded], 1);
    let features = joined.matmul(inputs.deep_weight) + inputs.deep_bias.unsqueeze();
    BahdanauStep {
        features: features.tanh(),
        weights: states.weights.squeeze_dim(1),
        state: RecurrentState {
            hidden: states_and_context.narrow(1, 0, d),
            cell: None,
        },
    }
}

fn assert_same(step: BahdanauStep, expected: BahdanauStep) {
    assert_close(step.features, expected.features, 2e-5);
    assert_close(step.weights, expected.weights, 2e-5);
    assert_close(step.state.hidden, expected.state.hidden, 2e-5);
    if let (Some(cell), Some(expected)) = (step.state.cell, expected.state.cell) {
        assert_close(cell, expected, 2e-5);
    }
}

#[test]
fn a_step_is_that_of_the_whole_pass_on_every_backend() {
    for device in devices() {
        for (sizes, lengths) in CASES {
            for lstm in [false, true] {
                crate::random::seed(3);
                let (inputs, memory) = inputs(sizes, lengths, lstm, &device);
                let step = bahdanau_step(inputs.clone());
                assert_eq!(step.state.cell.is_some(), lstm);
                assert_same(step, by_whole_pass(inputs, memory, lengths));
            }
        }
    }
}

#[test]
fn one_operation_equals_the_operations_of_its_parts() {
    for device in cpu_devices() {
        for (sizes, lengths) in CASES {
            for lstm in [false, true] {
                crate::random::seed(4);
                let (inputs, _) = inputs(sizes, lengths, lstm, &device);
                assert!(steps_are_one(&inputs.embedded));
                assert!(!steps_are_one(&inputs.embedded.clone().autodiff()));
                let one = bahdanau_step(inputs.clone());
                assert_same(one, bahdanau_step_composed(inputs));
            }
        }
    }
}

#[test]
fn no_number_is_lost_where_scores_are_huge() {
    for device in cpu_devices() {
        crate::random::seed(5);
        let (sizes, lengths) = CASES[1];
        let (mut inputs, _) = inputs(sizes, lengths, false, &device);
        inputs.v = inputs.v * 1e4;
        let step = bahdanau_step(inputs);
        assert!(crate::host_vec(step.features).iter().all(|x| x.is_finite()));
        assert!(crate::host_vec(step.weights).iter().all(|x| x.is_finite()));
    }
}

/// A source with a hole, and one that is masked whole; a state that does not lie row by row.
#[test]
fn any_mask_and_any_layout_will_do() {
    for device in cpu_devices() {
        crate::random::seed(6);
        let (sizes, lengths) = CASES[1];
        let (mut inputs, _) = inputs(sizes, lengths, false, &device);
        let hole = [false, true, false, false, false];
        inputs.src_pad_mask = Tensor::from_data([hole, [true; 5], [false; 5]], &device);
        inputs.state.hidden = (inputs.state.hidden.transpose() * 1.0).transpose();
        let one = bahdanau_step(inputs.clone());
        let weights = crate::host_vec(one.weights.clone());
        assert!(weights[1] == 0.0 && weights[10..20] == [0.0; 10]);
        let parts = bahdanau_step_composed(inputs);
        assert_close(one.weights, parts.weights, 2e-5);
        assert_close(one.features, parts.features, 2e-5);
    }
}
