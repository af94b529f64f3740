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
//! A scorer returns raw scores; mask, normaliser and context are the same for all. What makes weights of
//! the scores is a choice of its own, and so are the states that a query sees, and what it knows of
//! earlier steps:
//!
//! | normaliser | weights | paper |
//! | --- | --- | --- |
//! | [`Softmax`] | exp(score / temperature), over their sum | Bahdanau et al. 2015, eq. 6 |
//! | [`Sparsemax`] | max(score - tau, 0) | Martins and Astudillo 2016 |
//! | [`Entmax15`] | max(score / 2 - tau, 0)^2 | Peters et al. 2019 |
//! | [`Monotonic`] | one state, from left to right | Raffel et al. 2017 |
//! | [`Mocha`] | a chunk, from left to right | Chiu and Raffel 2018 |
//!
//! | window | states | paper |
//! | --- | --- | --- |
//! | [`LocalM`] | around a centre that slides along | Luong et al. 2015, sec. 3.2 |
//! | [`LocalP`] | around a position that the query predicts | Luong et al. 2015, sec. 3.2 |
//! | [`Chunked`] | one chunk after the other | |
//!
//! | history | a score knows | paper |
//! | --- | --- | --- |
//! | [`Coverage`] | how much has been seen of the state | Tu et al. 2016; See et al. 2017 |
//! | [`LocationSensitive`] | where the last step looked | Chorowski et al. 2015 |
//!
//! With a window the keys and values that a query sees are gathered first, so that a step costs as much
//! as its window, and not as the source. A history and the monotonic kinds go step by step:
//! [`Attention::step`] takes and gives an [`AttentionState`].
//!
//! To see what weights matter, [`Intervention`]s read with others.
//!
//! The same with several heads, each a scaled dot product over its part of projected vectors:
//!
//! | module | queries, keys and values | paper |
//! | --- | --- | --- |
//! | [`MultiHeadAttention`] | of a decoder over an encoder's states | Vaswani et al. 2017, sec. 3.2.2 |
//! | [`SelfAttention`] | of a padded text over itself | the same, sec. 3.2.3 |
//! | [`CausalSelfAttention`] | of a text over its past, with a cache | the same |
//!
//! [`TransformerConfig`] has what the layers of a Transformer's encoder and decoder share.
//!
//! ```
//! use att_attention::{AttentionConfig, LocalMConfig, NormaliserConfig, ScorerConfig, WindowConfig};
//! use att_core::{DeviceSpec, EncoderOutput, mask::src_pad_mask};
//! use burn::tensor::Tensor;
//!
//! let device = "flex".parse::<DeviceSpec>()?.init()?;
//! let attention = AttentionConfig {
//!     scorer: ScorerConfig::Dot(Default::default()),
//!     ..Default::default()
//! }
//! .init(2, 2, &device);
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
//!
//! // Sparsemax leaves out what does not matter; a window moves along, from step to step.
//! let config = AttentionConfig {
//!     scorer: ScorerConfig::Dot(Default::default()),
//!     normaliser: NormaliserConfig::Sparsemax(Default::default()),
//!     window: WindowConfig::LocalM(LocalMConfig { radius: 1, ratio: 1.0 }),
//!     ..Default::default()
//! };
//! let attention = config.init(2, 2, &device);
//! let memory = attention.prepare(&source);
//! let state = attention.initial_state(&source.src_pad_mask);
//! let step = attention.step(Tensor::from_data([[[1.0, 0.0]]], &device), &memory, state);
//! let weights = step.output.weights.into_data().try_to_vec::<f32>().unwrap();
//! assert_eq!(weights, [1.0, 0.0, 0.0]);
//! assert_eq!(step.state.steps, [1]);
//! # Ok::<(), att_core::Error>(())
//! ```

mod attention;
mod history;
mod intervention;
mod multi_head;
mod normaliser;
mod scorer;
mod self_attention;
mod state;
mod transformer;
mod window;

pub use attention::{Attention, AttentionConfig, AttentionMemory, AttentionOutput, AttentionStep};
pub use history::{
    Coverage, CoverageConfig, History, HistoryConfig, LocationSensitive, LocationSensitiveConfig,
};
pub use intervention::Intervention;
pub use multi_head::{KeyValues, MultiHeadAttention, MultiHeadConfig, MultiHeadOutput};
pub use normaliser::{
    Entmax15, Entmax15Config, Mocha, MochaConfig, Monotonic, MonotonicConfig, Normaliser,
    NormaliserConfig, NormaliserInput, NormaliserOutput, Softmax, SoftmaxConfig, Sparsemax,
    SparsemaxConfig,
};
pub use scorer::{
    Additive, AdditiveConfig, AdditiveParts, Bilinear, BilinearConfig, Concat, ConcatConfig,
    Cosine, CosineConfig, Dot, DotConfig, General, GeneralConfig, Location, LocationConfig,
    ScaledDot, ScaledDotConfig, Scorer, ScorerConfig,
};
pub use self_attention::{CausalSelfAttention, CausalStep, SelfAttention};
pub use state::AttentionState;
pub use transformer::TransformerConfig;
pub use window::{
    Chunked, ChunkedConfig, LocalM, LocalMConfig, LocalP, LocalPConfig, Slots, Window,
    WindowConfig, WindowInput,
};
