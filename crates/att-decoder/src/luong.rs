use att_attention::{Attention, AttentionConfig, AttentionMemory, AttentionState, Scorer};
use att_core::ops::{LuongInputs, LuongScore, LuongStepInputs, linear, luong, luong_step, tanh};
use att_core::{EncoderOutput, MemorySpec, RecurrentState, Result, check, mask};
use att_layers::{Dropout, Embedding, Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::bridge::{Bridge, BridgeConfig};
use crate::combine::{Combine, CombineKind};
use crate::decoder::{
    Decoder, DecoderMemory, DecoderOutput, DecoderState, DecoderStep, Read, memory_of_one_step,
    read, validate_tables,
};
use crate::stack::StackInput;
use crate::{AttentionLayer, OutputLayer, RecurrentStack, RecurrentStackConfig, TokenHead, copy};

/// Configuration of a [`LuongDecoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LuongConfig {
    /// The recurrent layers.
    pub recurrent: RecurrentStackConfig,
    /// How a state of the decoder reads the memory.
    pub attention: AttentionConfig,
    /// Which layer's state does; the last one's unless told.
    pub attention_layer: AttentionLayer,
    /// Where the first state comes from.
    pub bridge: BridgeConfig,
    /// How the context joins the state.
    pub combine: CombineKind,
    /// Size of the attentional vector; 512 unless told.
    pub d_attentional: usize,
    /// Whether the previous attentional vector joins the next input (Luong et al. 2015,
    /// sec. 3.3); false unless told. Without it all steps of a known target attend at once.
    pub input_feeding: bool,
    /// Dropout on the attentional vector; 0.1 unless told.
    pub dropout: f64,
    /// Whether it can copy tokens of the source, also such as the target vocabulary lacks; false unless
    /// told. See [`CopyGate`](crate::CopyGate).
    pub copy: bool,
}

impl Default for LuongConfig {
    fn default() -> Self {
        Self {
            recurrent: RecurrentStackConfig::default(),
            attention: AttentionConfig::default(),
            attention_layer: AttentionLayer::default(),
            bridge: BridgeConfig::default(),
            combine: CombineKind::default(),
            d_attentional: 512,
            input_feeding: false,
            dropout: 0.1,
            copy: false,
        }
    }
}

impl LuongConfig {
    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit those of the encoder.
    pub fn validate(&self, d_embed: usize, tie_output: bool, spec: &MemorySpec) -> Result<()> {
        validate_tables(&self.recurrent, Some(&self.attention), self.bridge, spec)?;
        check::size("d_attentional", self.d_attentional)?;
        check::probability("dropout", self.dropout)?;
        copy::validate(self.copy, &self.attention)?;
        OutputLayer::validate("d_attentional", self.d_attentional, d_embed, tie_output)
    }

    /// A decoder with fresh weights; valid settings only.
    pub(crate) fn init(
        &self,
        embedding: Embedding,
        tie_output: bool,
        spec: &MemorySpec,
        device: &Device,
    ) -> LuongDecoder {
        let d_hidden = self.recurrent.d_hidden;
        let d_fed = if self.input_feeding {
            self.d_attentional
        } else {
            0
        };
        let d_combined = self.combine.d_output(d_hidden, spec.d_memory);
        let d_input = embedding.d_embed() + d_fed;
        let d_context = self.attention_layer.d_context(spec.d_memory);
        LuongDecoder {
            recurrent: self.recurrent.init_with_context(d_input, d_context, device),
            attention: self.attention.init(d_hidden, spec.d_memory, device),
            bridge: self.bridge.init(&self.recurrent, spec, device),
            combine: self.combine.init(d_hidden, spec.d_memory, device),
            attentional: init::linear(d_combined, self.d_attentional, true, device),
            dropout: Dropout::new(self.dropout).variational(self.recurrent.variational_dropout),
            output: OutputLayer::new(
                self.d_attentional,
                &embedding,
                tie_output,
                self.copy,
                device,
            ),
            embedding,
            input_feeding: self.input_feeding,
            attention_layer: self.attention_layer,
        }
    }
}

