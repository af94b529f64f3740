//! What every operation must hold: other types than f32, and extreme arguments. Each also has tests of
//! its own.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Bool, DType, Device, Gradients, Tensor, TensorData};

use super::bahdanau::BahdanauInputs;
use super::test_support::{cpu_devices, random_tensor};
use super::*;
use crate::random;

/// batch, len, d; no multiple of a vector's width.
const SHAPE: [usize; 3] = [3, 4, 5];

/// Reads the gradient of one argument.
type ReadGradient = Box<dyn Fn(&Gradients) -> Vec<f32>>;

/// Makes random arguments of a type, times a scale.
struct Make<'a> {
    device: &'a Device,
    dtype: DType,
    scale: f64,
    /// As [`SHAPE`].
    shape: [usize; 3],
    /// The gradients of the arguments that were made.
    gradients: RefCell<Vec<ReadGradient>>,
}

impl<'a> Make<'a> {
    fn new(device: &'a Device, dtype: DType) -> Self {
        random::seed(21);
        Self {
            device,
            dtype,
            scale: 1.0,
            shape: SHAPE,
            gradients: RefCell::default(),
        }
    }

    fn tensor<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let tensor = random_tensor(shape, self.device) * self.scale;
        let tensor = tensor.cast(self.dtype).autodiff().require_grad();
        let leaf = tensor.clone();
        self.gradients.borrow_mut().push(Box::new(move |gradients| {
            let gradient = leaf.grad(gradients).expect("every argument has a gradient");
            assert_eq!(gradient.dtype(), leaf.dtype());
            numbers(gradient)
        }));
        tensor
    }

    fn lengths(&self) -> Vec<usize> {
        let [batch, len, _] = self.shape;
        (0..batch)
            .map(|row| len - row % len.max(1) * 2 / 3)
            .collect()
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(DType::F32).into_data().iter().collect()
}

/// Each operation on small arguments, as one row of numbers.
type Op = fn(&Make) -> Tensor<1>;

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    tensor.flatten(0, D - 1)
}

fn lstm_arguments(make: &Make) -> LstmArguments {
    let [batch, len, d] = make.shape;
    LstmArguments {
        input: make.tensor([batch, len, 3]),
        input_weight: make.tensor([3, 4 * d]),
        input_bias: make.tensor([1, 4 * d]),
        recurrent_weight: make.tensor([d, 4 * d]),
        hidden: make.tensor([batch, d]),
        cell: make.tensor([batch, d]),
    }
}

fn gru_arguments(make: &Make) -> GruArguments {
    let [batch, len, d] = make.shape;
    GruArguments {
        input: make.tensor([batch, len, 3]),
        input_weight: make.tensor([3, 3 * d]),
        input_bias: make.tensor([1, 3 * d]),
        recurrent_weight: make.tensor([d, 3 * d]),
        recurrent_bias: make.tensor([d]),
        hidden: make.tensor([batch, d]),
    }
}

