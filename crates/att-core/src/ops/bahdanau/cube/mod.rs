//! The operation on GPUs: one node on the tape, whose steps are two products and three kernels
//! forward, and two products and three kernels backward. The gradients of weights, keys and memory are
//! one product or kernel each at the end.
//!
//! Rows whose target has ended compute on, and give out zeros: to leave the products they would have to
//! be sorted, which costs more launches than it saves.

mod backward;
mod kernels;
mod pass;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;

use super::{BahdanauInputs, BahdanauStates};
use crate::ops::linear;

/// Runs the operation as one node. The embedded tokens are projected all at once before it, query and
/// recurrent weights are one, and the query's bias is part of the keys.
pub(super) fn bahdanau(
    inputs: BahdanauInputs,
    src_lengths: &[usize],
    tgt_lengths: &[usize],
) -> BahdanauStates {
    let d_embed = inputs.embedded.dims()[2];
    let [_, src_len, d_memory] = inputs.memory.dims();
    let d_hidden = inputs.hidden.dims()[1];
    let of_embedded = inputs.input_weight.clone().narrow(0, 0, d_embed);
    let of_context = inputs.input_weight.narrow(0, d_embed, d_memory);
    let projected = linear(inputs.embedded, of_embedded, Some(inputs.input_bias));
    let of_state = Tensor::cat(vec![inputs.query_weight, inputs.recurrent_weight], 1);
    let keys = inputs.keys + inputs.query_bias.unsqueeze();
    let lstm = inputs.cell.is_some();
    let extra = match (inputs.cell, inputs.recurrent_bias) {
        (Some(cell), _) => cell.into_dispatch(),
        (None, bias) => bias.expect("a GRU has a recurrent bias").into_dispatch(),
    };
    let out = Tensor::<3>::from_dispatch(Dispatch::bahdanau_steps(
        projected.into_dispatch(),
        of_state.into_dispatch(),
        keys.into_dispatch(),
        inputs.v.into_dispatch(),
        inputs.memory.into_dispatch(),
        of_context.into_dispatch(),
        inputs.hidden.into_dispatch(),
        extra,
        Plan {
            src_lengths: src_lengths.to_vec(),
            tgt_lengths: tgt_lengths.to_vec(),
            lstm,
        },
    ));
    let d_states = d_hidden + d_memory;
    BahdanauStates {
        hidden_and_context: out.clone().narrow(2, 0, d_states),
        weights: out.narrow(2, d_states, src_len),
    }
}

/// What the operation knows besides its tensors.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of each source.
    pub src_lengths: Vec<usize>,
    /// Of each target.
    pub tgt_lengths: Vec<usize>,
    /// Whether the cell is an LSTM's.
    pub lstm: bool,
}

/// Number of arguments.
const ARGUMENTS: usize = 8;

/// The arguments, or their gradients.
#[derive(Clone, Debug)]
pub struct Arguments<F> {
    /// `y W + b`, `[batch, tgt_len, gates * d_hidden]`.
    pub projected: F,
    /// W_q beside the recurrent weights, `[d_hidden, d_attn + gates * d_hidden]`.
    pub of_state: F,
    /// U m + b_q, `[batch, src_len, d_attn]`.
    pub keys: F,
    /// v, `[d_attn]`.
    pub v: F,
    /// m, `[batch, src_len, d_memory]`.
    pub memory: F,
    /// The rows of W that read the context, `[d_memory, gates * d_hidden]`.
    pub of_context: F,
    /// s[-1], `[batch, d_hidden]`.
    pub hidden: F,
    /// The LSTM's cell before the first step, `[batch, d_hidden]`, or the GRU's bias, `[d_hidden]`.
    pub extra: F,
}

impl<F> Arguments<F> {
    fn from_array(arguments: [F; ARGUMENTS]) -> Self {
        let [
            projected,
            of_state,
            keys,
            v,
            memory,
            of_context,
            hidden,
            extra,
        ] = arguments;
        Self {
            projected,
            of_state,
            keys,
            v,
            memory,
            of_context,
            hidden,
            extra,
        }
    }

    fn into_array(self) -> [F; ARGUMENTS] {
        [
            self.projected,
            self.of_state,
            self.keys,
            self.v,
            self.memory,
            self.of_context,
            self.hidden,
            self.extra,
        ]
    }
}

/// What the gradient needs from the forward pass, for each row and step.
#[derive(Clone, Debug)]
pub struct Saved<F> {
    /// W_q s, `[batch, tgt_len, d_attn]`.
    pub queries: F,
    /// `[batch, tgt_len, src_len]`.
    pub weights: F,
    /// `[batch, tgt_len, d_memory]`.
    pub contexts: F,
    /// Of an LSTM i, f, g, o, of a GRU r, z, n, `y_n + b`: `[batch, tgt_len, 4 * d_hidden]`.
    pub gates: F,
    /// s before the step, `[batch, tgt_len, d_hidden]`.
    pub hiddens: F,
    /// The cell before the step, of an LSTM, likewise; one number of a GRU.
    pub cells: F,
}

/// All steps on a backend.
pub trait StepsKernel: Backend {
    /// s, c and weights side by side, `[batch, tgt_len, d_hidden + d_memory + src_len]`, and what the
    /// gradient needs.
    fn forward(
        arguments: Arguments<FloatTensor<Self>>,
        plan: &Plan,
    ) -> (FloatTensor<Self>, Saved<FloatTensor<Self>>);

    /// The gradients of the arguments, given that of the result.
    fn backward(
        grad: FloatTensor<Self>,
        arguments: Arguments<FloatTensor<Self>>,
        saved: Saved<FloatTensor<Self>>,
        plan: &Plan,
    ) -> Arguments<FloatTensor<Self>>;
}

/// The operation on a backend, on the tape or not; arguments as in [`Arguments`], the result as of
/// [`StepsKernel::forward`].
#[backend_extension(Cube: cfg(feature = "cube"), Autodiff)]
pub trait BahdanauStepsOps: Backend {
    /// All steps.
    #[allow(clippy::too_many_arguments)] // the extension takes no lists of tensors
    fn bahdanau_steps(
        projected: FloatTensor<Self>,
        of_state: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        v: FloatTensor<Self>,
        memory: FloatTensor<Self>,
        of_context: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        extra: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self>;
}
