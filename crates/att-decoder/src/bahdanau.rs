use att_attention::{Attention, AttentionConfig};
use att_core::ops::{BahdanauInputs, bahdanau, tanh};
use att_core::{EncoderOutput, MemorySpec, RecurrentState, Result, check, mask};
use att_layers::{Dropout, Embedding, Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::bridge::{Bridge, BridgeConfig};
use crate::combine::{Combine, CombineKind};
use crate::decoder::{
    Decoder, DecoderMemory, DecoderOutput, DecoderState, DecoderStep, read, validate_tables,
};
use crate::unroll::{Advanced, unroll};
use crate::{AttentionLayer, OutputLayer, RecurrentStack, RecurrentStackConfig, TokenHead, copy};

/// Configuration of a [`BahdanauDecoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BahdanauConfig {
    /// The recurrent layers.
    pub recurrent: RecurrentStackConfig,
    /// How a state of the decoder reads the memory.
    pub attention: AttentionConfig,
    /// Which layer's state does; the last one's unless told.
    pub attention_layer: AttentionLayer,
    /// Where the first state comes from.
    pub bridge: BridgeConfig,
    /// How the context joins the previous token's vector.
    pub combine: CombineKind,
    /// Size of the deep output; 512 unless told.
    pub d_output: usize,
    /// Dropout on the deep output; 0.1 unless told.
    pub dropout: f64,
    /// Whether it can copy tokens of the source, also such as the target vocabulary lacks; false unless
    /// told. See [`CopyGate`](crate::CopyGate).
    pub copy: bool,
}

impl Default for BahdanauConfig {
    fn default() -> Self {
        Self {
            recurrent: RecurrentStackConfig::default(),
            attention: AttentionConfig::default(),
            attention_layer: AttentionLayer::default(),
            bridge: BridgeConfig::default(),
            combine: CombineKind::default(),
            d_output: 512,
            dropout: 0.1,
            copy: false,
        }
    }
}

impl BahdanauConfig {
    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit those of the encoder.
    pub fn validate(&self, d_embed: usize, tie_output: bool, spec: &MemorySpec) -> Result<()> {
        validate_tables(&self.recurrent, Some(&self.attention), self.bridge, spec)?;
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
    ) -> BahdanauDecoder {
        let (d_embed, d_hidden) = (embedding.d_embed(), self.recurrent.d_hidden);
        let d_input = self.combine.d_output(d_embed, spec.d_memory);
        let d_context = self.attention_layer.d_context(spec.d_memory);
        let d_deep = d_hidden + spec.d_memory + d_embed;
        BahdanauDecoder {
            attention: self.attention.init(d_hidden, spec.d_memory, device),
            bridge: self.bridge.init(&self.recurrent, spec, device),
            combine: self.combine.init(d_embed, spec.d_memory, device),
            recurrent: self.recurrent.init_with_context(d_input, d_context, device),
            deep: init::linear(d_deep, self.d_output, true, device),
            dropout: Dropout::new(self.dropout).variational(self.recurrent.variational_dropout),
            output: OutputLayer::new(self.d_output, &embedding, tie_output, self.copy, device),
            embedding,
            attention_layer: self.attention_layer,
        }
    }
}

/// The decoder whose context enters the recurrence (Bahdanau et al. 2015, A.2.2).
///
/// ```text
/// c[t] = attention(query = s[t-1], memory)      s of the top layer, or of the bottom one
/// s[t] = recurrent([y[t-1]; c[t]], s[t-1])      or y + W c
/// o[t] = W_o tanh(W_d [s[t]; c[t]; y[t-1]] + b_d) + b_o
/// ```
///
/// The deep output is a tanh layer, where the paper has a maxout layer. With
/// `attention_layer = "first"` the bottom layer's state is the query, and c joins the input of each
/// layer, as in the deep decoder of Wu et al. 2016 (sec. 3); the deep output reads the top layer's
/// state.
#[derive(Module, Debug)]
pub struct BahdanauDecoder {
    /// The table of target tokens.
    pub embedding: Embedding,
    /// Reads the memory with the last state.
    pub attention: Attention,
    /// Makes the first state.
    pub bridge: Bridge,
    /// Joins the context to the previous token's vector.
    pub combine: Combine,
    /// The recurrent layers.
    pub recurrent: RecurrentStack,
    /// Before the output, over state, context and previous token.
    pub deep: Linear,
    /// On the deep output.
    pub dropout: Dropout,
    /// Over the target tokens.
    pub output: OutputLayer,
    /// Which layer's state reads the memory.
    #[module(skip)]
    pub attention_layer: AttentionLayer,
}

