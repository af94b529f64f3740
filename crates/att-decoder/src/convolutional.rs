use std::f64::consts::FRAC_1_SQRT_2;

use att_attention::{Attention, AttentionConfig, AttentionMemory, AttentionState};
use att_core::{EncoderOutput, Error, MemorySpec, Result, check};
use att_layers::{
    Dropout, Embedding, GatedConvolution, LearnedPositions, LearnedPositionsConfig, Linear,
    Windows, init,
};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::decoder::{
    Decoder, DecoderMemory, DecoderOutput, DecoderState, DecoderStep, after, read,
};
use crate::{OutputLayer, TokenHead, copy};

/// Configuration of a [`ConvolutionalDecoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvolutionalDecoderConfig {
    /// Size of a state; 256 unless told.
    pub d_hidden: usize,
    /// Number of blocks; 3 unless told.
    pub layers: usize,
    /// How many positions a convolution reads, its own the last; at least 2, and 3 unless told. A
    /// state of the top block has seen the last `layers * (width - 1) + 1` tokens.
    pub width: usize,
    /// A vector for each position.
    pub positions: LearnedPositionsConfig,
    /// How a block reads the memory.
    pub attention: AttentionConfig,
    /// Size of the layer before the output; 512 unless told.
    pub d_output: usize,
    /// Dropout on the input of each block and before the output; 0.1 unless told.
    pub dropout: f64,
    /// Whether it can copy tokens of the source, also such as the target vocabulary lacks; false unless
    /// told. See [`CopyGate`](crate::CopyGate).
    pub copy: bool,
}

impl Default for ConvolutionalDecoderConfig {
    fn default() -> Self {
        Self {
            d_hidden: 256,
            layers: 3,
            width: 3,
            positions: LearnedPositionsConfig::default(),
            attention: AttentionConfig::default(),
            d_output: 512,
            dropout: 0.1,
            copy: false,
        }
    }
}

impl ConvolutionalDecoderConfig {
    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit those of the encoder.
    pub fn validate(&self, d_embed: usize, tie_output: bool, spec: &MemorySpec) -> Result<()> {
        check::size("d_hidden", self.d_hidden)?;
        check::size("layers", self.layers)?;
        check::size("width", self.width)?;
        if self.width == 1 {
            let reason = "1 would show each step the token before it alone: use 2 or more";
            return Err(Error::config("width", reason));
        }
        self.positions
            .validate()
            .map_err(|error| error.within("positions"))?;
        self.attention
            .validate(d_embed, spec.d_memory)
            .map_err(|error| error.within("attention"))?;
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
    ) -> ConvolutionalDecoder {
        let (d_embed, d) = (embedding.d_embed(), self.d_hidden);
        let block = |_| ConvolutionalDecoderBlock {
            convolution: GatedConvolution::new(d, d, self.width, 1.0 - self.dropout, device),
            query: init::linear(d, d_embed, true, device),
            attention: self.attention.init(d_embed, spec.d_memory, device),
            context: init::linear(spec.d_memory, d, true, device),
        };
        ConvolutionalDecoder {
            positions: self.positions.init(d_embed, device),
            input: init::linear(d_embed, d, true, device),
            blocks: (0..self.layers).map(block).collect(),
            deep: init::linear(d, self.d_output, true, device),
            dropout: Dropout::new(self.dropout),
            output: OutputLayer::new(self.d_output, &embedding, tie_output, self.copy, device),
            embedding,
            width: self.width,
        }
    }
}

/// Convolutions over the target so far, each followed by attention (Gehring et al. 2017, sec. 3.2 to
/// 3.5):
///
/// ```text
/// g[t]   = y[t-1] + p[t]                                       p a learned vector of the position
/// x_0[t] = g[t] W + b
/// h[t]   = glu_l(x_(l-1)[t - k + 1 ..= t])                     zeros before the first position
/// c[t]   = attention_l(query = (h[t] W_q + b_q + g[t]) r, memory)       r = 1 / sqrt(2)
/// x_l[t] = (x_(l-1)[t] + (h[t] + c[t] W_c + b_c) r) r
/// o[t]   = W_o (x_L[t] W_d + b_d) + b_o
/// ```
///
/// Nothing recurs: all steps of a known target are computed at once. A cached step computes its own
/// position alone, of windows that are in the state. Each block's attention is of its own, with what
/// it remembers; the weights of a step, and a coverage loss, are the mean over the blocks.
///
/// What is averaged is the memory, where the paper adds the embedded source to it, and weights are
/// not normalised (Salimans and Kingma 2016).
#[derive(Module, Debug)]
pub struct ConvolutionalDecoder {
    /// The table of target tokens.
    pub embedding: Embedding,
    /// Added to the tokens' vectors.
    pub positions: LearnedPositions,
    /// From the embedding's size to that of the states.
    pub input: Linear,
    /// From the bottom.
    pub blocks: Vec<ConvolutionalDecoderBlock>,
    /// Before the output.
    pub deep: Linear,
    /// On the input of each block and before the output.
    pub dropout: Dropout,
    /// Over the target tokens.
    pub output: OutputLayer,
    /// How many positions a convolution reads.
    pub width: usize,
}

/// One block of a [`ConvolutionalDecoder`].
#[derive(Module, Debug)]
pub struct ConvolutionalDecoderBlock {
    /// Over the past.
    pub convolution: GatedConvolution,
    /// From its output to the embedding's size.
    pub query: Linear,
    /// Over the memory.
    pub attention: Attention,
    /// From the context to the size of the states.
    pub context: Linear,
}

/// What a block computes.
struct BlockOutput {
    /// `[rows, len, d_hidden]`
    states: Tensor<3>,
    /// `[rows, len, src_len]`
    weights: Tensor<3>,
    /// Of attention after one step.
    attention: Option<AttentionState>,
}

