//! A step of decoding as one operation, with weights that are prepared as search has them: of Bahdanau's decoder with
//! a GRU, and of Luong's with an LSTM and dot products, as in the papers.

use std::rc::Rc;

use att_core::RecurrentState;
use att_core::mask::src_pad_mask;
use att_core::ops::bahdanau::{BahdanauStepInputs, bahdanau_step, bahdanau_step_composed};
use att_core::ops::luong::{LuongScore, LuongStepInputs, luong_step, luong_step_composed};
use att_core::ops::{PreparedWeights, WeightFormat};
use burn::tensor::{Device, Tensor};

use crate::{Case, Variant, lengths, matrix, tensor};

/// sources, beam, src_len, d: one beam, a batch without, and a batch with. The memory has 2 d numbers.
const SHAPES: [[usize; 4]; 3] = [[1, 5, 25, 512], [64, 1, 25, 512], [64, 5, 25, 512]];

pub(super) fn cases() -> Vec<Case> {
    let of = |op: &'static str, variants: fn([usize; 4], &Device) -> Vec<Variant>| {
        SHAPES.map(|shape| Case::new(op, &shape, move |device| variants(shape, device)))
    };
    let all = [of("bahdanau_step", bahdanau), of("luong_step", luong)];
    all.into_iter().flatten().collect()
}

fn state(rows: usize, d: usize, lstm: bool, device: &Device) -> RecurrentState {
    RecurrentState {
        hidden: tensor([rows, d], device),
        cell: lstm.then(|| tensor([rows, d], device)),
    }
}

/// The operation, and the operations of its parts.
fn variants<I: Clone + 'static, R: 'static>(
    inputs: &I,
    weights: Vec<Tensor<2>>,
    [fused, composed]: [fn(I) -> R; 2],
) -> Vec<Variant> {
    let prepared = Rc::new(PreparedWeights::new(weights, WeightFormat::F32));
    let of = |name, run: fn(I) -> R| {
        let prepared = prepared.clone();
        Variant::forward_only(name, inputs, move |inputs| {
            let _held = &prepared;
            run(inputs)
        })
    };
    vec![of("fused", fused), of("composed", composed)]
}

fn bahdanau([batch, beam, src_len, d]: [usize; 4], device: &Device) -> Vec<Variant> {
    let rows = batch * beam;
    let (input_weight, recurrent_weight) = (matrix(3 * d, 3 * d, device), matrix(d, 3 * d, device));
    let (query_weight, deep_weight) = (matrix(d, d, device), matrix(4 * d, d, device));
    let weights = [
        &input_weight,
        &recurrent_weight,
        &query_weight,
        &deep_weight,
    ];
    let weights = weights.map(Tensor::clone).into();
    let inputs = BahdanauStepInputs {
        embedded: tensor([rows, d], device),
        state: state(rows, d, false, device),
        keys: tensor([batch, src_len, d], device),
        projected: tensor([batch, src_len, 4 * d], device),
        src_pad_mask: src_pad_mask(&lengths(batch, src_len), src_len, device),
        query_weight,
        query_bias: tensor([d], device),
        v: tensor([d], device) * (1.0 / (d as f64).sqrt()),
        input_weight,
        input_bias: tensor([3 * d], device),
        recurrent_weight,
        recurrent_bias: Some(tensor([d], device)),
        deep_weight,
        deep_bias: tensor([d], device),
    };
    variants(&inputs, weights, [bahdanau_step, bahdanau_step_composed])
}

fn luong([batch, beam, src_len, d]: [usize; 4], device: &Device) -> Vec<Variant> {
    let rows = batch * beam;
    let (input_weight, recurrent_weight) = (matrix(2 * d, 4 * d, device), matrix(d, 4 * d, device));
    let attentional_weight = matrix(3 * d, d, device);
    let weights = [&input_weight, &recurrent_weight, &attentional_weight];
    let weights = weights.map(Tensor::clone).into();
    let inputs = LuongStepInputs {
        input: tensor([rows, 2 * d], device),
        state: state(rows, d, true, device),
        keys: tensor([batch, src_len, d], device),
        projected: tensor([batch, src_len, d], device),
        src_pad_mask: src_pad_mask(&lengths(batch, src_len), src_len, device),
        score: LuongScore::Dot {
            scale: 1.0 / (d as f64).sqrt(),
        },
        input_weight,
        input_bias: tensor([4 * d], device),
        recurrent_weight,
        recurrent_bias: None,
        attentional_weight,
        attentional_bias: tensor([d], device),
    };
    variants(&inputs, weights, [luong_step, luong_step_composed])
}
