//! What every operation must hold: other types than f32, and extreme arguments. Each also has tests of
//! its own.

use burn::tensor::{Bool, DType, Device, Tensor};

use super::bahdanau::BahdanauInputs;
use super::test_support::{cpu_devices, random_tensor};
use super::*;
use crate::random;

const LENGTHS: [usize; 3] = [4, 2, 3];
/// batch, len, d; no multiple of a vector's width.
const SHAPE: [usize; 3] = [3, 4, 5];

/// Makes random arguments of a type, times a scale.
struct Make<'a> {
    device: &'a Device,
    dtype: DType,
    scale: f64,
}

impl Make<'_> {
    fn tensor<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let tensor = random_tensor(shape, self.device) * self.scale;
        // Leaves of the tape, so that gradients run too.
        tensor.cast(self.dtype).autodiff().require_grad()
    }
}

/// Each operation on small arguments, as one row of numbers.
type Op = fn(&Make) -> Tensor<1>;

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    tensor.flatten(0, D - 1)
}

fn lstm_arguments(make: &Make) -> LstmArguments {
    let [batch, len, d] = SHAPE;
    LstmArguments {
        inputs: make.tensor([batch, len, 4 * d]),
        recurrent: make.tensor([d, 4 * d]),
        hidden: make.tensor([batch, d]),
        cell: make.tensor([batch, d]),
    }
}

fn gru_arguments(make: &Make) -> GruArguments {
    let [batch, len, d] = SHAPE;
    GruArguments {
        inputs: make.tensor([batch, len, 3 * d]),
        recurrent: make.tensor([d, 3 * d]),
        bias: make.tensor([d]),
        hidden: make.tensor([batch, d]),
    }
}

fn bahdanau_inputs(make: &Make) -> BahdanauInputs {
    let [batch, len, d] = SHAPE;
    BahdanauInputs {
        embedded: make.tensor([batch, len, 2]),
        hidden: make.tensor([batch, d]),
        cell: None,
        keys: make.tensor([batch, len, 6]),
        memory: make.tensor([batch, len, 7]),
        query_weight: make.tensor([d, 6]),
        query_bias: make.tensor([6]),
        v: make.tensor([6]),
        input_weight: make.tensor([2 + 7, 3 * d]),
        input_bias: make.tensor([3 * d]),
        recurrent_weight: make.tensor([d, 3 * d]),
        recurrent_bias: Some(make.tensor([d])),
    }
}

fn luong_inputs(make: &Make) -> LuongInputs {
    let [batch, len, d] = SHAPE;
    LuongInputs {
        embedded: make.tensor([batch, len, 2]),
        hidden: make.tensor([batch, d]),
        cell: Some(make.tensor([batch, d])),
        keys: make.tensor([batch, len, d]),
        memory: make.tensor([batch, len, 7]),
        score: LuongScore::Dot { scale: 0.5 },
        input_weight: make.tensor([2 + 6, 4 * d]),
        input_bias: make.tensor([4 * d]),
        recurrent_weight: make.tensor([d, 4 * d]),
        recurrent_bias: None,
        attentional_weight: make.tensor([d + 7, 6]),
        attentional_bias: make.tensor([6]),
        dropout: None,
    }
}

