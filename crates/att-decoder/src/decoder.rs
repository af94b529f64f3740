use att_attention::{
    Attention, AttentionConfig, AttentionMemory, AttentionState, Intervention, KeyValues,
};
use att_core::ops::{CrossEntropy, steps_are_one};
use att_core::{EncoderOutput, MemorySpec, RecurrentState, Result, rows};
use att_layers::Embedding;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    BahdanauConfig, BahdanauDecoder, BridgeConfig, ConditionalGruConfig, ConditionalGruDecoder,
    ConvolutionalDecoder, ConvolutionalDecoderConfig, Copies, CopyIds, Features, LuongConfig,
    LuongDecoder, OutputColumns, RecurrentStackConfig, SummaryConfig, SummaryDecoder, TokenHead,
    TransformerDecoder, TransformerDecoderConfig,
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
    /// - `tokens`: the previous token of each row (BOS at first), `[rows]`; one that was copied and the
    ///   vocabulary lacks is read as UNK
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

    /// Which target tokens there are, and what makes their scores.
    fn head(&self) -> TokenHead<'_>;

    /// Raw scores of the next token at `n` positions, `[n, vocab]`: [`TokenHead::logits`].
    ///
    /// Apart from [`forward`](Self::forward), so that training computes them for real positions
    /// alone.
    fn logits(&self, features: Features) -> Tensor<2> {
        self.head().logits(features)
    }

    /// The cross-entropy of the [`logits`](Self::logits) of `features` with the `n` tokens that stand
    /// there: [`TokenHead::cross_entropy`], without the logits ever being whole.
    ///
    /// # Panics
    ///
    /// If there is not one gold token a position or no position, or a gold token is not in the
    /// vocabulary.
    fn cross_entropy(&self, features: Features, gold: &[u32], smoothing: f64) -> CrossEntropy {
        self.head().cross_entropy(features, gold, smoothing)
    }

    /// Number of target tokens.
    fn vocab(&self) -> usize {
        self.head().vocab()
    }
}

/// What each step needs of the source.
#[derive(Clone, Debug, Default)]
pub struct DecoderMemory {
    /// Number of sources.
    pub batch: usize,
    /// Keys, values and mask: one of a recurrent decoder with attention, one a block of a
    /// convolutional one or a layer of a Transformer from the bottom, none without attention. Values are
    /// what the decoder's steps make of the states of the memory, before they are averaged.
    pub attention: Vec<AttentionMemory>,
    /// The source in one vector, `[batch, d_final]`; of a decoder without attention that reads it
    /// at each step.
    pub summary: Option<Tensor<2>>,
    /// What the tokens of the sources are called in the target vocabulary, of a decoder that copies. No
    /// decoder knows it by itself: [`Copying`](crate::Copying) adds it.
    pub copy_ids: Option<CopyIds>,
    /// The only tokens that steps have scores for; none where they have those of the whole vocabulary.
    pub columns: Option<OutputColumns>,
}

impl DecoderMemory {
    /// The same, but steps of `decoder` have scores for the tokens alone that a row's own source may have,
    /// `[rows, n]`: column `i` is token `i` of the source's list in [`OutputColumns::ids`], and those
    /// beyond it are minus infinity.
    ///
    /// - `allowed`: of each source, in any order
    ///
    /// # Panics
    ///
    /// If there is not one list a source, or the decoder copies.
    pub fn with_allowed(self, decoder: &impl Decoder, allowed: &[Vec<u32>]) -> Self {
        assert_eq!(allowed.len(), self.batch, "one list of tokens a source");
        Self {
            columns: Some(decoder.head().columns(allowed)),
            ..self
        }
    }

