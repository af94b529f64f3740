//! Encoders for [burn](https://burn.dev): one state for each source token, or for a few.
//!
//! | encoder | states | paper |
//! | --- | --- | --- |
//! | [`RecurrentEncoder`] | LSTM or GRU, one or both directions, any number of layers | Bahdanau et al. 2015, sec. 3.2; Wu et al. 2016, sec. 3 |
//! | [`PyramidalEncoder`] | LSTM or GRU in both directions, half as many with each layer | Chan et al. 2016, sec. 3.1 |
//! | [`ConvolutionalEncoder`] | of all tokens at once, from their neighbours | Gehring et al. 2017, sec. 3 |
//! | [`TransformerEncoder`] | self-attention and feed-forward networks | Vaswani et al. 2017, sec. 3.1 |
//!
//! Lengths are respected: the states of real tokens do not depend on padding, states at padding
//! are zero, and the final state of a sequence, where there is one, is that at its own last token.
//!
//! ```
//! use att_core::DeviceSpec;
//! use att_encoder::{EncoderConfig, RecurrentEncoderConfig};
//! use burn::tensor::Tensor;
//!
//! let device = "flex".parse::<DeviceSpec>()?.init()?;
//! let config = EncoderConfig::Recurrent(RecurrentEncoderConfig {
//!     d_hidden: 16,
//!     ..Default::default()
//! });
//! config.validate()?;
//! let encoder = config.init(8, &device);
//! // Two sources of five and three tokens, already embedded.
//! let output = encoder.forward(Tensor::ones([2, 5, 8], &device), &[5, 3]);
//! assert_eq!(output.memory.dims(), [2, 5, 32]); // two directions of 16
//! # Ok::<(), att_core::Error>(())
//! ```

mod convolutional;
mod encoder;
mod pyramidal;
mod recurrent;
mod transformer;

#[cfg(test)]
mod contract;

pub use convolutional::{ConvolutionalEncoder, ConvolutionalEncoderConfig};
pub use encoder::{Encoder, EncoderConfig};
pub use pyramidal::{PyramidalEncoder, PyramidalEncoderConfig};
pub use recurrent::{JoinKind, RecurrentEncoder, RecurrentEncoderConfig, RecurrentEncoderLayer};
pub use transformer::{TransformerEncoder, TransformerEncoderLayer};
