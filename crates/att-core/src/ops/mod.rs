//! Tensor operations of this field, fused where it pays.
//!
//! One folder an operation: `mod.rs` holds the tensor-level function, its mathematics and the
//! backend trait; `reference.rs` the same from plain tensor operations (the test oracle);
//! `generic.rs` from a backend's own float operations (the fallback, used on GPUs);
//! `cpu.rs` the kernel on slices, shared by flex and ndarray; `backward.rs` the hand-written
//! gradient on the tape. Nothing outside this folder names a backend.

// burn deprecates ndarray in favour of flex; both are supported here.
#![allow(deprecated)]

pub mod adam;
mod additive_score;
pub mod gru;
pub mod linear;
pub mod linear_cross_entropy;
pub mod lstm;
mod masked_softmax;
mod padded;

#[cfg(feature = "cpu")]
mod gemm;
mod generic;
#[cfg(feature = "cpu")]
mod host;
#[cfg(feature = "cpu")]
mod rows;
#[cfg(feature = "cpu")]
mod simd;

#[cfg(test)]
mod test_support;

pub use adam::{AdamStep, adam_step, square_sum};
pub use additive_score::additive_score;
pub use gru::gru;
pub use linear::linear;
pub use linear_cross_entropy::{CrossEntropy, cross_entropy, linear_cross_entropy};
pub use lstm::{LstmStates, lstm};
pub use masked_softmax::masked_softmax;
pub use padded::{last_states, reverse_padded};
