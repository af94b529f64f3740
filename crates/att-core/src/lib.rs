//! The ground that encoder-decoder models with attention stand on, for [burn](https://burn.dev).
//!
//! | concept | where |
//! | --- | --- |
//! | checks of configuration values | [`check`] |
//! | which device to run on, from a word such as `flex` or `wgpu:1` | [`DeviceSpec`] |
//! | ids of the special tokens | [`special`] |
//! | devices of other processes, with the feature `remote` | `remote` |
//! | padding and causal masks (true = masked) | [`mask`] |
//! | rows of a batch by their places, two batches as one | [`rows`] |
//! | what an encoder gives to a decoder | [`EncoderOutput`], [`RecurrentState`] |
//! | f32 or bf16 products on CPU | [`Precision`], [`set_precision`] |
//! | the one source of randomness | [`random`] |
//! | gradients without dropout | [`without_noise`] |
//! | softmax over what is not masked, exactly | [`ops::masked_softmax`] |
//! | whole recurrent sequences as one operation on the tape | [`ops::lstm()`], [`ops::gru()`] |
//!
//! Nothing in this crate has parameters: layers begin in `att-layers`.
//!
//! ```
//! use att_core::{DeviceSpec, mask, ops::masked_softmax};
//! use burn::tensor::Tensor;
//!
//! let device = "flex".parse::<DeviceSpec>()?.init()?;
//! // Two sources, of three tokens and of one; scores of one decoder step each.
//! let src_pad_mask = mask::src_pad_mask(&[3, 1], 3, &device);
//! let scores = Tensor::<3>::zeros([2, 1, 3], &device);
//! let weights = masked_softmax(scores, src_pad_mask.unsqueeze_dim(1));
//! let weights = weights.into_data().try_to_vec::<f32>().unwrap();
//! assert_eq!(weights[3..], [1.0, 0.0, 0.0]);
//! # Ok::<(), att_core::Error>(())
//! ```

pub mod check;
mod device;
mod error;
mod host_vec;
mod kernel_threads;
#[cfg(feature = "cube")]
mod launches;
pub mod mask;
mod memory;
pub mod ops;
mod precision;
pub mod random;
#[cfg(feature = "remote")]
pub mod remote;
pub mod rows;
pub mod special;
mod training;

pub use device::{DeviceSpec, is_cpu};
pub use error::{Error, Result};
pub use host_vec::host_vec;
pub use kernel_threads::{at_once, on_kernel_threads, on_one_kernel_thread, side_by_side};
#[cfg(feature = "cube")]
pub use launches::Launches;
pub use memory::{EncoderOutput, MemorySpec, RecurrentState};
pub use precision::{Precision, precision, set_precision};
pub use training::{is_training, without_noise};
