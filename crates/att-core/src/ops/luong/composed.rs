use burn::tensor::Tensor;

use super::{LuongInputs, LuongScore, LuongStates};
use crate::RecurrentState;
use crate::mask::src_pad_mask;
use crate::ops::cell_step::cell_step;
use crate::ops::padded::zero_padding;
use crate::ops::{additive_score, attention_read, dot_score, linear, tanh};

/// [`luong`](super::luong()) from the fused operations of a step, each one node on the tape: what
/// runs on GPUs, and in other types than f32. The embedded tokens are projected all at once.
pub(super) fn luong_composed(
    inputs: LuongInputs,
    src_lengths: &[usize],
    tgt_lengths: &[usize],
) -> LuongStates {
    let [_, tgt_len, d_embed] = inputs.embedded.dims();
    let [_, src_len, _] = inputs.memory.dims();
    let [_, d_out] = inputs.attentional_weight.dims();
    let mask = src_pad_mask(src_lengths, src_len, &inputs.embedded.device());
    let of_embedded = inputs.input_weight.clone().narrow(0, 0, d_embed);
    let of_fed = inputs.input_weight.narrow(0, d_embed, d_out);
    let of_fed = of_fed.unsqueeze_dim::<3>(0);
    let projected = linear(inputs.embedded, of_embedded, Some(inputs.input_bias));
    let mut state = RecurrentState {
        hidden: inputs.hidden,
        cell: inputs.cell,
    };
    let (mut attentional, mut weights) = (Vec::<Tensor<3>>::new(), Vec::new());
    for t in 0..tgt_len {
        let mut x = projected.clone().narrow(1, t, 1);
        if let Some(fed) = attentional.last() {
            x = x + fed.clone().matmul(of_fed.clone());
        }
        let hidden = cell_step(
            x,
            &mut state,
            &inputs.recurrent_weight,
            inputs.recurrent_bias.as_ref(),
        );
        let scores = score(&inputs.score, hidden.clone(), inputs.keys.clone());
        let read = attention_read(scores, inputs.memory.clone(), mask.clone());
        let joined = Tensor::cat(vec![hidden, read.context], 2);
        let mut fed = tanh(linear(
            joined,
            inputs.attentional_weight.clone(),
            Some(inputs.attentional_bias.clone()),
        ));
        if let Some(dropout) = &inputs.dropout {
            fed = fed * dropout.clone().narrow(1, t, 1);
        }
        attentional.push(fed);
        weights.push(read.weights);
    }
    let joined = |rows| zero_padding(Tensor::cat(rows, 1), tgt_lengths);
    LuongStates {
        attentional: joined(attentional),
        weights: joined(weights),
    }
}

pub(super) fn score(score: &LuongScore, state: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
    match score {
        LuongScore::Dot { scale } => dot_score(state, keys, *scale),
        LuongScore::Additive {
            query_weight,
            query_bias,
            v,
        } => {
            let query = linear(state, query_weight.clone(), Some(query_bias.clone()));
            additive_score(query, keys, v.clone())
        }
    }
}