    /// The same, but steps read the sources with other weights than those that they compute: all blocks of a
    /// convolutional decoder, and all layers and heads of a Transformer. Different ones are set in
    /// [`attention`](Self::attention). Without attention it changes nothing.
    ///
    /// An intervention has a row for each row of a step, and whole passes ([`Decoder::forward`]) know of
    /// none:
    ///
    /// ```
    /// # use att_core::{DeviceSpec, EncoderOutput, host_vec, mask::src_pad_mask};
    /// # use att_decoder::{Decoder, DecoderConfig};
    /// # use att_encoder::{EncoderConfig, RecurrentEncoderConfig};
    /// # use att_layers::EmbeddingConfig;
    /// # use burn::tensor::Tensor;
    /// # let device = "flex".parse::<DeviceSpec>()?.init()?;
    /// # let encoder = EncoderConfig::default();
    /// # let embedding = EmbeddingConfig { d_embed: 8, ..Default::default() };
    /// # let decoder = DecoderConfig::default();
    /// # let decoder = decoder.init(embedding.init(20, &device), false, &encoder.memory_spec(), &device);
    /// # let source = encoder.init(8, &device).forward(Tensor::ones([1, 3, 8], &device), &[3]);
    /// use att_attention::Intervention;
    ///
    /// let (memory, state) = (decoder.prepare(&source), decoder.initial_state(&source));
    /// let bos = || Tensor::from_data([2], &device);
    /// // What if the first step had looked at the second token alone?
    /// let weights = Tensor::from_data([[[0.0, 1.0, 0.0]]], &device);
    /// let changed = memory.clone().with_intervention(Intervention::Given(weights));
    /// let what_if = decoder.step(bos(), &changed, state.clone());
    /// assert_eq!(host_vec(what_if.weights.unwrap()), [0.0, 1.0, 0.0]);
    /// let next = decoder.step(bos(), &memory, what_if.state); // goes on by itself
    /// # assert_eq!(next.logits.dims(), [1, 20]);
    /// # Ok::<(), att_core::Error>(())
    /// ```
    pub fn with_intervention(mut self, intervention: Intervention) -> Self {
        for memory in &mut self.attention {
            memory.intervention = Some(intervention.clone());
        }
        self
    }

    /// The sources named by `indices`, in that order.
    pub fn select(self, indices: &[usize], device: &Device) -> Self {
        let rows = rows::indices(indices, device);
        Self {
            batch: indices.len(),
            attention: self
                .attention
                .into_iter()
                .map(|memory| memory.select(rows.clone()))
                .collect(),
            summary: self.summary.map(|summary| summary.select(0, rows.clone())),
            copy_ids: self.copy_ids.map(|ids| ids.select(rows.clone())),
            columns: self.columns.map(|columns| columns.select(indices)),
        }
    }

    /// The sources of this, and those of `more` behind them, for the same decoder.
    ///
    /// - `src_len`: states of the longest source of both; those beyond are padding, and left out
    ///
    /// # Panics
    ///
    /// If they are not of this decoder, one has columns alone, or there is an intervention.
    pub fn join(self, more: Self, decoder: &impl Decoder, src_len: usize) -> Self {
        let joined = Self {
            batch: self.batch + more.batch,
            attention: pairs(self.attention, more.attention, |first, more| {
                first.join(more, src_len)
            }),
            summary: rows::join_some(self.summary, more.summary, rows::join),
            copy_ids: rows::join_some(self.copy_ids, more.copy_ids, |first, more| {
                first.join(more, src_len)
            }),
            columns: None,
        };
        let lists = |columns: OutputColumns| columns.ids().to_vec();
        let (first, more) = (self.columns.map(lists), more.columns.map(lists));
        // The columns are gathered anew, for the tokens of those sources that are still there.
        match rows::join_some(first, more, |first, more| [first, more].concat()) {
            Some(lists) => {
                let allowed: Vec<Vec<u32>> = lists.iter().map(|ids| ids.to_vec()).collect();
                joined.with_allowed(decoder, &allowed)
            }
            None => joined,
        }
    }
}

