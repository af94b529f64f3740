//! The step on slices, for flex and ndarray: the kernels of its parts, one after the other, with nothing
//! between them.

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};

use super::{LuongStep, LuongStepInputs};
use crate::ops::additive_score::cpu as additive_score;
use crate::ops::attention_dims::AttentionDims;
use crate::ops::attention_read::kernel::Sources;
use crate::ops::dot_score::cpu as dot_score;
use crate::ops::gemm::new_matmul;
use crate::ops::gru::cpu::GruCell;
use crate::ops::host::{AsF32, HostTensor};
use crate::ops::lstm::cpu::LstmCell;
use crate::ops::luong::LuongScore;
use crate::ops::recurrent::cpu::{CpuCell, InputWeights, biases};
use crate::ops::rows::row;
use crate::ops::step_on_slices::{
    THREADS, advance, cell_or_bias, dense, given_out, outputs, read, sources, tanh_of_sums,
};
use crate::ops::tensor_list::TensorList;

/// Number of arguments that are tensors: those of [`LuongStepInputs`] in their order without score and mask,
/// with the cell of an LSTM or the recurrent bias of a GRU behind them.
const ARGUMENTS: usize = 10;

pub(super) fn luong_step(inputs: LuongStepInputs) -> LuongStep {
    let (lstm, last) = cell_or_bias(inputs.state.cell, inputs.recurrent_bias);
    let mut arguments = vec![
        inputs.input.into_dispatch(),
        inputs.state.hidden.into_dispatch(),
        inputs.keys.into_dispatch(),
        inputs.projected.into_dispatch(),
        inputs.input_weight.into_dispatch(),
        inputs.input_bias.into_dispatch(),
        inputs.recurrent_weight.into_dispatch(),
        inputs.attentional_weight.into_dispatch(),
        inputs.attentional_bias.into_dispatch(),
        last,
    ];
    let scale = match inputs.score {
        LuongScore::Dot { scale } => Some(scale as f32),
        LuongScore::Additive {
            query_weight,
            query_bias,
            v,
        } => {
            arguments.extend([
                query_weight.into_dispatch(),
                query_bias.into_dispatch(),
                v.into_dispatch(),
            ]);
            None
        }
    };
    let plan = StepPlan {
        sources: sources(inputs.src_pad_mask),
        scale,
        lstm,
    };
    let (attentional, weights, state) = outputs(Dispatch::luong_step(TensorList(arguments), plan));
    LuongStep {
        attentional,
        weights,
        state,
    }
}

/// What the operation knows besides its tensors.
#[derive(Clone, Debug)]
pub struct StepPlan {
    sources: Sources,
    /// Of a dot product; none where the score is additive.
    scale: Option<f32>,
    lstm: bool,
}

/// The operation of a CPU backend.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub trait LuongStepOps: Backend {
    /// f, a, s and of an LSTM its cell, of the arguments (see [`ARGUMENTS`]), behind which an additive score
    /// has W_q, b_q and v.
    fn luong_step(
        #[extension_type] arguments: TensorList<Self>,
        plan: StepPlan,
    ) -> TensorList<Self>;
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl LuongStepOps for $backend {
            fn luong_step(arguments: TensorList<Self>, plan: StepPlan) -> TensorList<Self> {
                let step = match plan.lstm {
                    true => step::<LstmCell, _>,
                    false => step::<GruCell, _>,
                };
                TensorList(step(arguments, &plan))
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);

fn step<C: CpuCell, B: Backend>(
    mut arguments: TensorList<B>,
    plan: &StepPlan,
) -> Vec<FloatTensor<B>>
where
    FloatTensor<B>: HostTensor,
{
    let of_score = arguments.0.split_off(ARGUMENTS);
    let of_score: Vec<_> = of_score.into_iter().map(HostTensor::contiguous).collect();
    let arguments: [FloatTensor<B>; ARGUMENTS] = arguments.into_array();
    let arguments = arguments.map(HostTensor::contiguous);
    let [
        input,
        hidden,
        keys,
        projected,
        input_weight,
        input_bias,
        recurrent_weight,
        attentional_weight,
        attentional_bias,
        last,
    ] = arguments.each_ref().map(AsF32::as_f32);
    let [batch, src_len] = plan.sources.sizes();
    let (width, d_attentional) = (input_bias.len(), attentional_bias.len());
    let d = width / C::PARTS;
    let rows = hidden.len() / d;
    let d_input = input.len() / rows;
    let (recurrent_bias, mut cell) = match C::HAS_C {
        true => (&[][..], last.to_vec()),
        false => (last, Vec::new()),
    };

    let mut gates = biases::<C>(input_bias, recurrent_bias).repeat(rows);
    let of_input = InputWeights::new::<C>(dense(input_weight, d_input, width), rows);
    of_input.add(&mut gates, dense(input, rows, d_input), THREADS);
    let mut hidden = hidden.to_vec();
    advance::<C>(gates, recurrent_weight, &mut hidden, &mut cell, rows);
    let state = dense(&hidden, rows, d);

    let (tgt_len, d_key) = (rows / batch, keys.len() / (batch * src_len));
    let mut weights = match (plan.scale, &of_score[..]) {
        (Some(scale), _) => {
            let dims = AttentionDims {
                batch,
                tgt_len,
                src_len,
                d,
            };
            dot_score::forward(&hidden, keys, scale, dims)
        }
        (None, [query_weight, query_bias, v]) => {
            let query_weight = dense(query_weight.as_f32(), d, d_key);
            let query = new_matmul(state, query_weight, Some(query_bias.as_f32()), THREADS);
            let dims = AttentionDims {
                batch,
                tgt_len,
                src_len,
                d: d_key,
            };
            additive_score::forward(&query, keys, v.as_f32(), dims)
        }
        (None, _) => unreachable!("an additive score has three tensors"),
    };
    let contexts = read(&mut weights, projected, &plan.sources, rows, d_attentional);
    let of_hidden = dense(&attentional_weight[..d * d_attentional], d, d_attentional);
    let mut attentional = new_matmul(state, of_hidden, Some(attentional_bias), THREADS);
    tanh_of_sums(&mut attentional, d_attentional, |i| {
        row(&contexts, i, d_attentional)
    });

    given_out(rows, attentional, weights, hidden, cell)
}
