use super::super::composed::score;
use super::{LuongStep, LuongStepInputs};
use crate::ops::cell_step::cell_step;
use crate::ops::{attention_read, linear, tanh};

/// [`luong_step`](super::luong_step()) from the operations of its parts: what it is on the tape and away from the
/// CPU's kernels.
///
/// # Panics
///
/// As that may.
pub fn luong_step_composed(inputs: LuongStepInputs) -> LuongStep {
    let [rows, _] = inputs.input.dims();
    let [batch, src_len, d_attentional] = inputs.projected.dims();
    let mut state = inputs.state;
    let [_, d_hidden] = state.hidden.dims();
    let x = linear(inputs.input, inputs.input_weight, Some(inputs.input_bias));
    cell_step(
        x.unsqueeze_dim(1),
        &mut state,
        &inputs.recurrent_weight,
        inputs.recurrent_bias.as_ref(),
    );
    let queries = state.hidden.clone();
    let queries = queries.reshape([batch, rows / batch, d_hidden]);
    let scores = score(&inputs.score, queries, inputs.keys);
    let read = attention_read(scores, inputs.projected, inputs.src_pad_mask);
    let of_hidden = inputs.attentional_weight.narrow(0, 0, d_hidden);
    let of_hidden = linear(
        state.hidden.clone(),
        of_hidden,
        Some(inputs.attentional_bias),
    );
    LuongStep {
        attentional: tanh(of_hidden + read.context.reshape([rows, d_attentional])),
        weights: read.weights.reshape([rows, src_len]),
        state,
    }
}