/// What a decoder carries from step to step; each kind has some of it.
#[derive(Clone, Debug, Default)]
pub struct DecoderState {
    /// Of each recurrent layer, from the bottom, `[rows, d_hidden]`.
    pub layers: Vec<RecurrentState>,
    /// The last attentional vector, `[rows, d_attentional]`; with input feeding.
    pub attentional: Option<Tensor<2>>,
    /// What attention remembers, one for each of [`DecoderMemory::attention`]; none of a Transformer,
    /// whose attention to the source remembers nothing.
    pub attention: Vec<AttentionState>,
    /// What the next window of each convolution begins with, from the bottom,
    /// `[rows, width - 1, d_hidden]`.
    pub windows: Vec<Tensor<3>>,
    /// Masks of dropout that all steps of a sequence share, `[rows, 1, d]` each; in training with variational
    /// dropout. What they belong to is the decoder's matter.
    pub masks: Vec<Option<Tensor<3>>>,
    /// How many steps there were, of each row; counted where positions have vectors, else empty.
    pub positions: Vec<usize>,
    /// Keys and values of the steps so far, of each layer of a Transformer from the bottom; empty
    /// before the first step. Those of a row are the last [`positions`](Self::positions), as many as it has.
    pub past: Vec<KeyValues>,
}

impl DecoderState {
    /// Takes what attention remembers, of a decoder with one attention.
    pub(crate) fn take_attention(&mut self) -> AttentionState {
        let state = self.attention.pop();
        state.expect("made by a decoder with attention")
    }

    /// That after a step that was one operation, of a decoder with one layer and plain attention.
    pub(crate) fn after_one_step(
        mut self,
        layer: RecurrentState,
        attentional: Option<Tensor<2>>,
    ) -> Self {
        let attention = &mut self.attention[0];
        attention.steps = after(std::mem::take(&mut attention.steps));
        Self {
            layers: vec![layer],
            attentional,
            ..self
        }
    }

    /// The rows named by `indices`, in that order: how a beam follows its hypotheses.
    pub fn select(self, indices: &[usize], device: &Device) -> Self {
        let rows = rows::indices(indices, device);
        let positions: Vec<usize> = match self.positions[..] {
            [] => Vec::new(),
            _ => indices.iter().map(|&row| self.positions[row]).collect(),
        };
        let longest = positions.iter().copied().max().unwrap_or(0);
        Self {
            layers: self
                .layers
                .into_iter()
                .map(|layer| layer.select(rows.clone()))
                .collect(),
            attentional: self
                .attentional
                .map(|vector| vector.select(0, rows.clone())),
            attention: self
                .attention
                .into_iter()
                .map(|state| state.select(indices))
                .collect(),
            windows: self
                .windows
                .into_iter()
                .map(|window| window.select(0, rows.clone()))
                .collect(),
            masks: self
                .masks
                .into_iter()
                .map(|mask| mask.map(|mask| mask.select(0, rows.clone())))
                .collect(),
            past: self
                .past
                .into_iter()
                .map(|layer| layer.select(rows.clone()).last(longest))
                .collect(),
            positions,
        }
    }

    /// The rows of this, and those of `more` behind them, whose steps may have been fewer or more.
    ///
    /// - `src_len`: as in [`DecoderMemory::join`]
    ///
    /// # Panics
    ///
    /// If they are not of one decoder.
    pub fn join(self, more: Self, src_len: usize) -> Self {
        // Before its first step a row has no past.
        let none = |like: &[KeyValues], rows| like.iter().map(|past| past.none_of(rows)).collect();
        let (mut past, mut more_past) = (self.past, more.past);
        if past.is_empty() {
            past = none(&more_past, self.positions.len());
        }
        if more_past.is_empty() {
            more_past = none(&past, more.positions.len());
        }
        let positions = [self.positions, more.positions].concat();
        let longest = positions.iter().copied().max().unwrap_or(0);
        Self {
            layers: pairs(self.layers, more.layers, RecurrentState::join),
            attentional: rows::join_some(self.attentional, more.attentional, rows::join),
            attention: pairs(self.attention, more.attention, |first, more| {
                first.join(more, src_len)
            }),
            windows: pairs(self.windows, more.windows, rows::join),
            masks: pairs(self.masks, more.masks, |first, more| {
                rows::join_some(first, more, rows::join)
            }),
            past: pairs(past, more_past, |first, more| first.join(more, longest)),
            positions,
        }
    }

