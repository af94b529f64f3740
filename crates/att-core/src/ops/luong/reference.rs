use burn::tensor::Tensor;

use super::{LuongInputs, LuongScore, LuongStates};
use crate::mask::src_pad_mask;
use crate::ops::Direction;
use crate::ops::additive_score::additive_score_reference;
use crate::ops::attention_read::attention_read_reference;
use crate::ops::dot_score::dot_score_reference;
use crate::ops::gru::{GruArguments, gru_reference};
use crate::ops::lstm::{LstmArguments, lstm_reference};
use crate::ops::padded::zero_padding;

/// [`luong`](super::luong()) from plain tensor operations: the oracle that the fused one is tested
/// against.
///
/// # Panics
///
/// If the shapes disagree.
pub fn luong_reference(
    inputs: LuongInputs,
    src_lengths: &[usize],
    tgt_lengths: &[usize],
) -> LuongStates {
    let [batch, tgt_len, _] = inputs.embedded.dims();
    let [_, src_len, _] = inputs.memory.dims();
    let [_, d_out] = inputs.attentional_weight.dims();
    let device = inputs.embedded.device();
    let mask = src_pad_mask(src_lengths, src_len, &device);
    let (mut hidden, mut cell) = (inputs.hidden.clone(), inputs.cell.clone());
    let mut fed = Tensor::zeros([batch, 1, d_out], &device);
    let (mut attentional, mut weights) = (Vec::new(), Vec::new());
    for t in 0..tgt_len {
        let embedded = inputs.embedded.clone().narrow(1, t, 1);
        let input = Tensor::cat(vec![embedded, fed], 2);
        let input_weight = inputs.input_weight.clone();
        let input_bias = inputs.input_bias.clone().unsqueeze();
        let recurrent_weight = inputs.recurrent_weight.clone();
        let states = match (cell, &inputs.recurrent_bias) {
            (Some(cell), _) => {
                let arguments = LstmArguments {
                    input,
                    input_weight,
                    input_bias,
                    recurrent_weight,
                    hidden,
                    cell,
                };
                lstm_reference(arguments, Direction::Forward, &vec![1; batch])
            }
            (None, bias) => {
                let arguments = GruArguments {
                    input,
                    input_weight,
                    input_bias,
                    recurrent_weight,
                    recurrent_bias: bias.clone().expect("a GRU has a recurrent bias"),
                    hidden,
                };
                gru_reference(arguments, Direction::Forward, &vec![1; batch])
            }
        };
        (hidden, cell) = (states.last.hidden, states.last.cell);
        let state = states.hidden;
        let scores = score(&inputs.score, state.clone(), inputs.keys.clone());
        let read = attention_read_reference(scores, inputs.memory.clone(), mask.clone());
        let joined = Tensor::cat(vec![state, read.context], 2);
        fed = times(joined, &inputs.attentional_weight, &inputs.attentional_bias).tanh();
        if let Some(dropout) = &inputs.dropout {
            fed = fed * dropout.clone().narrow(1, t, 1);
        }
        attentional.push(fed.clone());
        weights.push(read.weights);
    }
    LuongStates {
        attentional: zero_padding(Tensor::cat(attentional, 1), tgt_lengths),
        weights: zero_padding(Tensor::cat(weights, 1), tgt_lengths),
    }
}

/// `x W + b`.
fn times(x: Tensor<3>, weight: &Tensor<2>, bias: &Tensor<1>) -> Tensor<3> {
    x.matmul(weight.clone().unsqueeze()) + bias.clone().unsqueeze()
}

fn score(score: &LuongScore, state: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
    match score {
        LuongScore::Dot { scale } => dot_score_reference(state, keys, *scale),
        LuongScore::Additive {
            query_weight,
            query_bias,
            v,
        } => additive_score_reference(times(state, query_weight, query_bias), keys, v.clone()),
    }
}
