use std::slice;

use att_attention::{Attention, AttentionConfig};
use att_core::ops::{Direction, tanh};
use att_core::{EncoderOutput, MemorySpec, RecurrentState, Result, check};
use att_layers::{CellKind, Dropout, Embedding, Linear, Recurrent, init};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::bridge::{Bridge, BridgeConfig};
use crate::decoder::{
    Decoder, DecoderMemory, DecoderOutput, DecoderState, DecoderStep, read, validate_tables,
};
use crate::unroll::{Advanced, unroll};
use crate::{OutputLayer, RecurrentStackConfig, TokenHead, copy};

/// Configuration of a [`ConditionalGruDecoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConditionalGruConfig {
    /// Size of the hidden state; 512 unless told.
    pub d_hidden: usize,
    /// How a state of the decoder reads the memory.
    pub attention: AttentionConfig,
    /// Where the first state comes from; `"mean"` unless told.
    pub bridge: BridgeConfig,
    /// Size of the deep output; 512 unless told.
    pub d_output: usize,
    /// Dropout on the deep output; 0.1 unless told.
    pub dropout: f64,
    /// Whether all steps of a sequence have the same mask of dropout (Gal and Ghahramani 2016); false unless
    /// told.
    pub variational_dropout: bool,
    /// Whether it can copy tokens of the source, also such as the target vocabulary lacks; false unless
    /// told. See [`CopyGate`](crate::CopyGate).
    pub copy: bool,
}

impl Default for ConditionalGruConfig {
    fn default() -> Self {
        Self {
            d_hidden: 512,
            attention: AttentionConfig::default(),
            bridge: BridgeConfig::Mean,
            d_output: 512,
            dropout: 0.1,
            variational_dropout: false,
            copy: false,
        }
    }
}

impl ConditionalGruConfig {
    /// The first transition as a stack: what the bridge makes a state for.
    pub(crate) fn stack(&self) -> RecurrentStackConfig {
        RecurrentStackConfig {
            cell: CellKind::Gru,
            d_hidden: self.d_hidden,
            ..Default::default()
        }
    }

    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit those of the encoder.
    pub fn validate(&self, d_embed: usize, tie_output: bool, spec: &MemorySpec) -> Result<()> {
        check::size("d_hidden", self.d_hidden)?;
        validate_tables(&self.stack(), Some(&self.attention), self.bridge, spec)?;
        check::size("d_output", self.d_output)?;
        check::probability("dropout", self.dropout)?;
        copy::validate(self.copy, &self.attention)?;
        OutputLayer::validate("d_output", self.d_output, d_embed, tie_output)
    }

    /// A decoder with fresh weights; valid settings only.
    pub(crate) fn init(
        &self,
        embedding: Embedding,
        tie_output: bool,
        spec: &MemorySpec,
        device: &Device,
    ) -> ConditionalGruDecoder {
        let (d_embed, d_hidden) = (embedding.d_embed(), self.d_hidden);
        let d_deep = d_hidden + spec.d_memory + d_embed;
        ConditionalGruDecoder {
            bridge: self.bridge.init(&self.stack(), spec, device),
            first: CellKind::Gru.init(d_embed, d_hidden, device),
            attention: self.attention.init(d_hidden, spec.d_memory, device),
            second: CellKind::Gru.init(spec.d_memory, d_hidden, device),
            deep: init::linear(d_deep, self.d_output, true, device),
            dropout: Dropout::new(self.dropout).variational(self.variational_dropout),
            output: OutputLayer::new(self.d_output, &embedding, tie_output, self.copy, device),
            embedding,
        }
    }
}