    /// Where the next position of each row is, or of all rows where it is the same.
    pub(crate) fn starts(&self) -> Vec<usize> {
        let first = self.positions.first();
        let same = self
            .positions
            .iter()
            .all(|position| Some(position) == first);
        self.positions[..if same { 1 } else { self.positions.len() }].to_vec()
    }
}

/// What [`Decoder::step`] computes.
#[derive(Clone, Debug)]
pub struct DecoderStep {
    /// Raw scores of the next token, `[rows, vocab]`; of a decoder that copies
    /// `[rows, vocab + n_extra]`, and with a shortlist those of the memory's
    /// [columns](DecoderMemory::columns).
    pub logits: Tensor<2>,
    /// Attention weights, `[rows, src_len]`; none without attention. Of a Transformer those that its
    /// `alignment` names.
    pub weights: Option<Tensor<2>>,
    /// The weights of all heads, `[rows, n_heads, src_len]`, one for each layer of a Transformer from
    /// the bottom, or each block of a convolutional decoder, which has one head; empty of other kinds.
    pub head_weights: Vec<Tensor<3>>,
    /// For the next step.
    pub state: DecoderState,
}

/// What [`Decoder::forward`] computes.
#[derive(Clone, Debug)]
pub struct DecoderOutput {
    /// What the output layer reads, `[batch, tgt_len, d_features]`: see [`at`](Self::at).
    pub features: Tensor<3>,
    /// Attention weights, `[batch, tgt_len, src_len]`; none without attention. Of a Transformer those
    /// that its `alignment` names.
    pub weights: Option<Tensor<3>>,
    /// The weights of all heads, `[batch, n_heads, tgt_len, src_len]`, one for each layer of a
    /// Transformer from the bottom, or each block of a convolutional decoder, which has one head; empty of
    /// other kinds.
    pub head_weights: Vec<Tensor<4>>,
    /// What training adds to the loss of each position, times its weight, `[batch, tgt_len]`; none
    /// where nothing is added. Beyond the length of a target it has no meaning.
    pub auxiliary_loss: Option<Tensor<2>>,
}

impl DecoderOutput {
    /// What the scores at some positions are made of.
    ///
    /// - `positions`: `row * tgt_len + step` of each
    /// - `copy_ids`: what the tokens of the sources are called, of a decoder that copies
    ///
    /// # Panics
    ///
    /// If a decoder without attention is to copy.
    pub fn at(&self, positions: &[usize], copy_ids: Option<&CopyIds>) -> Features {
        let device = self.features.device();
        let [_, tgt_len, _] = self.features.dims();
        let chosen = rows::indices(positions, &device);
        let at = |tensor: &Tensor<3>| tensor.clone().flatten::<2>(0, 1).select(0, chosen.clone());
        let copies = copy_ids.map(|ids| {
            let rows: Vec<usize> = positions
                .iter()
                .map(|position| position / tgt_len)
                .collect();
            let weights = self.weights.as_ref();
            Copies {
                weights: at(weights.expect("what is copied is what is looked at")),
                ids: ids.clone().select(rows::indices(&rows, &device)),
            }
        });
        Features {
            vectors: at(&self.features),
            copies,
        }
    }

