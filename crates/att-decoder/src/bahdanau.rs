use att_attention::{Attention, AttentionConfig};
use att_core::ops::{BahdanauInputs, CrossEntropy, bahdanau, tanh};
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
use crate::{OutputLayer, RecurrentStack, RecurrentStackConfig};

/// Configuration of a [`BahdanauDecoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BahdanauConfig {
    /// The recurrent layers.
    pub recurrent: RecurrentStackConfig,
    /// How a state of the decoder reads the memory.
    pub attention: AttentionConfig,
    /// Where the first state comes from.
    pub bridge: BridgeConfig,
    /// How the context joins the previous token's vector.
    pub combine: CombineKind,
    /// Size of the deep output; 512 unless told.
    pub d_output: usize,
    /// Dropout on the deep output; 0.1 unless told.
    pub dropout: f64,
}

impl Default for BahdanauConfig {
    fn default() -> Self {
        Self {
            recurrent: RecurrentStackConfig::default(),
            attention: AttentionConfig::default(),
            bridge: BridgeConfig::default(),
            combine: CombineKind::default(),
            d_output: 512,
            dropout: 0.1,
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
        let d_deep = d_hidden + spec.d_memory + d_embed;
        BahdanauDecoder {
            attention: self.attention.init(d_hidden, spec.d_memory, device),
            bridge: self.bridge.init(&self.recurrent, spec, device),
            combine: self.combine.init(d_embed, spec.d_memory, device),
            recurrent: self.recurrent.init(d_input, device),
            deep: init::linear(d_deep, self.d_output, true, device),
            dropout: Dropout::new(self.dropout),
            output: OutputLayer::new(self.d_output, embedding.vocab(), tie_output, device),
            embedding,
        }
    }
}

/// The decoder whose context enters the recurrence (Bahdanau et al. 2015, A.2.2).
///
/// ```text
/// c[t] = attention(query = s[t-1], memory)      s of the top layer
/// s[t] = recurrent([y[t-1]; c[t]], s[t-1])      or y + W c
/// o[t] = W_o tanh(W_d [s[t]; c[t]; y[t-1]] + b_d) + b_o
/// ```
///
/// The deep output is a tanh layer, where the paper has a maxout layer.
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
}

/// What one step leaves for the output.
struct Advanced {
    /// `[rows, d_hidden]`
    hidden: Tensor<2>,
    /// `[rows, d_memory]`
    context: Tensor<2>,
    /// `[rows, src_len]`
    weights: Tensor<2>,
    state: DecoderState,
}

impl BahdanauDecoder {
    /// The cached step, up to the output; `embedded` is `[rows, d_embed]`.
    fn advance(
        &self,
        embedded: Tensor<2>,
        memory: &DecoderMemory,
        state: DecoderState,
    ) -> Advanced {
        let top = state.layers.last().expect("at least one layer");
        let read = read(&self.attention, top.hidden.clone(), memory, state.attention);
        let input = self.combine.forward(embedded, read.context.clone());
        let (hidden, layers) = self.recurrent.step(input, state.layers);
        Advanced {
            hidden,
            context: read.context,
            weights: read.weights,
            state: DecoderState {
                layers,
                attentional: None,
                attention: Some(read.state),
            },
        }
    }

    /// The deep output over state, context and previous token.
    fn deep_output<const D: usize>(&self, parts: Vec<Tensor<D>>) -> Tensor<D> {
        let input = Tensor::cat(parts, D - 1);
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
        let ([state], None, Some(memory)) = (states, &self.combine.projection, &memory.attention)
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

    /// The whole target by the cached step.
    fn step_by_step(
        &self,
        embedded: Tensor<3>,
        memory: &DecoderMemory,
        mut state: DecoderState,
    ) -> DecoderOutput {
        let [_, tgt_len, _] = embedded.dims();
        let mut hidden = Vec::with_capacity(tgt_len);
        let mut contexts = Vec::with_capacity(tgt_len);
        let mut weights = Vec::with_capacity(tgt_len);
        for t in 0..tgt_len {
            let input = embedded.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
            let advanced = self.advance(input, memory, state);
            state = advanced.state;
            hidden.push(advanced.hidden);
            contexts.push(advanced.context);
            weights.push(advanced.weights);
        }
        let (hidden, contexts) = (Tensor::stack(hidden, 1), Tensor::stack(contexts, 1));
        let features = self.deep_output(vec![hidden, contexts, embedded]);
        DecoderOutput::attended(features, Tensor::stack(weights, 1), &self.attention)
    }
}

impl Decoder for BahdanauDecoder {
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory {
        DecoderMemory {
            batch: source.memory.dims()[0],
            attention: Some(self.attention.prepare(source)),
            summary: None,
        }
    }

    fn initial_state(&self, source: &EncoderOutput) -> DecoderState {
        DecoderState {
            layers: self.bridge.forward(source, &self.recurrent),
            attentional: None,
            attention: Some(self.attention.initial_state(&source.src_pad_mask)),
        }
    }

    fn step(
        &self,
        tokens: Tensor<1, Int>,
        memory: &DecoderMemory,
        state: DecoderState,
    ) -> DecoderStep {
        let embedded = self
            .embedding
            .forward(tokens.unsqueeze_dim(1))
            .squeeze_dim::<2>(1);
        let advanced = self.advance(embedded.clone(), memory, state);
        let features = self.deep_output(vec![advanced.hidden, advanced.context, embedded]);
        DecoderStep {
            logits: self.logits(features),
            weights: Some(advanced.weights),
            state: advanced.state,
        }
    }

    fn forward(
        &self,
        tgt: Tensor<2, Int>,
        tgt_lengths: &[usize],
        source: &EncoderOutput,
    ) -> DecoderOutput {
        let embedded = self.embedding.forward(tgt);
        let memory = self.prepare(source);
        let state = self.initial_state(source);
        if let Some(inputs) = self.whole_pass(&embedded, &memory, &state.layers) {
            let src_lengths = mask::lengths(source.src_pad_mask.clone());
            let states = bahdanau(inputs, &src_lengths, tgt_lengths);
            let features = self.deep_output(vec![states.hidden_and_context, embedded]);
            return DecoderOutput::attended(features, states.weights, &self.attention);
        }
        self.step_by_step(embedded, &memory, state)
    }

    fn logits(&self, features: Tensor<2>) -> Tensor<2> {
        self.output.forward(features, &self.embedding)
    }

    fn cross_entropy(&self, features: Tensor<2>, gold: &[u32], smoothing: f64) -> CrossEntropy {
        let embedding = &self.embedding;
        self.output
            .cross_entropy(features, embedding, gold, smoothing)
    }

    fn vocab(&self) -> usize {
        self.embedding.vocab()
    }
}