/// The decoder of Nematus, whose step is two transitions with attention in between (Sennrich et al.
/// 2017, "Nematus: a Toolkit for Neural Machine Translation", sec. 2):
///
/// ```text
/// s'[t] = gru_1(y[t-1], s[t-1])
/// c[t]  = attention(query = s'[t], memory)
/// s[t]  = gru_2(c[t], s'[t])
/// o[t]  = W_o tanh(W_d [s[t]; c[t]; y[t-1]] + b_d) + b_o
/// ```
///
/// So the query knows the token before it, as in [`LuongDecoder`](crate::LuongDecoder), and the
/// context enters the recurrence, as in [`BahdanauDecoder`](crate::BahdanauDecoder).
#[derive(Module, Debug)]
pub struct ConditionalGruDecoder {
    /// The table of target tokens.
    pub embedding: Embedding,
    /// Makes the first state.
    pub bridge: Bridge,
    /// Reads the previous token.
    pub first: Recurrent,
    /// Reads the memory with the state in between.
    pub attention: Attention,
    /// Reads the context.
    pub second: Recurrent,
    /// Before the output, over state, context and previous token.
    pub deep: Linear,
    /// On the deep output.
    pub dropout: Dropout,
    /// Over the target tokens.
    pub output: OutputLayer,
}

impl ConditionalGruDecoder {
    /// The cached step, up to the output; `embedded` is `[rows, 1, d_embed]`.
    fn advance(
        &self,
        embedded: Tensor<3>,
        memory: &DecoderMemory,
        mut state: DecoderState,
    ) -> Advanced {
        let attention = state.take_attention();
        let lengths = vec![1; embedded.dims()[0]];
        let step = |gru: &Recurrent, input: Tensor<3>, state: RecurrentState| {
            gru.forward(input, &lengths, Direction::Forward, state)
        };
        let [layer] = <[RecurrentState; 1]>::try_from(state.layers).expect("one layer");
        let between = step(&self.first, embedded, layer);
        let (query, memory) = (between.hidden, &memory.attention[0]);
        let read = read(&self.attention, query, memory, Some(attention));
        let output = step(&self.second, read.context.clone(), between.last);
        Advanced::new(output.hidden, read, vec![output.last], Vec::new())
    }

    /// The deep output over state, context and previous token.
    fn deep_output(&self, parts: Vec<Tensor<3>>) -> Tensor<3> {
        let input = Tensor::cat(parts, 2);
        self.dropout.forward(tanh(self.deep.forward(input)))
    }
}

impl Decoder for ConditionalGruDecoder {
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory {
        DecoderMemory {
            batch: source.memory.dims()[0],
            attention: vec![self.attention.prepare(source)],
            ..Default::default()
        }
    }

    fn initial_state(&self, source: &EncoderOutput) -> DecoderState {
        DecoderState {
            layers: self.bridge.forward(source, slice::from_ref(&self.first)),
            attention: vec![self.attention.initial_state(&source.src_pad_mask)],
            ..Default::default()
        }
    }

    fn step(
        &self,
        tokens: Tensor<1, Int>,
        memory: &DecoderMemory,
        state: DecoderState,
    ) -> DecoderStep {
        let embedded = self.head().embed(tokens.unsqueeze_dim(1));
        let advanced = self.advance(embedded.clone(), memory, state);
        let features = self.deep_output(vec![advanced.hidden, advanced.context, embedded]);
        let weights = advanced.weights.squeeze_dim(1);
        DecoderStep {
            logits: self.head().step(features, Some(&weights), memory),
            weights: Some(weights),
            head_weights: Vec::new(),
            state: advanced.state,
        }
    }

    fn forward(
        &self,
        tgt: Tensor<2, Int>,
        _tgt_lengths: &[usize],
        source: &EncoderOutput,
    ) -> DecoderOutput {
        let embedded = self.head().embed(tgt);
        let memory = self.prepare(source);
        let state = self.initial_state(source);
        let whole = unroll(&embedded, state, |input, state| {
            self.advance(input, &memory, state)
        });
        let features = self.deep_output(vec![whole.hidden, whole.contexts, embedded]);
        DecoderOutput::attended(features, whole.weights, &self.attention)
    }

    fn head(&self) -> TokenHead<'_> {
        TokenHead {
            embedding: &self.embedding,
            output: &self.output,
        }
    }
}