impl ConvolutionalDecoderBlock {
    /// All but the convolution, of `convolved`, `[rows, len, d_hidden]`.
    ///
    /// - `states`: of the block below, `[rows, len, d_hidden]`
    /// - `tokens`: g, `[rows, len, d_embed]`
    /// - `attention`: its state before one step; none for all steps
    fn attend(
        &self,
        convolved: Tensor<3>,
        states: Tensor<3>,
        tokens: Tensor<3>,
        memory: &AttentionMemory,
        attention: Option<AttentionState>,
    ) -> BlockOutput {
        let query = (self.query.forward(convolved.clone()) + tokens) * FRAC_1_SQRT_2;
        let read = read(&self.attention, query, memory, attention);
        let added = (convolved + self.context.forward(read.context)) * FRAC_1_SQRT_2;
        BlockOutput {
            states: (states + added) * FRAC_1_SQRT_2,
            weights: read.weights,
            attention: read.state,
        }
    }
}

impl ConvolutionalDecoder {
    /// g from a position on, each row's own or that of all, `[rows, len, d_embed]`.
    fn positioned(&self, tokens: Tensor<2, Int>, starts: &[usize]) -> Tensor<3> {
        let [_, len] = tokens.dims();
        self.head().embed(tokens) + self.positions.vectors(starts, len)
    }

    /// Of the top block's states.
    fn features(&self, states: Tensor<3>) -> Tensor<3> {
        self.dropout.forward(self.deep.forward(states))
    }
}

/// Over the blocks; none of nothing.
fn mean<const D: usize>(blocks: Vec<Tensor<D>>) -> Option<Tensor<D>> {
    let n = blocks.len() as f64;
    let sum = blocks.into_iter().reduce(|sum, block| sum + block);
    sum.map(|sum| sum / n)
}

impl Decoder for ConvolutionalDecoder {
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory {
        let blocks = self.blocks.iter();
        DecoderMemory {
            batch: source.memory.dims()[0],
            attention: blocks
                .map(|block| block.attention.prepare(source))
                .collect(),
            ..Default::default()
        }
    }

    fn initial_state(&self, source: &EncoderOutput) -> DecoderState {
        let [batch, _, _] = source.memory.dims();
        let [_, d_hidden] = self.input.weight.dims();
        let shape = [batch, self.width - 1, d_hidden];
        let blocks = self.blocks.iter();
        DecoderState {
            attention: blocks
                .map(|block| block.attention.initial_state(&source.src_pad_mask))
                .collect(),
            windows: vec![Tensor::zeros(shape, &source.memory.device()); self.blocks.len()],
            positions: vec![0; batch],
            ..Default::default()
        }
    }

    fn step(
        &self,
        tokens: Tensor<1, Int>,
        memory: &DecoderMemory,
        state: DecoderState,
    ) -> DecoderStep {
        let tokens = self.positioned(tokens.unsqueeze_dim(1), &state.starts());
        let mut states = self.input.forward(tokens.clone());
        let [rows, _, d_hidden] = states.dims();
        let (mut weights, mut windows, mut attentions) = (Vec::new(), Vec::new(), Vec::new());
        let blocks = self.blocks.iter().zip(&memory.attention);
        let before = state.windows.into_iter().zip(state.attention);
        for ((block, memory), (window, attention)) in blocks.zip(before) {
            let dropped = self.dropout.forward(states.clone());
            let window = Tensor::cat(vec![window, dropped], 1);
            windows.push(window.clone().narrow(1, 1, self.width - 1));
            let window = window.reshape([rows, self.width * d_hidden]);
            let convolved = block.convolution.read(window).unsqueeze_dim(1);
            let tokens = tokens.clone();
            let output = block.attend(convolved, states, tokens, memory, Some(attention));
            states = output.states;
            weights.push(output.weights);
            attentions.extend(output.attention);
        }
        let head_weights = weights.clone();
        let weights = mean(weights).expect("at least one block").squeeze_dim(1);
        DecoderStep {
            logits: self
                .head()
                .step(self.features(states), Some(&weights), memory),
            weights: Some(weights),
            head_weights,
            state: DecoderState {
                attention: attentions,
                windows,
                positions: after(state.positions),
                ..Default::default()
            },
        }
    }

    fn forward(
        &self,
        tgt: Tensor<2, Int>,
        _tgt_lengths: &[usize],
        source: &EncoderOutput,
    ) -> DecoderOutput {
        let [batch, tgt_len] = tgt.dims();
        let tokens = self.positioned(tgt, &[0]);
        // No position sees those behind it, so padding needs no care.
        let windows = Windows::causal(&vec![tgt_len; batch], self.width, &tokens.device());
        let mut states = self.input.forward(tokens.clone());
        let (mut weights, mut losses) = (Vec::new(), Vec::new());
        let memory = self.prepare(source);
        for (block, memory) in self.blocks.iter().zip(&memory.attention) {
            let dropped = self.dropout.forward(states.clone()).flatten(0, 1);
            let convolved = block.convolution.forward(dropped, &windows);
            let convolved = convolved.reshape(states.dims());
            let output = block.attend(convolved, states, tokens.clone(), memory, None);
            states = output.states;
            losses.extend(block.attention.auxiliary_loss(&output.weights));
            weights.push(output.weights);
        }
        let one_head = |weights: &Tensor<3>| weights.clone().unsqueeze_dim(1);
        DecoderOutput {
            features: self.features(states),
            head_weights: weights.iter().map(one_head).collect(),
            weights: mean(weights),
            auxiliary_loss: mean(losses),
        }
    }

    fn head(&self) -> TokenHead<'_> {
        TokenHead {
            embedding: &self.embedding,
            output: &self.output,
        }
    }
}
