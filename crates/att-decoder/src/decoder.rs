use att_attention::{Attention, AttentionConfig, AttentionMemory, AttentionState};
use att_core::ops::{self, CrossEntropy};
use att_core::{EncoderOutput, MemorySpec, RecurrentState, Result};
use att_layers::Embedding;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    BahdanauConfig, BahdanauDecoder, BridgeConfig, LuongConfig, LuongDecoder, RecurrentStackConfig,
    SummaryConfig, SummaryDecoder,
};

/// Predicts the next target token from those before it and the source.
///
/// `rows` below is `batch * beam`: each source has the same number of rows, side by side.
pub trait Decoder {
    /// What each step needs of the source: computed once, shared by the rows of a beam.
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory;

    /// Where decoding starts, one row a source.
    fn initial_state(&self, source: &EncoderOutput) -> DecoderState;

    /// One step.
    ///
    /// - `tokens`: the previous token of each row (BOS at first), `[rows]`
    /// - `memory`: of `batch` sources; `rows` is a multiple of `batch`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    fn step(
        &self,
        tokens: Tensor<1, Int>,
        memory: &DecoderMemory,
        state: DecoderState,
    ) -> DecoderStep;

    /// The whole target at once, each step given the gold tokens before it (teacher forcing).
    /// Step `t` sees `tgt[.., ..=t]` only.
    ///
    /// - `tgt`: the target as the decoder reads it, from BOS, `[batch, tgt_len]`
    /// - `tgt_lengths`: how many tokens of each row are real, each at least 1; what comes out
    ///   beyond them has no meaning
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    fn forward(
        &self,
        tgt: Tensor<2, Int>,
        tgt_lengths: &[usize],
        source: &EncoderOutput,
    ) -> DecoderOutput;

    /// Raw scores of the next token: `features` of `[n, d_features]` to `[n, vocab]`.
    ///
    /// Apart from [`forward`](Self::forward), so that training computes them for real positions
    /// alone.
    fn logits(&self, features: Tensor<2>) -> Tensor<2>;

    /// The cross-entropy of the [`logits`](Self::logits) of `features`, `[n, d_features]`, with the
    /// `n` tokens that stand there; see [`ops::linear_cross_entropy()`]. The decoders of this crate
    /// compute it without the logits ever being whole.
    ///
    /// # Panics
    ///
    /// If there is not one gold token a row or no row, or a gold token is not in the vocabulary.
    fn cross_entropy(&self, features: Tensor<2>, gold: &[u32], smoothing: f64) -> CrossEntropy {
        ops::cross_entropy(self.logits(features), gold, smoothing)
    }

    /// Number of target tokens.
    fn vocab(&self) -> usize;
}

/// What each step needs of the source.
#[derive(Clone, Debug)]
pub struct DecoderMemory {
    /// Number of sources.
    pub batch: usize,
    /// Keys, values and mask; of a decoder with attention.
    pub attention: Option<AttentionMemory>,
    /// The source in one vector, `[batch, d_final]`; of a decoder without attention that reads it
    /// at each step.
    pub summary: Option<Tensor<2>>,
}

impl DecoderMemory {
    /// The sources named by `indices`, in that order.
    pub fn select(self, indices: &[usize], device: &Device) -> Self {
        let rows = index_tensor(indices, device);
        Self {
            batch: indices.len(),
            attention: self.attention.map(|memory| memory.select(rows.clone())),
            summary: self.summary.map(|summary| summary.select(0, rows)),
        }
    }
}

/// What a decoder carries from step to step.
#[derive(Clone, Debug)]
pub struct DecoderState {
    /// Of each recurrent layer, from the bottom, `[rows, d_hidden]`.
    pub layers: Vec<RecurrentState>,
    /// The last attentional vector, `[rows, d_attentional]`; with input feeding.
    pub attentional: Option<Tensor<2>>,
    /// What attention remembers; of a decoder with attention.
    pub attention: Option<AttentionState>,
}

