use att_attention::AttentionOutput;
use att_core::RecurrentState;
use burn::tensor::Tensor;

/// What one step of a decoder whose context enters its recurrence leaves for the output.
pub(crate) struct Advanced {
    /// `[rows, 1, d_hidden]`
    pub hidden: Tensor<3>,
    /// `[rows, 1, ..]`
    pub read: AttentionOutput,
    /// For the next step.
    pub states: Vec<RecurrentState>,
}

/// What all steps leave.
pub(crate) struct Unrolled {
    /// `[batch, tgt_len, d_hidden]`
    pub hidden: Tensor<3>,
    /// `[batch, tgt_len, d_memory]`
    pub contexts: Tensor<3>,
    /// `[batch, tgt_len, src_len]`
    pub weights: Tensor<3>,
}

/// The whole target, `[batch, tgt_len, d_embed]`, by the cached step.
pub(crate) fn unroll(
    embedded: &Tensor<3>,
    mut states: Vec<RecurrentState>,
    advance: impl Fn(Tensor<3>, Vec<RecurrentState>) -> Advanced,
) -> Unrolled {
    let [_, tgt_len, _] = embedded.dims();
    let (mut hidden, mut contexts, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for t in 0..tgt_len {
        let advanced = advance(embedded.clone().narrow(1, t, 1), states);
        states = advanced.states;
        hidden.push(advanced.hidden);
        contexts.push(advanced.read.context);
        weights.push(advanced.read.weights);
    }
    Unrolled {
        hidden: Tensor::cat(hidden, 1),
        contexts: Tensor::cat(contexts, 1),
        weights: Tensor::cat(weights, 1),
    }
}
