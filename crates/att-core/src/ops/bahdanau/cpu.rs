//! The operation on flex and ndarray.

use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension, tensor::FloatTensor};
use burn::tensor::{Shape, Tensor};

use super::kernel::{self, Dims, Saved};
use super::{BahdanauInputs, BahdanauStates};
use crate::ops::host::{AsF32, HostTensor};

/// Number of arguments that have gradients.
pub(super) const ARGUMENTS: usize = 11;

/// Runs the operation as one node.
pub(super) fn bahdanau(
    inputs: BahdanauInputs,
    src_lengths: &[usize],
    tgt_lengths: &[usize],
) -> BahdanauStates {
    let [_, src_len, d_memory] = inputs.memory.dims();
    let [_, d_hidden] = inputs.hidden.dims();
    // An LSTM's cell or a GRU's bias: one of the two is there.
    let (lstm, last) = match (inputs.cell, inputs.recurrent_bias) {
        (Some(cell), _) => (true, cell),
        (None, bias) => {
            let bias = bias.expect("checked before: a GRU has a recurrent bias");
            (false, bias.unsqueeze_dim::<2>(0))
        }
    };
    let lengths = Lengths {
        src: src_lengths.to_vec(),
        tgt: tgt_lengths.to_vec(),
        lstm,
    };
    let states = Tensor::<3>::from_dispatch(Dispatch::bahdanau(
        inputs.embedded.into_dispatch(),
        inputs.hidden.into_dispatch(),
        inputs.keys.into_dispatch(),
        inputs.memory.into_dispatch(),
        inputs.query_weight.into_dispatch(),
        inputs.query_bias.into_dispatch(),
        inputs.v.into_dispatch(),
        inputs.input_weight.into_dispatch(),
        inputs.input_bias.into_dispatch(),
        inputs.recurrent_weight.into_dispatch(),
        last.into_dispatch(),
        lengths,
    ));
    BahdanauStates {
        hidden_and_context: states.clone().narrow(2, 0, d_hidden + d_memory),
        weights: states.narrow(2, d_hidden + d_memory, src_len),
    }
}

/// What the operation knows besides its tensors.
#[derive(Clone, Debug)]
pub struct Lengths {
    /// Of each source.
    pub src: Vec<usize>,
    /// Of each target.
    pub tgt: Vec<usize>,
    /// Whether the cell is an LSTM's.
    pub lstm: bool,
}

/// The operation of a CPU backend; the tensors are those of [`BahdanauInputs`] in their order, with
/// the cell of an LSTM or the recurrent bias of a GRU (as `[1, d_hidden]`) at the end.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Autodiff
)]
#[allow(clippy::too_many_arguments)] // the arguments of the operation
pub trait BahdanauOps: Backend {
    /// `[s; c; a]` of each step, `[batch, tgt_len, d_hidden + d_memory + src_len]`.
    fn bahdanau(
        embedded: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        memory: FloatTensor<Self>,
        query_weight: FloatTensor<Self>,
        query_bias: FloatTensor<Self>,
        v: FloatTensor<Self>,
        input_weight: FloatTensor<Self>,
        input_bias: FloatTensor<Self>,
        recurrent_weight: FloatTensor<Self>,
        last: FloatTensor<Self>,
        lengths: Lengths,
    ) -> FloatTensor<Self>;
}

/// The operation and its gradient where tensors are slices.
pub(super) trait OnSlices: BahdanauOps {
    /// The states, and what the gradient needs.
    fn forward(
        arguments: &[FloatTensor<Self>; ARGUMENTS],
        lengths: &Lengths,
    ) -> (FloatTensor<Self>, Vec<Saved>);

    /// The gradients of the arguments, in their order.
    fn backward(
        grad: FloatTensor<Self>,
        arguments: [FloatTensor<Self>; ARGUMENTS],
        saved: Vec<Saved>,
        lengths: &Lengths,
    ) -> [FloatTensor<Self>; ARGUMENTS];
}

fn dims<T: TensorMetadata>(arguments: &[T; ARGUMENTS], lengths: &Lengths) -> Dims {
    let [embedded, hidden, keys, memory] = [0, 1, 2, 3].map(|at| arguments[at].shape());
    Dims {
        batch: embedded[0],
        tgt_len: embedded[1],
        src_len: memory[1],
        d_embed: embedded[2],
        d_hidden: hidden[1],
        d_attn: keys[2],
        d_memory: memory[2],
        lstm: lengths.lstm,
    }
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl BahdanauOps for $backend {
            fn bahdanau(
                embedded: FloatTensor<Self>,
                hidden: FloatTensor<Self>,
                keys: FloatTensor<Self>,
                memory: FloatTensor<Self>,
                query_weight: FloatTensor<Self>,
                query_bias: FloatTensor<Self>,
                v: FloatTensor<Self>,
                input_weight: FloatTensor<Self>,
                input_bias: FloatTensor<Self>,
                recurrent_weight: FloatTensor<Self>,
                last: FloatTensor<Self>,
                lengths: Lengths,
            ) -> FloatTensor<Self> {
                let arguments = [
                    embedded,
                    hidden,
                    keys,
                    memory,
                    query_weight,
                    query_bias,
                    v,
                    input_weight,
                    input_bias,
                    recurrent_weight,
                    last,
                ];
                Self::forward(&arguments, &lengths).0
            }
        }

        impl OnSlices for $backend {
            fn forward(
                arguments: &[FloatTensor<Self>; ARGUMENTS],
                lengths: &Lengths,
            ) -> (FloatTensor<Self>, Vec<Saved>) {
                let dims = dims(arguments, lengths);
                let arguments = arguments.clone().map(HostTensor::contiguous);
                let (states, saved) =
                    kernel::forward(arguments.each_ref().map(AsF32::as_f32), lengths, dims);
                let shape = Shape::from([dims.batch, dims.tgt_len, dims.d_states()]);
                (HostTensor::from_vec(states, shape), saved)
            }

            fn backward(
                grad: FloatTensor<Self>,
                arguments: [FloatTensor<Self>; ARGUMENTS],
                saved: Vec<Saved>,
                lengths: &Lengths,
            ) -> [FloatTensor<Self>; ARGUMENTS] {
                let dims = dims(&arguments, lengths);
                let mut shapes = arguments
                    .each_ref()
                    .map(|tensor| tensor.shape())
                    .into_iter();
                let arguments = arguments.map(HostTensor::contiguous);
                let gradients = kernel::backward(
                    grad.contiguous().as_f32(),
                    arguments.each_ref().map(AsF32::as_f32),
                    saved,
                    lengths,
                    dims,
                );
                gradients.map(|gradient| {
                    let shape = shapes.next().expect("one shape an argument");
                    HostTensor::from_vec(gradient, shape)
                })
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
