use burn::tensor::{Tensor, activation::sigmoid};

use super::{BahdanauInputs, BahdanauStates};
use crate::mask::src_pad_mask;
use crate::ops::{
    additive_score::additive_score_reference, masked_softmax::masked_softmax_reference,
};

/// [`bahdanau`](super::bahdanau()) from plain tensor operations: the oracle that the fused one is
/// tested against.
///
/// # Panics
///
/// If the shapes disagree.
pub fn bahdanau_reference(
    inputs: BahdanauInputs,
    src_lengths: &[usize],
    tgt_lengths: &[usize],
) -> BahdanauStates {
    let [_, tgt_len, _] = inputs.embedded.dims();
    let [_, src_len, _] = inputs.memory.dims();
    let [_, d] = inputs.hidden.dims();
    let device = inputs.embedded.device();
    let src_pad_mask = src_pad_mask(src_lengths, src_len, &device).unsqueeze_dim::<3>(1);
    let (mut hidden, mut cell) = (inputs.hidden, inputs.cell);
    let (mut states, mut all_weights) = (Vec::new(), Vec::new());
    for t in 0..tgt_len {
        let query = hidden.clone().matmul(inputs.query_weight.clone())
            + inputs.query_bias.clone().unsqueeze();
        let scores = additive_score_reference(
            query.unsqueeze_dim(1),
            inputs.keys.clone(),
            inputs.v.clone(),
        );
        let weights = masked_softmax_reference(scores, src_pad_mask.clone());
        let context: Tensor<2> = weights.clone().matmul(inputs.memory.clone()).squeeze_dim(1);
        let embedded = inputs.embedded.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
        let x = Tensor::cat(vec![embedded, context.clone()], 1).matmul(inputs.input_weight.clone())
            + inputs.input_bias.clone().unsqueeze();
        let y = hidden.clone().matmul(inputs.recurrent_weight.clone());
        hidden = match (&cell, &inputs.recurrent_bias) {
            (Some(before), _) => {
                let z = x + y;
                let gate = |k: usize| z.clone().narrow(1, k * d, d);
                let now = sigmoid(gate(1)) * before.clone() + sigmoid(gate(0)) * gate(2).tanh();
                cell = Some(now.clone());
                sigmoid(gate(3)) * now.tanh()
            }
            (None, bias) => {
                let bias = bias.clone().expect("a GRU has a recurrent bias");
                let part = |z: &Tensor<2>, k: usize| z.clone().narrow(1, k * d, d);
                let r = sigmoid(part(&x, 0) + part(&y, 0));
                let z = sigmoid(part(&x, 1) + part(&y, 1));
                let n = (part(&x, 2) + r * (part(&y, 2) + bias.unsqueeze())).tanh();
                n.clone() + z * (hidden - n)
            }
        };
        states.push(Tensor::cat(vec![hidden.clone(), context], 1));
        all_weights.push(weights.squeeze_dim::<2>(1));
    }
    let tgt_pad_mask =
        crate::mask::src_pad_mask(tgt_lengths, tgt_len, &device).unsqueeze_dim::<3>(2);
    let masked = |rows: Vec<Tensor<2>>| {
        let rows: Tensor<3> = Tensor::stack(rows, 1);
        let mask = tgt_pad_mask.clone().expand(rows.shape());
        rows.mask_fill(mask, 0.0)
    };
    BahdanauStates {
        hidden_and_context: masked(states),
        weights: masked(all_weights),
    }
}