impl DecoderState {
    /// The rows named by `indices`, in that order: how a beam follows its hypotheses.
    pub fn select(self, indices: &[usize], device: &Device) -> Self {
        let rows = index_tensor(indices, device);
        Self {
            layers: self
                .layers
                .into_iter()
                .map(|layer| layer.select(rows.clone()))
                .collect(),
            attentional: self
                .attentional
                .map(|vector| vector.select(0, rows.clone())),
            attention: self.attention.map(|state| state.select(rows)),
        }
    }
}

/// What [`Decoder::step`] computes.
#[derive(Clone, Debug)]
pub struct DecoderStep {
    /// Raw scores of the next token, `[rows, vocab]`.
    pub logits: Tensor<2>,
    /// Attention weights, `[rows, src_len]`; none without attention.
    pub weights: Option<Tensor<2>>,
    /// For the next step.
    pub state: DecoderState,
}

/// What [`Decoder::forward`] computes.
#[derive(Clone, Debug)]
pub struct DecoderOutput {
    /// What [`Decoder::logits`] reads, `[batch, tgt_len, d_features]`.
    pub features: Tensor<3>,
    /// Attention weights, `[batch, tgt_len, src_len]`; none without attention.
    pub weights: Option<Tensor<3>>,
    /// What training adds to the loss of each position, times its weight, `[batch, tgt_len]`; none
    /// where nothing is added. Beyond the length of a target it has no meaning.
    pub auxiliary_loss: Option<Tensor<2>>,
}

impl DecoderOutput {
    /// Of a decoder with attention.
    pub(crate) fn attended(features: Tensor<3>, weights: Tensor<3>, attention: &Attention) -> Self {
        Self {
            features,
            auxiliary_loss: attention.auxiliary_loss(&weights),
            weights: Some(weights),
        }
    }
}

/// Which decoder, and its settings; in TOML `kind = "luong"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DecoderConfig {
    /// [`BahdanauDecoder`].
    Bahdanau(BahdanauConfig),
    /// [`LuongDecoder`].
    Luong(LuongConfig),
    /// [`SummaryDecoder`].
    Summary(SummaryConfig),
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self::Luong(LuongConfig::default())
    }
}

impl DecoderConfig {
    /// One of each kind with its default settings.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Bahdanau(BahdanauConfig::default()),
            Self::Luong(LuongConfig::default()),
            Self::Summary(SummaryConfig::default()),
        ]
    }

    /// Whether the decoder attends to the source, so that its steps have weights.
    pub fn has_attention(&self) -> bool {
        match self {
            Self::Bahdanau(_) | Self::Luong(_) => true,
            Self::Summary(_) => false,
        }
    }

    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit those of the encoder.
    pub fn validate(&self, d_embed: usize, tie_output: bool, spec: &MemorySpec) -> Result<()> {
        match self {
            Self::Bahdanau(config) => config.validate(d_embed, tie_output, spec),
            Self::Luong(config) => config.validate(d_embed, tie_output, spec),
            Self::Summary(config) => config.validate(d_embed, tie_output, spec),
        }
    }

    /// A lower bound on the number of weights: the recurrent products alone.
    pub fn least_weights(&self) -> u64 {
        let stack = match self {
            Self::Bahdanau(config) => &config.recurrent,
            Self::Luong(config) => &config.recurrent,
            Self::Summary(config) => &config.recurrent,
        };
        stack.layers as u64 * 3 * (stack.d_hidden as u64).pow(2)
    }

    /// A decoder with fresh weights, over the tokens of `embedding`.
    ///
    /// `tie_output`: whether the output layer is the embedding's table (Press and Wolf 2017).
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) would have refused.
    pub fn init(
        &self,
        embedding: Embedding,
        tie_output: bool,
        spec: &MemorySpec,
        device: &Device,
    ) -> AnyDecoder {
        if let Err(error) = self.validate(embedding.d_embed(), tie_output, spec) {
            panic!("{error}");
        }
        match self {
            Self::Bahdanau(config) => {
                AnyDecoder::Bahdanau(config.init(embedding, tie_output, spec, device))
            }
            Self::Luong(config) => {
                AnyDecoder::Luong(config.init(embedding, tie_output, spec, device))
            }
            Self::Summary(config) => {
                AnyDecoder::Summary(config.init(embedding, tie_output, spec, device))
            }
        }
    }
}