/// The decoder that attends after its recurrence (Luong et al. 2015, sec. 3).
///
/// ```text
/// s[t] = recurrent(y[t-1], s[t-1])              with input feeding: [y[t-1]; a[t-1]]
/// c[t] = attention(query = s[t], memory)
/// a[t] = tanh(W_a [s[t]; c[t]] + b_a)           the attentional vector (eq. 5); or s + W c
/// o[t] = W_o a[t] + b_o
/// ```
///
/// With `attention_layer = "first"` the bottom layer's state is the query, c joins the input of each
/// layer above, and a reads the top layer's state: the deep decoder of Wu et al. 2016 (sec. 3), but
/// with the context of the step itself rather than of the bottom layer's state before it. Without
/// input feeding all its steps attend at once.
///
/// A step that is taken alone reads the memory as W_a makes it, once a source:
/// `W sum_s a[s] m[s] = sum_s a[s] (W m[s])`.
#[derive(Module, Debug)]
pub struct LuongDecoder {
    /// The table of target tokens.
    pub embedding: Embedding,
    /// The recurrent layers.
    pub recurrent: RecurrentStack,
    /// Reads the memory with the new state.
    pub attention: Attention,
    /// Makes the first state.
    pub bridge: Bridge,
    /// Joins the context to the state.
    pub combine: Combine,
    /// Makes the attentional vector.
    pub attentional: Linear,
    /// On the attentional vector.
    pub dropout: Dropout,
    /// Over the target tokens.
    pub output: OutputLayer,
    /// Whether the attentional vector joins the next input.
    pub input_feeding: bool,
    /// Which layer's state reads the memory.
    #[module(skip)]
    pub attention_layer: AttentionLayer,
}

/// The recurrence of a [`LuongDecoder`] and what it read.
struct Attended {
    /// Of the top layer, `[rows, len, d_hidden]`.
    hidden: Tensor<3>,
    read: Read,
    /// For the next step.
    layers: Vec<RecurrentState>,
}

/// What one step of a [`LuongDecoder`] leaves.
struct Advanced {
    /// The features, `[rows, 1, d_attentional]`.
    attentional: Tensor<3>,
    /// `[rows, 1, src_len]`
    weights: Tensor<3>,
    state: DecoderState,
}

impl LuongDecoder {
    /// The attentional vector, before dropout.
    fn attentional(&self, hidden: Tensor<3>, context: Tensor<3>) -> Tensor<3> {
        let combined = self.combine.forward(hidden, context);
        tanh(self.attentional.forward(combined))
    }

    /// The same with the context as single steps read it.
    fn attentional_of_step(&self, hidden: Tensor<3>, context: Tensor<3>) -> Tensor<3> {
        if !self.reads_projected() {
            return self.attentional(hidden, context);
        }
        let [_, _, d_hidden] = hidden.dims();
        let bias = self.attentional.bias.as_ref().map(|bias| bias.val());
        tanh(linear(hidden, self.attentional.rows(0..d_hidden), bias) + context)
    }

    /// Whether single steps read what the memory gives in the product of the attentional vector,
    /// `[.., d_attentional]`. Not where a context enters anything else.
    fn reads_projected(&self) -> bool {
        self.combine.projection.is_none() && self.attention_layer == AttentionLayer::Last
    }

    /// The dropout on attentional vectors.
    fn drop(&self, attentional: Tensor<3>, masks: &[Option<Tensor<3>>]) -> Tensor<3> {
        match masks.last() {
            Some(Some(mask)) => attentional * mask.clone(),
            _ => self.dropout.forward(attentional),
        }
    }

