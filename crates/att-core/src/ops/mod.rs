//! Tensor operations of this field, fused where it pays.
//!
//! One folder an operation: `mod.rs` holds the tensor-level function, its mathematics and the
//! backend trait; `reference.rs` the same from plain tensor operations (the test oracle);
//! `generic.rs` from a backend's own float operations (the fallback, used on GPUs);
//! `cpu.rs` the kernel on slices, shared by flex and ndarray; `backward.rs` the hand-written
//! gradient on the tape. What the LSTM and the GRU share stands in `recurrent/`. Nothing outside
//! this folder names a backend.

// burn deprecates ndarray in favour of flex; both are supported here.
#![allow(deprecated)]

mod additive_score;
pub mod gru;
pub mod lstm;
mod masked_softmax;
mod padded;
mod recurrent;

#[cfg(feature = "cpu")]
mod gemm;
mod generic;
#[cfg(feature = "cpu")]
mod host;
#[cfg(feature = "cpu")]
mod simd;

#[cfg(test)]
mod test_support;

pub use additive_score::additive_score;
pub use gru::{GruArguments, bidirectional_gru, gru};
pub use lstm::{LstmArguments, LstmStates, bidirectional_lstm, lstm};
pub use masked_softmax::masked_softmax;
pub use padded::{last_states, reverse_padded};
pub use recurrent::Direction;
