use att_core::RecurrentState;
use burn::tensor::Tensor;

use crate::decoder::{DecoderState, Read};

/// What one step of a decoder whose context enters its recurrence leaves.
pub(crate) struct Advanced {
    /// `[rows, 1, d_hidden]`
    pub hidden: Tensor<3>,
    /// As the decoder's steps read it, `[rows, 1, d_context]`.
    pub context: Tensor<3>,
    /// `[rows, 1, src_len]`
    pub weights: Tensor<3>,
    /// For the next step.
    pub state: DecoderState,
}

impl Advanced {
    /// Of a step of attention, and what the recurrence came to.
    pub(crate) fn new(
        hidden: Tensor<3>,
        read: Read,
        layers: Vec<RecurrentState>,
        masks: Vec<Option<Tensor<3>>>,
    ) -> Self {
        Self {
            hidden,
            context: read.context,
            weights: read.weights,
            state: DecoderState {
                layers,
                attention: read.state.into_iter().collect(),
                masks,
                ..Default::default()
            },
        }
    }
}

/// What all steps leave.
pub(crate) struct Unrolled {
    /// `[batch, tgt_len, d_hidden]`
    pub hidden: Tensor<3>,
    /// Likewise, `[batch, tgt_len, d_context]`.
    pub contexts: Tensor<3>,
    /// `[batch, tgt_len, src_len]`
    pub weights: Tensor<3>,
}

/// The whole target, `[batch, tgt_len, d_embed]`, by the cached step.
pub(crate) fn unroll(
    embedded: &Tensor<3>,
    mut state: DecoderState,
    advance: impl Fn(Tensor<3>, DecoderState) -> Advanced,
) -> Unrolled {
    let [_, tgt_len, _] = embedded.dims();
    let (mut hidden, mut contexts, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for t in 0..tgt_len {
        let advanced = advance(embedded.clone().narrow(1, t, 1), state);
        state = advanced.state;
        hidden.push(advanced.hidden);
        contexts.push(advanced.context);
        weights.push(advanced.weights);
    }
    Unrolled {
        hidden: Tensor::cat(hidden, 1),
        contexts: Tensor::cat(contexts, 1),
        weights: Tensor::cat(weights, 1),
    }
}