    /// All steps of `input`, `[rows, len, d_input]`, of which `lengths` are real; or one, given the
    /// state of `attention` before it. `masks` are those of variational dropout between layers.
    fn attend(
        &self,
        input: Tensor<3>,
        memory: &AttentionMemory,
        lengths: &[usize],
        mut states: Vec<RecurrentState>,
        attention: Option<AttentionState>,
        masks: &[Option<Tensor<3>>],
    ) -> Attended {
        let stack = &self.recurrent;
        let read = |query| read(&self.attention, query, memory, attention);
        match self.attention_layer {
            AttentionLayer::Last => {
                let output = stack.forward(input, lengths, states, masks);
                Attended {
                    read: read(output.hidden.clone()),
                    hidden: output.hidden,
                    layers: output.states,
                }
            }
            AttentionLayer::First => {
                let upper = states.split_off(1);
                let n_layers = stack.layers.len();
                let reading = |input, context| StackInput {
                    input,
                    projected: None,
                    context,
                    lengths,
                    masks,
                };
                let first = stack.forward_layers(0..1, reading(input, None), states);
                let read = read(first.hidden.clone());
                let above = reading(first.hidden, Some(read.context.clone()));
                let top = stack.forward_layers(1..n_layers, above, upper);
                Attended {
                    hidden: top.hidden,
                    read,
                    layers: [first.states, top.states].concat(),
                }
            }
        }
    }

    /// The cached step, up to the output; `embedded` is `[rows, 1, d_embed]`.
    fn advance(
        &self,
        embedded: Tensor<3>,
        memory: &DecoderMemory,
        mut state: DecoderState,
    ) -> Advanced {
        if let Some(inputs) = self.one_step(&embedded, memory, &state) {
            let step = luong_step(inputs);
            return Advanced {
                state: state.after_one_step(
                    step.state,
                    self.input_feeding.then(|| step.attentional.clone()),
                ),
                attentional: step.attentional.unsqueeze_dim(1),
                weights: step.weights.unsqueeze_dim(1),
            };
        }
        let attention = state.take_attention();
        let input = match state.attentional {
            Some(fed) => Tensor::cat(vec![embedded, fed.unsqueeze_dim(1)], 2),
            None => embedded,
        };
        let lengths = vec![1; input.dims()[0]];
        let masks = state.masks;
        let attended = self.attend(
            input,
            &memory.attention[0],
            &lengths,
            state.layers,
            Some(attention),
            &masks,
        );
        let Read {
            context,
            weights,
            state: attention,
        } = attended.read;
        let attentional = self.attentional_of_step(attended.hidden, context);
        let attentional = self.drop(attentional, &masks);
        Advanced {
            state: DecoderState {
                masks,
                layers: attended.layers,
                attentional: self
                    .input_feeding
                    .then(|| attentional.clone().squeeze_dim(1)),
                attention: attention.into_iter().collect(),
                ..Default::default()
            },
            attentional,
            weights,
        }
    }

    /// A step in the form of [`luong_step`], where it has that form and is one operation: one layer, plain
    /// attention with a scorer that it knows, and a context that joins by concatenation.
    fn one_step(
        &self,
        embedded: &Tensor<3>,
        memory: &DecoderMemory,
        state: &DecoderState,
    ) -> Option<LuongStepInputs> {
        if !self.reads_projected() {
            return None;
        }
        let memory = memory_of_one_step(embedded, &self.attention, memory)?;
        let (layer, score) = (self.recurrent.only_layer()?, self.score_of_pass()?);
        let embedded = embedded.clone().squeeze_dim(1);
        Some(LuongStepInputs {
            input: match &state.attentional {
                Some(fed) => Tensor::cat(vec![embedded, fed.clone()], 1),
                None => embedded,
            },
            state: state.layers[0].clone(),
            keys: memory.keys.clone(),
            projected: memory.values.clone(),
            src_pad_mask: memory.src_pad_mask.clone(),
            score,
            input_weight: layer.input_weight,
            input_bias: layer.input_bias,
            recurrent_weight: layer.recurrent_weight,
            recurrent_bias: layer.recurrent_bias,
            attentional_weight: self.attentional.weight.val(),
            attentional_bias: self.attentional.bias.as_ref()?.val(),
        })
    }