const OPS: [(&str, Op); 16] = [
    ("additive_score", |make| {
        let [batch, len, d] = SHAPE;
        flat(additive_score(
            make.tensor(SHAPE),
            make.tensor([batch, len + 1, d]),
            make.tensor([d]),
        ))
    }),
    ("bahdanau", |make| {
        let states = bahdanau(bahdanau_inputs(make), &LENGTHS, &LENGTHS);
        flat(states.hidden_and_context)
    }),
    ("dot_score", |make| {
        flat(dot_score(make.tensor(SHAPE), make.tensor(SHAPE), 0.5))
    }),
    ("attention_read", |make| {
        let scores = make.tensor(SHAPE);
        let [batch, src_len] = [SHAPE[0], SHAPE[2]];
        let mask = crate::mask::src_pad_mask(&LENGTHS, src_len, &scores.device());
        flat(attention_read(scores, make.tensor([batch, src_len, 7]), mask).context)
    }),
    ("embedding", |make| {
        let table = make.tensor([7, 5]);
        let ids = Tensor::from_data([[6, 0, 3], [3, 3, 1]], &table.device());
        flat(embedding(table, ids))
    }),
    ("gru", |make| {
        flat(gru(gru_arguments(make), Direction::Forward, &LENGTHS))
    }),
    ("bidirectional_gru", |make| {
        let [forward, backward] = [gru_arguments(make), gru_arguments(make)];
        flat(bidirectional_gru(forward, backward, &LENGTHS))
    }),
    ("layer_norm", |make| {
        let [_, _, d] = SHAPE;
        let (gamma, beta) = (make.tensor([d]), make.tensor([d]));
        flat(layer_norm(make.tensor(SHAPE), gamma, beta, 1e-5))
    }),
    ("linear", |make| {
        let [_, _, d] = SHAPE;
        let (weight, bias) = (make.tensor([d, 7]), make.tensor([7]));
        flat(linear(make.tensor(SHAPE), weight, Some(bias)))
    }),
    ("linear_cross_entropy", |make| {
        let (x, weight, bias) = (make.tensor([3, 5]), make.tensor([5, 7]), make.tensor([7]));
        linear_cross_entropy(x, weight, Some(bias), &[0, 6, 3], 0.1).loss
    }),
    ("lstm", |make| {
        flat(lstm(lstm_arguments(make), Direction::Backward, &LENGTHS).hidden)
    }),
    ("bidirectional_lstm", |make| {
        let [forward, backward] = [lstm_arguments(make), lstm_arguments(make)];
        flat(bidirectional_lstm(forward, backward, &LENGTHS).cell)
    }),
    ("luong", |make| {
        let states = luong(luong_inputs(make), &LENGTHS, &LENGTHS);
        flat(states.attentional)
    }),
    ("masked_softmax", |make| {
        let scores = make.tensor(SHAPE);
        let mask = [[[false, true, false, false, true]]];
        let mask = Tensor::<3, Bool>::from_data(mask, &scores.device());
        flat(masked_softmax(scores, mask))
    }),
    ("multi_head_read", |make| {
        let [batch, len, _] = SHAPE;
        let query = make.tensor([batch, len, 4 * 3]);
        let mask = crate::mask::src_pad_mask(&LENGTHS, len, &query.device());
        let inputs = MultiHeadInputs {
            query,
            keys: make.tensor([batch, len, 2 * 3]),
            values: make.tensor([batch, len, 2 * 3]),
            n_heads: 4,
            mask: Some(mask),
            causal: true,
            dropout: None,
        };
        flat(multi_head_read(inputs).context)
    }),
    ("tanh", |make| flat(tanh(make.tensor(SHAPE)))),
];

fn numbers(op: Op, device: &Device, dtype: DType, scale: f64) -> Vec<f32> {
    random::seed(21);
    let make = Make {
        device,
        dtype,
        scale,
    };
    let out = op(&make);
    assert_eq!(out.dtype(), dtype);
    let _gradients = out.clone().sum().backward();
    out.cast(DType::F32).into_data().iter().collect()
}

#[test]
fn other_types_go_through_the_generic_bodies() {
    // Of ndarray, burn has no half precision.
    for (device, types) in cpu_devices().iter().zip([
        &[(DType::F64, 1e-5), (DType::F16, 5e-3), (DType::BF16, 4e-2)][..],
        &[(DType::F64, 1e-5)],
    ]) {
        for (name, op) in OPS {
            let expected = numbers(op, device, DType::F32, 1.0);
            for &(dtype, tolerance) in types {
                let found = numbers(op, device, dtype, 1.0);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    let error = (found - expected).abs() / expected.abs().max(1.0);
                    assert!(error <= tolerance, "{name}, {dtype:?}: {found} {expected}");
                }
            }
        }
    }
}

#[test]
fn huge_arguments_give_numbers() {
    for device in cpu_devices() {
        for (name, op) in OPS {
            let found = numbers(op, &device, DType::F32, 3e4);
            assert!(found.iter().all(|x| x.is_finite()), "{name}: {found:?}");
        }
    }
}