    /// Of a decoder with one attention.
    pub(crate) fn attended(features: Tensor<3>, weights: Tensor<3>, attention: &Attention) -> Self {
        Self {
            features,
            auxiliary_loss: attention.auxiliary_loss(&weights),
            weights: Some(weights),
            head_weights: Vec::new(),
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
    /// [`ConditionalGruDecoder`].
    ConditionalGru(ConditionalGruConfig),
    /// [`ConvolutionalDecoder`].
    Convolutional(ConvolutionalDecoderConfig),
    /// [`SummaryDecoder`].
    Summary(SummaryConfig),
    /// [`TransformerDecoder`].
    Transformer(TransformerDecoderConfig),
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
            Self::ConditionalGru(ConditionalGruConfig::default()),
            Self::Convolutional(ConvolutionalDecoderConfig::default()),
            Self::Summary(SummaryConfig::default()),
            Self::Transformer(TransformerDecoderConfig::default()),
        ]
    }

    /// Whether the decoder copies tokens of the source: see [`CopyGate`](crate::CopyGate).
    pub fn copies(&self) -> bool {
        match self {
            Self::Bahdanau(config) => config.copy,
            Self::Luong(config) => config.copy,
            Self::ConditionalGru(config) => config.copy,
            Self::Convolutional(config) => config.copy,
            Self::Transformer(config) => config.copy,
            Self::Summary(_) => false,
        }
    }

    /// The settings of its attention over the source, for those who vary them; none of a decoder whose
    /// attention is not an [`Attention`]: the summary has none, a Transformer several heads.
    pub fn attention_mut(&mut self) -> Option<&mut AttentionConfig> {
        match self {
            Self::Bahdanau(config) => Some(&mut config.attention),
            Self::Luong(config) => Some(&mut config.attention),
            Self::ConditionalGru(config) => Some(&mut config.attention),
            Self::Convolutional(config) => Some(&mut config.attention),
            Self::Summary(_) | Self::Transformer(_) => None,
        }
    }

    /// Whether the decoder attends to the source, so that its steps have weights.
    pub fn has_attention(&self) -> bool {
        !matches!(self, Self::Summary(_))
    }

    /// Whether it attends in several layers or heads, so that its steps have
    /// [`head_weights`](DecoderStep::head_weights).
    pub fn has_head_weights(&self) -> bool {
        matches!(self, Self::Transformer(_) | Self::Convolutional(_))
    }

    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit those of the encoder.
    pub fn validate(&self, d_embed: usize, tie_output: bool, spec: &MemorySpec) -> Result<()> {
        match self {
            Self::Bahdanau(config) => config.validate(d_embed, tie_output, spec),
            Self::Luong(config) => config.validate(d_embed, tie_output, spec),
            Self::ConditionalGru(config) => config.validate(d_embed, tie_output, spec),
            Self::Convolutional(config) => config.validate(d_embed, tie_output, spec),
            Self::Summary(config) => config.validate(d_embed, tie_output, spec),
            Self::Transformer(config) => config.validate(d_embed, tie_output),
        }
    }

    /// A lower bound on the number of weights: the greatest products alone.
    pub fn least_weights(&self) -> u64 {
        let of_stack = |stack: &RecurrentStackConfig| (stack.layers, stack.d_hidden, 3);
        let (layers, d_hidden, products) = match self {
            Self::Bahdanau(config) => of_stack(&config.recurrent),
            Self::Luong(config) => of_stack(&config.recurrent),
            Self::ConditionalGru(config) => of_stack(&config.stack()),
            Self::Convolutional(config) => (config.layers, config.d_hidden, 2 * config.width),
            Self::Summary(config) => of_stack(&config.recurrent),
            Self::Transformer(config) => return config.layers.least_weights(),
        };
        layers as u64 * products as u64 * (d_hidden as u64).pow(2)
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
            Self::ConditionalGru(config) => {
                AnyDecoder::ConditionalGru(config.init(embedding, tie_output, spec, device))
            }
            Self::Convolutional(config) => {
                AnyDecoder::Convolutional(config.init(embedding, tie_output, spec, device))
            }
            Self::Summary(config) => {
                AnyDecoder::Summary(config.init(embedding, tie_output, spec, device))
            }
            Self::Transformer(config) => {
                AnyDecoder::Transformer(config.init(embedding, tie_output, spec, device))
            }
        }
    }
}