    /// The scorer as [`luong`] and [`luong_step`] know it; none where they don't.
    fn score_of_pass(&self) -> Option<LuongScore> {
        let d_hidden = self.recurrent.layers[0].d_hidden();
        Some(match &self.attention.scorer {
            Scorer::Dot(_) | Scorer::General(_) => LuongScore::Dot { scale: 1.0 },
            Scorer::ScaledDot(dot) => LuongScore::Dot {
                scale: dot.scale(d_hidden),
            },
            scorer => {
                let additive = scorer.additive_parts()?;
                LuongScore::Additive {
                    query_weight: additive.query_weight,
                    query_bias: additive.query_bias,
                    v: additive.v,
                }
            }
        })
    }

    /// The recurrence with input feeding in the form of [`luong`], where it has that form: one
    /// layer, plain attention with a scorer that it knows, a context that joins by concatenation, and
    /// sources whose padding stands at their ends.
    fn whole_pass(
        &self,
        embedded: &Tensor<3>,
        source: &EncoderOutput,
        state: &DecoderState,
    ) -> Option<(LuongInputs, Vec<usize>)> {
        let ([first], None) = (&state.layers[..], &self.combine.projection) else {
            return None;
        };
        if !self.attention.is_plain() {
            return None;
        }
        let layer = self.recurrent.only_layer()?;
        let src_lengths = mask::try_lengths(source.src_pad_mask.clone())?;
        let [batch, tgt_len, _] = embedded.dims();
        let [_, d_attentional] = self.attentional.weight.dims();
        let memory = self.attention.prepare(source);
        let inputs = LuongInputs {
            embedded: embedded.clone(),
            hidden: first.hidden.clone(),
            cell: first.cell.clone(),
            keys: memory.keys,
            memory: memory.values,
            score: self.score_of_pass()?,
            input_weight: layer.input_weight,
            input_bias: layer.input_bias,
            recurrent_weight: layer.recurrent_weight,
            recurrent_bias: layer.recurrent_bias,
            attentional_weight: self.attentional.weight.val(),
            attentional_bias: self.attentional.bias.as_ref()?.val(),
            dropout: match state.masks.last() {
                Some(Some(mask)) => Some(mask.clone().expand([batch, tgt_len, d_attentional])),
                // In the order of the steps, as the cached step draws them.
                _ => self
                    .dropout
                    .factors([tgt_len, batch, d_attentional], &embedded.device())
                    .map(|factors| factors.swap_dims(0, 1)),
            },
        };
        Some((inputs, src_lengths))
    }

    /// The whole target by the cached step.
    fn step_by_step(
        &self,
        embedded: Tensor<3>,
        source: &EncoderOutput,
        mut state: DecoderState,
    ) -> DecoderOutput {
        let [_, tgt_len, _] = embedded.dims();
        let memory = self.prepare(source);
        let (mut features, mut weights) = (Vec::new(), Vec::new());
        for t in 0..tgt_len {
            let advanced = self.advance(embedded.clone().narrow(1, t, 1), &memory, state);
            state = advanced.state;
            features.push(advanced.attentional);
            weights.push(advanced.weights);
        }
        let (features, weights) = (Tensor::cat(features, 1), Tensor::cat(weights, 1));
        DecoderOutput::attended(features, weights, &self.attention)
    }
}

impl Decoder for LuongDecoder {
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory {
        let mut attention = self.attention.prepare(source);
        if self.reads_projected() {
            let ([d_combined, _], values) = (self.attentional.weight.dims(), attention.values);
            let [_, _, d_memory] = values.dims();
            let weight = self.attentional.rows(d_combined - d_memory..d_combined);
            attention.values = linear(values, weight, None);
        }
        DecoderMemory {
            batch: source.memory.dims()[0],
            attention: vec![attention],
            ..Default::default()
        }
    }

