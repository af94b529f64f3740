//! Attention for [burn](https://burn.dev): a decoder's query scores every encoder state, softmax
//! makes weights of the scores, and their weighted sum of the states is the context.
//!
//! ```text
//! scores[t, s] = score(query[t], key[s])        one of the scorers
//! weights[t]   = masked_softmax(scores[t])      sums to one, exactly zero on padding
//! context[t]   = sum_s weights[t, s] value[s]
//! ```
//!
//! | scorer | score(q, m) | paper |
//! | --- | --- | --- |
//! | [`Dot`] | q . m | Luong et al. 2015, eq. 8 |
//! | [`ScaledDot`] | q . m / sqrt(d) | Vaswani et al. 2017, eq. 1 |
//! | [`General`] | q . (W m) | Luong et al. 2015, eq. 8 |
//! | [`Bilinear`] | q W m + u . m | Dozat and Manning 2017, eq. 6 |
//! | [`Cosine`] | q . m / (\|q\| \|m\| temperature) | Graves et al. 2014, eq. 5 and 6 |
//! | [`Additive`] | v . tanh(W q + U m) | Bahdanau et al. 2015, A.1.2 |
//! | [`Concat`] | v . tanh(W \[q; m\]) | Luong et al. 2015, eq. 8 |
//! | [`Location`] | (W q)\[s\], whatever stands at s | Luong et al. 2015, sec. 3.1 |
//!
//! A scorer returns raw scores; mask, softmax and context are the same for all.
//!
//! ```
//! use att_attention::{AttentionConfig, ScorerConfig};
//! use att_core::{DeviceSpec, EncoderOutput, mask::src_pad_mask};
//! use burn::tensor::Tensor;
//!
//! let device = "flex".parse::<DeviceSpec>()?.init()?;
//! let attention = AttentionConfig { scorer: ScorerConfig::Dot(Default::default()) }
//!     .init(2, 2, &device);
//!
//! // One source of three states, the last of them padding.
//! let source = EncoderOutput {
//!     memory: Tensor::from_data([[[8.0, 0.0], [0.0, 8.0], [0.0, 0.0]]], &device),
//!     src_pad_mask: src_pad_mask(&[2], 3, &device),
//!     final_states: vec![],
//! };
//! // The keys are projected once, for every step of the decoder.
//! let memory = attention.prepare(&source);
//! let output = attention.forward(Tensor::from_data([[[1.0, 0.0]]], &device), &memory);
//! let weights = output.weights.into_data().try_to_vec::<f32>().unwrap();
//! assert!(weights[0] > 0.99, "the query looks at the first state");
//! assert_eq!(weights[2], 0.0);
//! # Ok::<(), att_core::Error>(())
//! ```

mod attention;
mod scorer;

pub use attention::{Attention, AttentionConfig, AttentionMemory, AttentionOutput};
pub use scorer::{
    Additive, AdditiveConfig, AdditiveParts, Bilinear, BilinearConfig, Concat, ConcatConfig,
    Cosine, CosineConfig, Dot, DotConfig, General, GeneralConfig, Location, LocationConfig,
    ScaledDot, ScaledDotConfig, Scorer, ScorerConfig,
};