/// Checks the tables that the configurations of all recurrent decoders have; the summary has no attention.
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
    /// Attends between the two halves of a recurrence.
    ConditionalGru(ConditionalGruDecoder),
    /// Convolutions over the past, each of which attends.
    Convolutional(ConvolutionalDecoder),
    /// No attention.
    Summary(SummaryDecoder),
    /// Attention of several heads, over the past and over the source.
    Transformer(TransformerDecoder),
}

/// Calls the same method on whichever decoder it is.
macro_rules! each {
    ($self:ident, $decoder:ident => $call:expr) => {
        match $self {
            AnyDecoder::Bahdanau($decoder) => $call,
            AnyDecoder::Luong($decoder) => $call,
            AnyDecoder::ConditionalGru($decoder) => $call,
            AnyDecoder::Convolutional($decoder) => $call,
            AnyDecoder::Summary($decoder) => $call,
            AnyDecoder::Transformer($decoder) => $call,
        }
    };
}

impl AnyDecoder {
    /// The table of target tokens.
    pub fn embedding(&self) -> &Embedding {
        self.head().embedding
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

    fn head(&self) -> TokenHead<'_> {
        each!(self, decoder => decoder.head())
    }
}

/// The memory of a decoder with one attention, where a step on it may be one operation of `att-core`: on CPU,
/// off the tape, with plain attention in whose weights nothing intervenes.
pub(crate) fn memory_of_one_step<'a>(
    embedded: &Tensor<3>,
    attention: &Attention,
    memory: &'a DecoderMemory,
) -> Option<&'a AttentionMemory> {
    let memory = memory.attention.first()?;
    let fits = steps_are_one(embedded) && attention.is_plain() && memory.intervention.is_none();
    fits.then_some(memory)
}

/// What [`read`] reads.
pub(crate) struct Read {
    /// `[rows, len, d_value]`
    pub context: Tensor<3>,
    /// `[rows, len, src_len]`
    pub weights: Tensor<3>,
    /// For the next step; of one step.
    pub state: Option<AttentionState>,
}

/// What queries of `[rows, len, d_query]` read, each row from its own source.
///
/// - `state`: of one step, `len == 1`, where the rows of a source are so many queries of one memory,
///   which is neither copied nor repeated; none for all steps, one row a source
pub(crate) fn read(
    attention: &Attention,
    query: Tensor<3>,
    memory: &AttentionMemory,
    state: Option<AttentionState>,
) -> Read {
    let Some(state) = state else {
        let output = attention.forward(query, memory);
        return Read {
            context: output.context,
            weights: output.weights,
            state: None,
        };
    };
    let [rows, _, d_query] = query.dims();
    let (batch, beam) = (memory.batch(), rows / memory.batch());
    let step = attention.step(query.reshape([batch, beam, d_query]), memory, state);
    let by_row = |tensor: Tensor<3>| tensor.flatten::<2>(0, 1).unsqueeze_dim(1);
    Read {
        context: by_row(step.output.context),
        weights: by_row(step.output.weights),
        state: Some(step.state),
    }
}

/// Each with its own.
fn pairs<T>(first: Vec<T>, more: Vec<T>, join: impl Fn(T, T) -> T) -> Vec<T> {
    let pairs = first.into_iter().zip(more);
    pairs.map(|(first, more)| join(first, more)).collect()
}

/// The positions after a step.
pub(crate) fn after(positions: Vec<usize>) -> Vec<usize> {
    positions.into_iter().map(|position| position + 1).collect()
}
