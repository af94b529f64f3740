use att_attention::{Attention, AttentionConfig};
use att_core::ops::{BahdanauInputs, BahdanauStepInputs, bahdanau, bahdanau_step, linear, tanh};
use att_core::{EncoderOutput, MemorySpec, RecurrentState, Result, check, mask};
use att_layers::{Dropout, Embedding, Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::bridge::{Bridge, BridgeConfig};
use crate::combine::{Combine, CombineKind};
use crate::decoder::{
    Decoder, DecoderMemory, DecoderOutput, DecoderState, DecoderStep, memory_of_one_step, read,
    validate_tables,
};
use crate::stack::StackInput;
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
///
/// As c is a weighted sum, what its products give is the weighted sum of what they give for each state
/// of the memory: `W sum_s a[s] m[s] = sum_s a[s] (W m[s])`. The memory is multiplied once a source, so
/// that a step needs the weights that meet y and s alone.
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
        let mut read = read(
            &self.attention,
            query,
            &memory.attention[0],
            Some(attention),
        );
        let lengths = vec![1; embedded.dims()[0]];
        let masks = &state.masks;
        let input = if self.reads_projected() {
            let [_, d_output] = self.deep.weight.dims();
            let [_, _, width] = read.context.dims();
            let (context, gates) = (read.context, width - d_output);
            read.context = context.clone().narrow(2, gates, d_output);
            StackInput {
                input: embedded,
                projected: Some(context.narrow(2, 0, gates).squeeze_dim(1)),
                context: None,
                lengths: &lengths,
                masks,
            }
        } else {
            let for_upper_layers = self.attention_layer == AttentionLayer::First;
            StackInput {
                input: self.combine.forward(embedded, read.context.clone()),
                projected: None,
                context: for_upper_layers.then(|| read.context.clone()),
                lengths: &lengths,
                masks,
            }
        };
        let (stack, layers) = (&self.recurrent, 0..state.layers.len());
        let output = stack.forward_layers(layers, input, state.layers);
        Advanced::new(output.hidden, read, output.states, state.masks)
    }

    /// Whether steps read what the memory gives in the products that a context enters, side by side:
    /// of the first layer, `[.., gates * d_hidden]`, and of the deep output, `[.., d_output]`. Not where
    /// a context enters anything else.
    fn reads_projected(&self) -> bool {
        self.combine.projection.is_none()
            && self.attention_layer == AttentionLayer::Last
            && !self.recurrent.first_adds_its_input()
    }

    /// What steps read where [`reads_projected`](Self::reads_projected).
    fn project(&self, memory: Tensor<3>) -> Tensor<3> {
        let [_, _, d_memory] = memory.dims();
        let (layer, d_embed) = (&self.recurrent.layers[0], self.embedding.d_embed());
        let d_hidden = layer.d_hidden();
        let of_layer = layer.input_weight(d_embed..d_embed + d_memory);
        let of_deep = self.deep.rows(d_hidden..d_hidden + d_memory);
        let products = [of_layer, of_deep].map(|weight| linear(memory.clone(), weight, None));
        Tensor::cat(products.into(), 2)
    }

    /// The deep output over state, context and previous token, side by side.
    fn deep_output(&self, parts: Vec<Tensor<3>>) -> Tensor<3> {
        self.finish_deep(self.deep.forward(Tensor::cat(parts, 2)))
    }

    /// The same with the context as [steps](Self::advance) read it.
    fn deep_output_of_steps(
        &self,
        hidden: Tensor<3>,
        context: Tensor<3>,
        embedded: Tensor<3>,
    ) -> Tensor<3> {
        if !self.reads_projected() {
            return self.deep_output(vec![hidden, context, embedded]);
        }
        let ([d_deep, _], [_, _, d_embed]) = (self.deep.weight.dims(), embedded.dims());
        let [_, _, d_hidden] = hidden.dims();
        let bias = self.deep.bias.as_ref().map(|bias| bias.val());
        let of_hidden = linear(hidden, self.deep.rows(0..d_hidden), bias);
        let of_embedded = linear(embedded, self.deep.rows(d_deep - d_embed..d_deep), None);
        self.finish_deep(of_hidden + of_embedded + context)
    }

    fn finish_deep(&self, sums: Tensor<3>) -> Tensor<3> {
        self.dropout.forward(tanh(sums))
    }

    /// A step in the form of [`bahdanau_step`], where it has that form and is one operation: one layer,
    /// plain additive attention, and a context that joins by concatenation.
    fn one_step(
        &self,
        embedded: &Tensor<3>,
        memory: &DecoderMemory,
        state: &DecoderState,
    ) -> Option<BahdanauStepInputs> {
        if !self.reads_projected() {
            return None;
        }
        let memory = memory_of_one_step(embedded, &self.attention, memory)?;
        let scorer = self.attention.scorer.additive_parts()?;
        let layer = self.recurrent.only_layer()?;
        Some(BahdanauStepInputs {
            embedded: embedded.clone().squeeze_dim(1),
            state: state.layers[0].clone(),
            keys: memory.keys.clone(),
            projected: memory.values.clone(),
            src_pad_mask: memory.src_pad_mask.clone(),
            query_weight: scorer.query_weight,
            query_bias: scorer.query_bias,
            v: scorer.v,
            input_weight: layer.input_weight,
            input_bias: layer.input_bias,
            recurrent_weight: layer.recurrent_weight,
            recurrent_bias: layer.recurrent_bias,
            deep_weight: self.deep.weight.val(),
            deep_bias: self.deep.bias.as_ref()?.val(),
        })
    }

    /// The recurrence in the form of [`bahdanau`], where it has that form: one layer, plain additive
    /// attention, and a context that joins by concatenation.
    fn whole_pass(
        &self,
        embedded: &Tensor<3>,
        source: &EncoderOutput,
        states: &[RecurrentState],
    ) -> Option<BahdanauInputs> {
        let ([state], None) = (states, &self.combine.projection) else {
            return None;
        };
        if !self.attention.is_plain() {
            return None;
        }
        let scorer = self.attention.scorer.additive_parts()?;
        let layer = self.recurrent.only_layer()?;
        let memory = self.attention.prepare(source);
        Some(BahdanauInputs {
            embedded: embedded.clone(),
            hidden: state.hidden.clone(),
            cell: state.cell.clone(),
            keys: memory.keys,
            memory: memory.values,
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
        let mut attention = self.attention.prepare(source);
        if self.reads_projected() {
            attention.values = self.project(attention.values);
        }
        DecoderMemory {
            batch: source.memory.dims()[0],
            attention: vec![attention],
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
        let (features, weights, state) = match self.one_step(&embedded, memory, &state) {
            Some(inputs) => {
                let step = bahdanau_step(inputs);
                let state = state.after_one_step(step.state, None);
                (step.features.unsqueeze_dim(1), step.weights, state)
            }
            None => {
                let advanced = self.advance(embedded.clone(), memory, state);
                let (hidden, context) = (advanced.hidden, advanced.context);
                let features = self.deep_output_of_steps(hidden, context, embedded);
                (features, advanced.weights.squeeze_dim(1), advanced.state)
            }
        };
        DecoderStep {
            logits: self.head().step(features, Some(&weights), memory),
            weights: Some(weights),
            head_weights: Vec::new(),
            state,
        }
    }

    fn forward(
        &self,
        tgt: Tensor<2, Int>,
        tgt_lengths: &[usize],
        source: &EncoderOutput,
    ) -> DecoderOutput {
        let embedded = self.head().embed(tgt);
        let state = self.initial_state(source);
        if let Some(inputs) = self.whole_pass(&embedded, source, &state.layers) {
            let src_lengths = mask::lengths(source.src_pad_mask.clone());
            let states = bahdanau(inputs, &src_lengths, tgt_lengths);
            let features = self.deep_output(vec![states.hidden_and_context, embedded]);
            return DecoderOutput::attended(features, states.weights, &self.attention);
        }
        let memory = self.prepare(source);
        let whole = unroll(&embedded, state, |input, state| {
            self.advance(input, &memory, state)
        });
        let features = self.deep_output_of_steps(whole.hidden, whole.contexts, embedded);
        DecoderOutput::attended(features, whole.weights, &self.attention)
    }

    fn head(&self) -> TokenHead<'_> {
        TokenHead {
            embedding: &self.embedding,
            output: &self.output,
        }
    }
}
