use super::{BahdanauStep, BahdanauStepInputs};
use crate::ops::cell_step::cell_step;
use crate::ops::{additive_score, attention_read, linear, tanh};

/// [`bahdanau_step`](super::bahdanau_step()) from the operations of its parts: what it is on the tape and away from the
/// CPU's kernels.
///
/// # Panics
///
/// As that may.
pub fn bahdanau_step_composed(inputs: BahdanauStepInputs) -> BahdanauStep {
    let [rows, d_embed] = inputs.embedded.dims();
    let [batch, src_len, _] = inputs.projected.dims();
    let [d_hidden, d_attn] = inputs.query_weight.dims();
    let [d_deep, d_output] = inputs.deep_weight.dims();
    let [_, width] = inputs.input_weight.dims();
    let mut state = inputs.state;
    let query = linear(
        state.hidden.clone(),
        inputs.query_weight,
        Some(inputs.query_bias),
    );
    let query = query.reshape([batch, rows / batch, d_attn]);
    let scores = additive_score(query, inputs.keys, inputs.v);
    let read = attention_read(scores, inputs.projected, inputs.src_pad_mask);
    let context = read.context.reshape([rows, width + d_output]);
    let of_embedded = inputs.input_weight.narrow(0, 0, d_embed);
    let x = linear(
        inputs.embedded.clone(),
        of_embedded,
        Some(inputs.input_bias),
    ) + context.clone().narrow(1, 0, width);
    cell_step(
        x.unsqueeze_dim(1),
        &mut state,
        &inputs.recurrent_weight,
        inputs.recurrent_bias.as_ref(),
    );
    let of_hidden = inputs.deep_weight.clone().narrow(0, 0, d_hidden);
    let of_embedded = inputs.deep_weight.narrow(0, d_deep - d_embed, d_embed);
    let sums = linear(state.hidden.clone(), of_hidden, Some(inputs.deep_bias))
        + linear(inputs.embedded, of_embedded, None)
        + context.narrow(1, width, d_output);
    BahdanauStep {
        features: tanh(sums),
        weights: read.weights.reshape([rows, src_len]),
        state,
    }
}
