use burn::tensor::Tensor;

use super::{BahdanauInputs, BahdanauStates};
use crate::RecurrentState;
use crate::mask::src_pad_mask;
use crate::ops::cell_step::cell_step;
use crate::ops::padded::zero_padding;
use crate::ops::{additive_score, linear, masked_softmax};

/// [`bahdanau`](super::bahdanau()) from the fused operations of a step, each one node on the tape:
/// what runs on GPUs, and in other types than f32. The embedded tokens are projected all at once.
pub(super) fn bahdanau_composed(
    inputs: BahdanauInputs,
    src_lengths: &[usize],
    tgt_lengths: &[usize],
) -> BahdanauStates {
    let [_, tgt_len, d_embed] = inputs.embedded.dims();
    let [_, src_len, d_memory] = inputs.memory.dims();
    let device = inputs.embedded.device();
    let src_pad_mask = src_pad_mask(src_lengths, src_len, &device).unsqueeze_dim::<3>(1);
    let of_embedded = inputs.input_weight.clone().narrow(0, 0, d_embed);
    let of_context = inputs.input_weight.narrow(0, d_embed, d_memory);
    let projected = linear(inputs.embedded, of_embedded, Some(inputs.input_bias));
    let of_context = of_context.unsqueeze_dim::<3>(0);
    let mut state = RecurrentState {
        hidden: inputs.hidden,
        cell: inputs.cell,
    };
    let (mut states, mut all_weights) = (Vec::new(), Vec::new());
    for t in 0..tgt_len {
        let query = linear(
            state.hidden.clone(),
            inputs.query_weight.clone(),
            Some(inputs.query_bias.clone()),
        );
        let scores = additive_score(
            query.unsqueeze_dim(1),
            inputs.keys.clone(),
            inputs.v.clone(),
        );
        let weights = masked_softmax(scores, src_pad_mask.clone());
        let context = weights.clone().matmul(inputs.memory.clone());
        let x = projected.clone().narrow(1, t, 1) + context.clone().matmul(of_context.clone());
        let hidden = cell_step(
            x,
            &mut state,
            &inputs.recurrent_weight,
            inputs.recurrent_bias.as_ref(),
        );
        states.push(Tensor::cat(vec![hidden, context], 2));
        all_weights.push(weights);
    }
    let joined = |rows| zero_padding(Tensor::cat(rows, 1), tgt_lengths);
    BahdanauStates {
        hidden_and_context: joined(states),
        weights: joined(all_weights),
    }
}
