//! The step on slices, for flex and ndarray: the kernels of its parts, one after the other, with nothing
//! between them.

use burn::backend::{Backend, Dispatch, backend_extension};

use super::{BahdanauStep, BahdanauStepInputs};
use crate::ops::additive_score::cpu as additive_score;
use crate::ops::attention_dims::AttentionDims;
use crate::ops::attention_read::kernel::Sources;
use crate::ops::gemm::{matmul, new_matmul};
use crate::ops::gru::cpu::GruCell;
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::recurrent::cpu::{CpuCell, InputWeights, SLOTS, add_to_line, biases};
use crate::ops::rows::row;
use crate::ops::step_on_slices::{
    THREADS, advance, cell_or_bias, dense, given_out, outputs, read, sources, tanh_of_sums,
};
use crate::ops::tensor_list::TensorList;

/// Number of arguments that are tensors: those of [`BahdanauStepInputs`] in their order without the mask,
/// with the cell of an LSTM or the recurrent bias of a GRU at the end.
const ARGUMENTS: usize = 13;

pub(super) fn bahdanau_step(inputs: BahdanauStepInputs) -> BahdanauStep {
    let (lstm, last) = cell_or_bias(inputs.state.cell, inputs.recurrent_bias);
    let arguments = vec![
        inputs.embedded.into_dispatch(),
        inputs.state.hidden.into_dispatch(),
        inputs.keys.into_dispatch(),
        inputs.projected.into_dispatch(),
        inputs.query_weight.into_dispatch(),
        inputs.query_bias.into_dispatch(),
        inputs.v.into_dispatch(),
        inputs.input_weight.into_dispatch(),
        inputs.input_bias.into_dispatch(),
        inputs.recurrent_weight.into_dispatch(),
        inputs.deep_weight.into_dispatch(),
        inputs.deep_bias.into_dispatch(),
        last,
    ];
    let plan = StepPlan {
        sources: sources(inputs.src_pad_mask),
        lstm,
    };
    let (features, weights, state) = outputs(Dispatch::bahdanau_step(TensorList(arguments), plan));
    BahdanauStep {
        features,
        weights,
        state,
    }
}

/// What the operation knows besides its tensors.
#[derive(Clone, Debug)]
pub struct StepPlan {
    sources: Sources,
    lstm: bool,
}

/// The operation of a CPU backend.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub trait BahdanauStepOps: Backend {
    /// o, a, s and of an LSTM its cell, of the arguments (see [`ARGUMENTS`]).
    fn bahdanau_step(
        #[extension_type] arguments: TensorList<Self>,
        plan: StepPlan,
    ) -> TensorList<Self>;
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl BahdanauStepOps for $backend {
            fn bahdanau_step(arguments: TensorList<Self>, plan: StepPlan) -> TensorList<Self> {
                let step = match plan.lstm {
                    true => step::<LstmCell, _>,
                    false => step::<GruCell, _>,
                };
                TensorList(step(arguments.into_array(), &plan.sources))
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);

fn step<C: CpuCell, T: HostTensor>(arguments: [T; ARGUMENTS], sources: &Sources) -> Vec<T> {
    let arguments = arguments.map(HostTensor::contiguous);
    let [
        embedded,
        hidden,
        keys,
        projected,
        query_weight,
        query_bias,
        v,
        input_weight,
        input_bias,
        recurrent_weight,
        deep_weight,
        deep_bias,
        last,
    ] = arguments.each_ref().map(AsF32::as_f32);
    let [batch, src_len] = sources.sizes();
    let (d_attn, d_output) = (v.len(), deep_bias.len());
    let (d, width) = (query_weight.len() / d_attn, input_bias.len());
    let rows = hidden.len() / d;
    let d_embed = embedded.len() / rows;
    let (recurrent_bias, mut cell) = match C::HAS_C {
        true => (&[][..], last.to_vec()),
        false => (last, Vec::new()),
    };
    let embedded = dense(embedded, rows, d_embed);

    let query_weight = dense(query_weight, d, d_attn);
    let query = new_matmul(
        dense(hidden, rows, d),
        query_weight,
        Some(query_bias),
        THREADS,
    );
    let dims = AttentionDims {
        batch,
        tgt_len: rows / batch,
        src_len,
        d: d_attn,
    };
    let mut weights = additive_score::forward(&query, keys, v, dims);
    let contexts = read(&mut weights, projected, sources, rows, width + d_output);
    let context = |i: usize| row(&contexts, i, width + d_output).split_at(width);

    let mut gates = biases::<C>(input_bias, recurrent_bias).repeat(rows);
    for (i, gates) in gates.chunks_exact_mut(SLOTS * d).enumerate() {
        add_to_line::<C>(gates, context(i).0);
    }
    let of_embedded = dense(input_weight, d_embed, width);
    InputWeights::new::<C>(of_embedded, rows).add(&mut gates, embedded, THREADS);
    let mut hidden = hidden.to_vec();
    advance::<C>(gates, recurrent_weight, &mut hidden, &mut cell, rows);

    let (of_hidden, rest) = deep_weight.split_at(d * d_output);
    let of_embedded = &rest[rest.len() - d_embed * d_output..];
    let of_hidden = dense(of_hidden, d, d_output);
    let of_embedded = dense(of_embedded, d_embed, d_output);
    let mut features = new_matmul(dense(&hidden, rows, d), of_hidden, Some(deep_bias), THREADS);
    matmul(
        &mut features,
        d_output,
        true,
        embedded,
        of_embedded,
        THREADS,
    );
    tanh_of_sums(&mut features, d_output, |i| context(i).1);

    given_out(rows, features, weights, hidden, cell)
}