/// Checks the tables that the configurations of all decoders have; the summary has no attention.
pub(crate) fn validate_tables(
    recurrent: &RecurrentStackConfig,
    attention: Option<&AttentionConfig>,
    bridge: BridgeConfig,
    spec: &MemorySpec,
) -> Result<()> {
    recurrent
        .validate()
        .map_err(|error| error.within("recurrent"))?;
    if let Some(attention) = attention {
        attention
            .validate(recurrent.d_hidden, spec.d_memory)
            .map_err(|error| error.within("attention"))?;
    }
    bridge.validate(recurrent, spec)
}

/// A decoder of any kind.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a model holds one
pub enum AnyDecoder {
    /// The context enters the recurrence.
    Bahdanau(BahdanauDecoder),
    /// Attends after the recurrence.
    Luong(LuongDecoder),
    /// No attention.
    Summary(SummaryDecoder),
}

/// Calls the same method on whichever decoder it is.
macro_rules! each {
    ($self:ident, $decoder:ident => $call:expr) => {
        match $self {
            AnyDecoder::Bahdanau($decoder) => $call,
            AnyDecoder::Luong($decoder) => $call,
            AnyDecoder::Summary($decoder) => $call,
        }
    };
}

impl AnyDecoder {
    /// The table of target tokens.
    pub fn embedding(&self) -> &Embedding {
        each!(self, decoder => &decoder.embedding)
    }
}

impl Decoder for AnyDecoder {
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory {
        each!(self, decoder => decoder.prepare(source))
    }

    fn initial_state(&self, source: &EncoderOutput) -> DecoderState {
        each!(self, decoder => decoder.initial_state(source))
    }

    fn step(
        &self,
        tokens: Tensor<1, Int>,
        memory: &DecoderMemory,
        state: DecoderState,
    ) -> DecoderStep {
        each!(self, decoder => decoder.step(tokens, memory, state))
    }

    fn forward(
        &self,
        tgt: Tensor<2, Int>,
        tgt_lengths: &[usize],
        source: &EncoderOutput,
    ) -> DecoderOutput {
        each!(self, decoder => decoder.forward(tgt, tgt_lengths, source))
    }

    fn logits(&self, features: Tensor<2>) -> Tensor<2> {
        each!(self, decoder => decoder.logits(features))
    }

    fn cross_entropy(&self, features: Tensor<2>, gold: &[u32], smoothing: f64) -> CrossEntropy {
        each!(self, decoder => decoder.cross_entropy(features, gold, smoothing))
    }

    fn vocab(&self) -> usize {
        self.embedding().vocab()
    }
}

/// What each row of `[rows, d_query]` reads from its own source.
pub(crate) struct Read {
    /// `[rows, d_memory]`
    pub context: Tensor<2>,
    /// `[rows, src_len]`
    pub weights: Tensor<2>,
    /// For the next step.
    pub state: AttentionState,
}

/// Attention of one step: the rows of a source are so many queries of one memory, which is
/// neither copied nor repeated.
pub(crate) fn read(
    attention: &Attention,
    query: Tensor<2>,
    memory: &DecoderMemory,
    state: Option<AttentionState>,
) -> Read {
    let [rows, d_query] = query.dims();
    let beam = rows / memory.batch;
    let (Some(memory), Some(state)) = (&memory.attention, state) else {
        panic!("memory and state come from a decoder with attention");
    };
    let query = query.reshape([memory.batch(), beam, d_query]);
    let step = attention.step(query, memory, state);
    Read {
        context: step.output.context.flatten(0, 1),
        weights: step.output.weights.flatten(0, 1),
        state: step.state,
    }
}

fn index_tensor(indices: &[usize], device: &Device) -> Tensor<1, Int> {
    let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    Tensor::from_data(indices.as_slice(), device)
}
