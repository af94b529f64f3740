//! Tensor operations of this field, fused where it pays.
//!
//! One folder an operation: `mod.rs` holds the tensor-level function, its mathematics and the
//! backend trait; `reference.rs` the same from plain tensor operations (the test oracle);
//! `generic.rs` from a backend's own float operations (the fallback); `cpu.rs` the kernel on slices,
//! shared by flex and ndarray; `cube.rs` the CubeCL kernel for GPUs; `backward.rs` the hand-written
//! gradient on the tape. What the LSTM and the GRU share stands in `recurrent/`. Nothing outside
//! this folder names a backend.

// burn deprecates ndarray in favour of flex; both are supported here.
#![allow(deprecated)]

pub mod adam;
pub mod additive_score;
pub mod attention_read;
pub mod bahdanau;
mod cell_step;
pub mod dot_score;
pub mod embedding;
pub mod entmax;
pub mod gru;
mod layer_norm;
pub mod linear;
pub mod linear_cross_entropy;
pub mod linear_log_probs;
pub mod lstm;
pub mod luong;
mod masked_softmax;
pub mod mixture;
mod monotonic_alignment;
pub mod multi_head_read;
mod padded;
mod prepared_weights;
mod recurrent;
mod tanh;
mod top_log_probs;
mod work;

#[cfg(feature = "cpu")]
mod attention_dims;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "cpu")]
mod gemm;
mod generic;
#[cfg(feature = "cpu")]
mod host;
#[cfg(feature = "cpu")]
mod rows;
mod simd;
#[cfg(feature = "cpu")]
mod step_on_slices;
mod steps;
#[cfg(feature = "cpu")]
mod tensor_list;
#[cfg(feature = "cpu")]
mod whole_pass;

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

/// Refuses a tensor of no numbers: nothing can be meant by it, and kernels need not think of it.
fn assert_some<const D: usize>(operation: &str, tensor: &burn::tensor::Tensor<D>) {
    let sizes = tensor.dims();
    assert!(
        sizes.iter().all(|&size| size > 0),
        "{operation}: a tensor of {sizes:?} has no numbers"
    );
}

/// Whether the operation on this tensor is one of the kernels on slices.
fn has_cpu_kernels<const D: usize>(tensor: &burn::tensor::Tensor<D>) -> bool {
    crate::device::is_cpu(&tensor.device()) && tensor.dtype() == burn::tensor::DType::F32
}

/// Whether [`bahdanau_step()`] and [`luong_step()`] with this tensor are one operation each: on the CPU
/// backends in f32, off the tape.
pub fn steps_are_one<const D: usize>(tensor: &burn::tensor::Tensor<D>) -> bool {
    has_cpu_kernels(tensor) && !tensor.device().is_autodiff()
}

/// Whether the operation on this tensor is one of the CubeCL kernels.
#[cfg(feature = "cube")]
fn has_cube_kernels<const D: usize>(tensor: &burn::tensor::Tensor<D>) -> bool {
    use burn::backend::DispatchDevice;
    let device = tensor.device().inner();
    matches!(device.as_dispatch(), DispatchDevice::Cube(_)) && cube::is_supported(tensor.dtype())
}

/// Whether the operation on this tensor is one of the kernels, on slices or of CubeCL.
fn has_kernels<const D: usize>(tensor: &burn::tensor::Tensor<D>) -> bool {
    if has_cpu_kernels(tensor) {
        return true;
    }
    #[cfg(feature = "cube")]
    if has_cube_kernels(tensor) {
        return true;
    }
    false
}

#[cfg(feature = "cpu")]
pub(crate) use gemm::multiplies_bf16;

pub use adam::{AdamStep, adam_step, square_sum};
pub use additive_score::additive_score;
pub use attention_read::{AttentionRead, attention_read};
pub use bahdanau::{
    BahdanauInputs, BahdanauStates, BahdanauStep, BahdanauStepInputs, bahdanau, bahdanau_step,
};
pub use dot_score::dot_score;
pub use embedding::embedding;
pub use entmax::{Alpha, entmax};
pub use gru::{GruArguments, bidirectional_gru, gru};
pub use layer_norm::layer_norm;
pub use linear::linear;
pub use linear_cross_entropy::{CrossEntropy, cross_entropy, linear_cross_entropy};
pub use linear_log_probs::{TokenTerms, linear_log_probs};
pub use lstm::{LstmArguments, bidirectional_lstm, lstm};
pub use luong::{
    LuongInputs, LuongScore, LuongStates, LuongStep, LuongStepInputs, luong, luong_step,
};
pub use masked_softmax::masked_softmax;
pub use mixture::{Mixture, mixed_log_probs};
pub use monotonic_alignment::monotonic_alignment;
pub use multi_head_read::{MultiHeadInputs, MultiHeadRead, multi_head_read};
pub use padded::{end_states, last_states, pack, reverse_padded, unpack, with_zero_row};
pub use prepared_weights::{PreparedWeights, WeightFormat};
pub use recurrent::{Direction, RecurrentStates};
pub use tanh::tanh;
pub use top_log_probs::{Choice, TokenLogProb, best_tokens, log_sum_exp, map_rows, top_log_probs};
pub use work::Work;
