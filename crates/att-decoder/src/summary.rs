use att_core::ops;
use att_core::{EncoderOutput, Error, MemorySpec, Result, check};
use att_layers::{Dropout, Embedding, Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::bridge::{Bridge, BridgeConfig};
use crate::decoder::{
    Decoder, DecoderMemory, DecoderOutput, DecoderState, DecoderStep, validate_tables,
};
use crate::{OutputLayer, RecurrentStack, RecurrentStackConfig, TokenHead};

/// Configuration of a [`SummaryDecoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SummaryConfig {
    /// The recurrent layers.
    pub recurrent: RecurrentStackConfig,
    /// Where the first state comes from.
    pub bridge: BridgeConfig,
    /// Whether the summary joins the input of each step (Cho et al. 2014) rather than being the
    /// first state alone (Sutskever et al. 2014); true unless told.
    pub feed_summary: bool,
    /// Size of the layer before the output; 512 unless told.
    pub d_output: usize,
    /// Dropout before the output; 0.1 unless told.
    pub dropout: f64,
}

impl Default for SummaryConfig {
    fn default() -> Self {
        Self {
            recurrent: RecurrentStackConfig::default(),
            bridge: BridgeConfig::default(),
            feed_summary: true,
            d_output: 512,
            dropout: 0.1,
        }
    }
}

impl SummaryConfig {
    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit those of the encoder.
    pub fn validate(&self, d_embed: usize, tie_output: bool, spec: &MemorySpec) -> Result<()> {
        validate_tables(&self.recurrent, None, self.bridge, spec)?;
        if self.feed_summary && spec.n_final_states == 0 {
            let reason = "this encoder leaves no final state: use feed_summary = false";
            return Err(Error::config("feed_summary", reason));
        }
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
    ) -> SummaryDecoder {
        let d_summary = if self.feed_summary { spec.d_final } else { 0 };
        let d_input = embedding.d_embed() + d_summary;
        let d_deep = self.recurrent.d_hidden + d_input;
        SummaryDecoder {
            bridge: self.bridge.init(&self.recurrent, spec, device),
            recurrent: self.recurrent.init(d_input, device),
            deep: init::linear(d_deep, self.d_output, true, device),
            dropout: Dropout::new(self.dropout).variational(self.recurrent.variational_dropout),
            output: OutputLayer::new(self.d_output, &embedding, tie_output, false, device),
            embedding,
            feed_summary: self.feed_summary,
        }
    }
}

/// The decoder without attention: one vector of fixed size is all it knows of the source, the
/// baseline that long inputs break (Cho et al. 2014, eq. 4 and 5; Sutskever et al. 2014).
///
/// ```text
/// s[t] = recurrent([y[t-1]; c], s[t-1])         c the final state of the encoder's top layer
/// o[t] = W_o tanh(W_d [s[t]; y[t-1]; c] + b_d) + b_o
/// ```
///
/// With `feed_summary = false`, c is left out of both, and only the bridge carries the source.
#[derive(Module, Debug)]
pub struct SummaryDecoder {
    /// The table of target tokens.
    pub embedding: Embedding,
    /// Makes the first state.
    pub bridge: Bridge,
    /// The recurrent layers.
    pub recurrent: RecurrentStack,
    /// Before the output.
    pub deep: Linear,
    /// Before the output.
    pub dropout: Dropout,
    /// Over the target tokens.
    pub output: OutputLayer,
    /// Whether each step reads the summary.
    pub feed_summary: bool,
}

impl SummaryDecoder {
    /// `[y; c]` for each row and step: `embedded` is `[rows, len, d_embed]`.
    fn input(&self, embedded: Tensor<3>, summary: Option<Tensor<2>>) -> Tensor<3> {
        let Some(summary) = summary else {
            return embedded;
        };
        let [rows, len, _] = embedded.dims();
        let [batch, d_summary] = summary.dims();
        // The rows of a source stand side by side.
        let summary = summary
            .unsqueeze_dim::<3>(1)
            .expand([batch, rows / batch * len, d_summary])
            .reshape([rows, len, d_summary]);
        Tensor::cat(vec![embedded, summary], 2)
    }

    fn features(&self, hidden: Tensor<3>, input: Tensor<3>) -> Tensor<3> {
        let features = self.deep.forward(Tensor::cat(vec![hidden, input], 2));
        self.dropout.forward(ops::tanh(features))
    }
}

impl Decoder for SummaryDecoder {
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory {
        let top = source.final_states.last();
        DecoderMemory {
            batch: source.memory.dims()[0],
            summary: top
                .filter(|_| self.feed_summary)
                .map(|state| state.hidden.clone()),
            ..Default::default()
        }
    }

    fn initial_state(&self, source: &EncoderOutput) -> DecoderState {
        DecoderState {
            layers: self.bridge.forward(source, &self.recurrent.layers),
            ..Default::default()
        }
    }

    fn step(
        &self,
        tokens: Tensor<1, Int>,
        memory: &DecoderMemory,
        state: DecoderState,
    ) -> DecoderStep {
        let embedded = self.embedding.forward(tokens.unsqueeze_dim(1));
        let input = self.input(embedded, memory.summary.clone());
        let lengths = vec![1; input.dims()[0]];
        let stack = &self.recurrent;
        let output = stack.forward(input.clone(), &lengths, state.layers, &[]);
        let features = self.features(output.hidden, input);
        DecoderStep {
            logits: self.head().step(features, None, memory),
            weights: None,
            head_weights: Vec::new(),
            state: DecoderState {
                layers: output.states,
                ..Default::default()
            },
        }
    }

    fn forward(
        &self,
        tgt: Tensor<2, Int>,
        tgt_lengths: &[usize],
        source: &EncoderOutput,
    ) -> DecoderOutput {
        let input = self.input(self.embedding.forward(tgt), self.prepare(source).summary);
        let states = self.initial_state(source).layers;
        let stack = &self.recurrent;
        let output = stack.forward(input.clone(), tgt_lengths, states, &[]);
        DecoderOutput {
            features: self.features(output.hidden, input),
            weights: None,
            head_weights: Vec::new(),
            auxiliary_loss: None,
        }
    }

    fn head(&self) -> TokenHead<'_> {
        TokenHead {
            embedding: &self.embedding,
            output: &self.output,
        }
    }
}