    fn initial_state(&self, source: &EncoderOutput) -> DecoderState {
        let [batch, _, _] = source.memory.dims();
        let [_, d_attentional] = self.attentional.weight.dims();
        let device = source.memory.device();
        // Those between layers, and that of the attentional vectors.
        let mut masks = self.recurrent.masks(batch, &device);
        masks.push(self.dropout.sequence_mask(batch, d_attentional, &device));
        DecoderState {
            masks,
            layers: self.bridge.forward(source, &self.recurrent.layers),
            attentional: self
                .input_feeding
                .then(|| Tensor::zeros([batch, d_attentional], &device)),
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
        let advanced = self.advance(embedded, memory, state);
        let weights = advanced.weights.squeeze_dim(1);
        DecoderStep {
            logits: self
                .head()
                .step(advanced.attentional, Some(&weights), memory),
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
        let state = self.initial_state(source);
        if !self.input_feeding {
            // Nothing recurs through attention: all steps attend at once.
            let memory = self.attention.prepare(source);
            let attended = self.attend(
                embedded,
                &memory,
                tgt_lengths,
                state.layers,
                None,
                &state.masks,
            );
            let Read {
                context, weights, ..
            } = attended.read;
            let attentional = self.attentional(attended.hidden, context);
            let features = self.drop(attentional, &state.masks);
            return DecoderOutput::attended(features, weights, &self.attention);
        }
        if let Some((inputs, src_lengths)) = self.whole_pass(&embedded, source, &state) {
            let states = luong(inputs, &src_lengths, tgt_lengths);
            return DecoderOutput::attended(states.attentional, states.weights, &self.attention);
        }
        self.step_by_step(embedded, source, state)
    }

    fn head(&self) -> TokenHead<'_> {
        TokenHead {
            embedding: &self.embedding,
            output: &self.output,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::random;
    use att_layers::EmbeddingConfig;
    use burn::tensor::TensorData;

    /// A whole pass over a source that has a hole goes step by step.
    #[test]
    fn a_mask_may_have_holes() {
        let device = Device::flex();
        random::seed(7);
        let spec = MemorySpec {
            d_memory: 6,
            n_final_states: 0,
            d_final: 0,
            final_cells: false,
        };
        let config = LuongConfig {
            recurrent: RecurrentStackConfig {
                d_hidden: 5,
                ..Default::default()
            },
            bridge: BridgeConfig::Zeros,
            input_feeding: true,
            ..Default::default()
        };
        let embedding = EmbeddingConfig::default().init(9, &device);
        let decoder = config.init(embedding, false, &spec, &device);
        let memory = TensorData::new(random::normal(2 * 3 * 6, 1.0), [2, 3, 6]);
        let source = EncoderOutput {
            memory: Tensor::from_data(memory, &device),
            src_pad_mask: Tensor::from_data([[false, true, false], [true, false, true]], &device),
            final_states: Vec::new(),
        };
        let tgt = Tensor::<2, Int>::from_data([[2, 4], [2, 5]], &device);
        let whole = decoder.forward(tgt.clone(), &[2, 2], &source);
        let memory = decoder.prepare(&source);
        let mut state = decoder.initial_state(&source);
        for t in 0..2 {
            let tokens = tgt.clone().narrow(1, t, 1).squeeze_dim(1);
            let step = decoder.step(tokens, &memory, state);
            let logits = decoder.logits(whole.at(&[t, 2 + t], None));
            assert!(step.logits.all_close(logits, Some(1e-5), Some(1e-5)));
            state = step.state;
        }
        let weights: Vec<f32> = whole
            .weights
            .expect("it attends")
            .into_data()
            .iter()
            .collect();
        assert_eq!((weights[1], weights[6], weights[7]), (0.0, 0.0, 1.0));
    }
}