impl BahdanauDecoder {
    /// The cached step, up to the output; `embedded` is `[rows, 1, d_embed]`.
    fn advance(
        &self,
        embedded: Tensor<3>,
        memory: &DecoderMemory,
        mut state: DecoderState,
    ) -> Advanced {
        let attention = state.take_attention();
        let query = match self.attention_layer {
            AttentionLayer::First => state.layers.first(),
            AttentionLayer::Last => state.layers.last(),
        };
        let query = query.expect("at least one layer").hidden.clone();
        let query = query.unsqueeze_dim(1);
        let read = read(
            &self.attention,
            query,
            &memory.attention[0],
            Some(attention),
        );
        let for_upper_layers = match self.attention_layer {
            AttentionLayer::First => Some(read.context.clone()),
            AttentionLayer::Last => None,
        };
        let input = self.combine.forward(embedded, read.context.clone());
        let lengths = vec![1; input.dims()[0]];
        let (stack, layers) = (&self.recurrent, 0..state.layers.len());
        let output = stack.forward_layers(
            layers,
            input,
            for_upper_layers,
            &lengths,
            state.layers,
            &state.masks,
        );
        Advanced::new(output.hidden, read, output.states, state.masks)
    }

    /// The deep output over state, context and previous token.
    fn deep_output(&self, parts: Vec<Tensor<3>>) -> Tensor<3> {
        let input = Tensor::cat(parts, 2);
        self.dropout.forward(tanh(self.deep.forward(input)))
    }

    /// The recurrence in the form of [`bahdanau`], where it has that form: one layer, plain additive
    /// attention, and a context that joins by concatenation.
    fn whole_pass(
        &self,
        embedded: &Tensor<3>,
        memory: &DecoderMemory,
        states: &[RecurrentState],
    ) -> Option<BahdanauInputs> {
        let ([state], None, [memory]) = (states, &self.combine.projection, &memory.attention[..])
        else {
            return None;
        };
        if !self.attention.is_plain() {
            return None;
        }
        let scorer = self.attention.scorer.additive_parts()?;
        let layer = self.recurrent.only_layer()?;
        Some(BahdanauInputs {
            embedded: embedded.clone(),
            hidden: state.hidden.clone(),
            cell: state.cell.clone(),
            keys: memory.keys.clone(),
            memory: memory.values.clone(),
            query_weight: scorer.query_weight,
            query_bias: scorer.query_bias,
            v: scorer.v,
            input_weight: layer.input_weight,
            input_bias: layer.input_bias,
            recurrent_weight: layer.recurrent_weight,
            recurrent_bias: layer.recurrent_bias,
        })
    }
}

impl Decoder for BahdanauDecoder {
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory {
        DecoderMemory {
            batch: source.memory.dims()[0],
            attention: vec![self.attention.prepare(source)],
            ..Default::default()
        }
    }

    fn initial_state(&self, source: &EncoderOutput) -> DecoderState {
        let [batch, _, _] = source.memory.dims();
        DecoderState {
            layers: self.bridge.forward(source, &self.recurrent.layers),
            masks: self.recurrent.masks(batch, &source.memory.device()),
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
        tgt_lengths: &[usize],
        source: &EncoderOutput,
    ) -> DecoderOutput {
        let embedded = self.head().embed(tgt);
        let memory = self.prepare(source);
        let state = self.initial_state(source);
        if let Some(inputs) = self.whole_pass(&embedded, &memory, &state.layers) {
            let src_lengths = mask::lengths(source.src_pad_mask.clone());
            let states = bahdanau(inputs, &src_lengths, tgt_lengths);
            let features = self.deep_output(vec![states.hidden_and_context, embedded]);
            return DecoderOutput::attended(features, states.weights, &self.attention);
        }
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
