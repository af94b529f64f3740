//! Layers that encoders and decoders share, for [burn](https://burn.dev).
//!
//! | layer | what it computes |
//! | --- | --- |
//! | [`Embedding`] | a vector for each token, with dropout |
//! | [`Recurrent`] ([`Lstm`] or [`Gru`]) | states over a padded batch, as one fused operation |
//! | [`GatedConvolution`] | a convolution with a gated linear unit, over a packed batch |
//! | [`LearnedPositions`] | a vector for each position |
//! | [`Dropout`] | inverted dropout, the same masks on every backend |
//! | [`Linear`] | `x W + b`, as one fused operation |
//! | [`init`] | initial weights, the same on every backend |
//!
//! ```
//! use att_core::{DeviceSpec, ops::Direction};
//! use att_layers::CellKind;
//! use burn::tensor::Tensor;
//!
//! let device = "flex".parse::<DeviceSpec>()?.init()?;
//! att_core::random::seed(42);
//! let lstm = CellKind::Lstm.init(8, 16, &device);
//! let input = Tensor::<3>::ones([2, 5, 8], &device); // [batch, len, d_input]
//! let start = lstm.zero_state(2, &device);
//! // Of the second row only three positions are real.
//! let output = lstm.forward(input, &[5, 3], Direction::Forward, start);
//! assert_eq!(output.hidden.dims(), [2, 5, 16]);
//! assert_eq!(output.last.hidden.dims(), [2, 16]);
//! # Ok::<(), att_core::Error>(())
//! ```

mod convolution;
mod dropout;
mod embedding;
pub mod init;
mod learned_positions;
mod linear;
mod recurrent;

pub use convolution::{GatedConvolution, Windows};
pub use dropout::Dropout;
pub use embedding::{Embedding, EmbeddingConfig};
pub use learned_positions::{LearnedPositions, LearnedPositionsConfig};
pub use linear::Linear;
pub use recurrent::{CellKind, Gru, Lstm, Recurrent};
