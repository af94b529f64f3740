//! Layers that encoders and decoders share, for [burn](https://burn.dev).
//!
//! | layer | what it computes |
//! | --- | --- |
//! | [`Embedding`] | a vector for each token, with dropout |
//! | [`Recurrent`] ([`Lstm`] or [`Gru`]) | states over a padded batch, as one fused operation |
//! | [`GatedConvolution`] | a convolution with a gated linear unit, over a packed batch |
//! | [`Dropout`] | inverted dropout, the same masks on every backend |
//! | [`Linear`] | `x W + b`, as one fused operation |
//! | [`LayerNorm`] | rows of mean 0 and variance 1, as one fused operation |
//! | [`FeedForward`] | two linear maps with ReLU, GELU or SwiGLU between them |
//! | [`Residual`] | the sum around a sublayer, with its norm before or after |
//! | [`PositionsConfig`] | sinusoidal, learned or rotary positions |
//! | [`TransformerInput`] | tokens' vectors with their positions |
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
mod feed_forward;
pub mod init;
mod layer_norm;
mod linear;
mod positions;
mod recurrent;
mod residual;
mod transformer_input;

pub use convolution::{GatedConvolution, Windows};
pub use dropout::Dropout;
pub use embedding::{Embedding, EmbeddingConfig};
pub use feed_forward::{ActivationKind, FeedForward};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use positions::{
    AbsolutePositions, LearnedPositions, LearnedPositionsConfig, PositionsConfig, RotaryPositions,
    RotaryPositionsConfig, SinusoidalPositions, SinusoidalPositionsConfig,
};
pub use recurrent::{CellKind, Gru, Lstm, Recurrent};
pub use residual::{NormPlace, Residual};
pub use transformer_input::TransformerInput;