fn bahdanau_inputs(make: &Make) -> BahdanauInputs {
    let [batch, len, d] = make.shape;
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
    let [batch, len, d] = make.shape;
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
        let [batch, len, d] = make.shape;
        flat(additive_score(
            make.tensor(make.shape),
            make.tensor([batch, len + 1, d]),
            make.tensor([d]),
        ))
    }),
    ("bahdanau", |make| {
        let states = bahdanau(bahdanau_inputs(make), &make.lengths(), &make.lengths());
        flat(states.hidden_and_context)
    }),
    ("dot_score", |make| {
        flat(dot_score(
            make.tensor(make.shape),
            make.tensor(make.shape),
            0.5,
        ))
    }),
    ("attention_read", |make| {
        let scores = make.tensor(make.shape);
        let [batch, src_len] = [make.shape[0], make.shape[2]];
        let mask = crate::mask::src_pad_mask(&make.lengths(), src_len, &scores.device());
        flat(attention_read(scores, make.tensor([batch, src_len, 7]), mask).context)
    }),
    ("embedding", |make| {
        let table = make.tensor([7, 5]);
        let [batch, len, _] = make.shape;
        let ids = (0..batch * len).map(|i| (i * 5 % 7) as i64).collect();
        let ids = TensorData::new::<i64, _>(ids, [batch, len]);
        let ids = Tensor::from_data(ids, &table.device());
        flat(embedding(table, ids))
    }),
    ("gru", |make| {
        flat(gru(gru_arguments(make), Direction::Forward, &make.lengths()).hidden)
    }),
    ("bidirectional_gru", |make| {
        let [forward, backward] = [gru_arguments(make), gru_arguments(make)];
        flat(bidirectional_gru(forward, backward, &make.lengths()).hidden)
    }),
    ("layer_norm", |make| {
        let [_, _, d] = make.shape;
        let (gamma, beta) = (make.tensor([d]), make.tensor([d]));
        flat(layer_norm(make.tensor(make.shape), gamma, beta, 1e-5))
    }),
    ("linear", |make| {
        let [_, _, d] = make.shape;
        let (weight, bias) = (make.tensor([d, 7]), make.tensor([7]));
        flat(linear(make.tensor(make.shape), weight, Some(bias)))
    }),
    ("linear_cross_entropy", |make| {
        let [batch, len, d] = make.shape;
        let (weight, bias) = (make.tensor([d, 7]), make.tensor([7]));
        let gold: Vec<u32> = (0..batch * len).map(|i| (i * 5 % 7) as u32).collect();
        let x = make.tensor([batch * len, d]);
        linear_cross_entropy(x, weight, Some(bias), &gold, 0.1).loss
    }),
    ("lstm", |make| {
        flat(lstm(lstm_arguments(make), Direction::Backward, &make.lengths()).hidden)
    }),
    ("bidirectional_lstm", |make| {
        let [forward, backward] = [lstm_arguments(make), lstm_arguments(make)];
        let last = bidirectional_lstm(forward, backward, &make.lengths()).last;
        flat(last.cell.expect("of an LSTM"))
    }),
    ("luong", |make| {
        let states = luong(luong_inputs(make), &make.lengths(), &make.lengths());
        flat(states.attentional)
    }),
    ("masked_softmax", |make| {
        let scores = make.tensor(make.shape);
        let mask = [[[false, true, false, false, true]]];
        let mask = Tensor::<3, Bool>::from_data(mask, &scores.device());
        flat(masked_softmax(scores, mask))
    }),
    ("multi_head_read", |make| {
        let [batch, len, _] = make.shape;
        let query = make.tensor([batch, len, 4 * 3]);
        let mask = crate::mask::src_pad_mask(&make.lengths(), len, &query.device());
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
    ("tanh", |make| flat(tanh(make.tensor(make.shape)))),
];

/// What an operation gives out, and the gradients of a sum that weighs each number differently.
fn run(op: Op, make: &Make) -> (Vec<f32>, Vec<Vec<f32>>) {
    let out = op(make);
    assert_eq!(out.dtype(), make.dtype);
    random::seed(99);
    let weights = random_tensor(out.dims(), &out.device()).cast(make.dtype);
    let gradients = (out.clone() * weights).sum().backward();
    let of_arguments = make.gradients.borrow();
    let of_arguments = of_arguments.iter().map(|of| of(&gradients)).collect();
    (numbers(out), of_arguments)
}

fn assert_near(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error <= tolerance, "{what}: {found} for {expected}");
    }
}

#[test]
fn other_types_go_through_the_generic_bodies() {
    // Of ndarray, burn has no half precision.
    for (device, types) in cpu_devices().iter().zip([
        &[(DType::F64, 1e-5), (DType::F16, 5e-3), (DType::BF16, 4e-2)][..],
        &[(DType::F64, 1e-5)],
    ]) {
        for (name, op) in OPS {
            let (expected, expected_gradients) = run(op, &Make::new(device, DType::F32));
            for &(dtype, tolerance) in types {
                let (found, gradients) = run(op, &Make::new(device, dtype));
                assert_near(&found, &expected, tolerance, &format!("{name}, {dtype:?}"));
                assert_eq!(gradients.len(), expected_gradients.len());
                for (n, (found, expected)) in gradients.iter().zip(&expected_gradients).enumerate()
                {
                    let what = format!("{name}, {dtype:?}, gradient {n}");
                    assert_near(found, expected, tolerance, &what);
                }
            }
        }
    }
}

#[test]
fn huge_arguments_give_numbers() {
    for device in cpu_devices() {
        for (name, op) in OPS {
            let make = Make {
                scale: 3e4,
                ..Make::new(&device, DType::F32)
            };
            let found = numbers(op(&make));
            assert!(found.iter().all(|x| x.is_finite()), "{name}: {found:?}");
        }
    }
}

/// What a panic said.
fn panic_of(run: impl FnOnce()) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()))
}

#[test]
fn sizes_of_zero_are_refused_with_a_reason() {
    // What an operation says of them, in words of its own.
    let reasons = [
        "has no numbers",
        "of nothing",
        "nothing to",
        "no id",
        "at least one",
    ];
    for device in cpu_devices() {
        for (name, op) in OPS {
            for shape in [[0, 4, 5], [3, 0, 5], [0, 0, 5]] {
                let make = Make {
                    shape,
                    ..Make::new(&device, DType::F32)
                };
                let said = panic_of(|| drop(op(&make)));
                let said = said.unwrap_or_else(|| panic!("{name} takes {shape:?}"));
                let known = reasons.iter().any(|reason| said.contains(reason));
                assert!(known, "{name}, {shape:?}: {said}");
            }
        }
    }
}
