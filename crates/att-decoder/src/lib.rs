//! Decoders and search for [burn](https://burn.dev).
//!
//! | decoder | one step | paper |
//! | --- | --- | --- |
//! | [`BahdanauDecoder`] | attend with the last state, let the context enter the recurrence | Bahdanau et al. 2015, A.2.2 |
//! | [`LuongDecoder`] | let the recurrence step, then attend with its state | Luong et al. 2015, sec. 3 |
//! | [`ConditionalGruDecoder`] | attend in between two transitions of the recurrence | Sennrich et al. 2017, sec. 2 |
//! | [`ConvolutionalDecoder`] | convolve over the past in blocks, each of which attends | Gehring et al. 2017, sec. 3 |
//! | [`SummaryDecoder`] | no attention: a fixed summary of the source is all there is | Cho et al. 2014, Sutskever et al. 2014 |
//! | [`TransformerDecoder`] | attend to the past and to the source in each layer, with several heads | Vaswani et al. 2017, sec. 3.1 |
//!
//! A [`Decoder`] has one cached step and the whole teacher-forced pass; its state is a value that
//! goes in and comes out. [`search`] needs nothing but its steps.
//!
//! ```
//! use att_core::DeviceSpec;
//! use att_decoder::{Decoder, DecoderConfig, search::SearchConfig};
//! use att_encoder::{EncoderConfig, RecurrentEncoderConfig};
//! use att_layers::EmbeddingConfig;
//! use burn::tensor::Tensor;
//!
//! let device = "flex".parse::<DeviceSpec>()?.init()?;
//! let encoder = EncoderConfig::default();
//! let embedding = EmbeddingConfig { d_embed: 8, ..Default::default() };
//! let decoder = DecoderConfig::default();
//! decoder.validate(8, false, &encoder.memory_spec())?;
//! let decoder = decoder.init(embedding.init(20, &device), false, &encoder.memory_spec(), &device);
//!
//! let source = encoder.init(8, &device).forward(Tensor::ones([1, 5, 8], &device), &[5]);
//! let found = SearchConfig { beam_size: 3, ..Default::default() }.search(&decoder, &source, &[5]);
//! let best = &found[0][0];
//! assert_eq!(best.token_log_probs.len(), best.tokens.len() + 1); // the tokens and the end
//! # Ok::<(), att_core::Error>(())
//! ```

mod attention_layer;
mod bahdanau;
mod bridge;
mod combine;
mod conditional_gru;
mod convolutional;
mod decoder;
mod ensemble;
mod luong;
mod output;
pub mod search;
mod stack;
mod summary;
mod transformer;
mod unroll;

#[cfg(test)]
mod contract;

pub use attention_layer::AttentionLayer;
pub use bahdanau::{BahdanauConfig, BahdanauDecoder};
pub use bridge::{Bridge, BridgeConfig, BridgeProjection};
pub use combine::CombineKind;
pub use conditional_gru::{ConditionalGruConfig, ConditionalGruDecoder};
pub use convolutional::{
    ConvolutionalDecoder, ConvolutionalDecoderBlock, ConvolutionalDecoderConfig,
};
pub use decoder::{
    AnyDecoder, Decoder, DecoderConfig, DecoderMemory, DecoderOutput, DecoderState, DecoderStep,
};
pub use ensemble::Ensemble;
pub use luong::{LuongConfig, LuongDecoder};
pub use output::{OutputColumns, OutputLayer};
pub use stack::{RecurrentStack, RecurrentStackConfig};
pub use summary::{SummaryConfig, SummaryDecoder};
pub use transformer::{
    AlignmentConfig, TransformerDecoder, TransformerDecoderConfig, TransformerDecoderLayer,
};
