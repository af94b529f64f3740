use att_attention::{
    AttentionMemory, CausalSelfAttention, KeyValues, MultiHeadAttention, TransformerConfig,
};
use att_core::{EncoderOutput, Error, MemorySpec, Result};
use att_layers::{Embedding, FeedForward, LayerNorm, Residual, TransformerInput};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::decoder::{Decoder, DecoderMemory, DecoderOutput, DecoderState, DecoderStep, after};
use crate::{OutputLayer, TokenHead};

/// Configuration of a [`TransformerDecoder`]: the keys of [`TransformerConfig`], and `alignment`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerDecoderConfig {
    /// The layers. In TOML these keys stand beside `alignment`.
    #[serde(flatten)]
    pub layers: TransformerConfig,
    /// Which weights stand for the attention of a step.
    pub alignment: AlignmentConfig,
    /// Whether it can copy tokens of the source, also such as the target vocabulary lacks; false unless
    /// told. See [`CopyGate`](crate::CopyGate).
    pub copy: bool,
}

/// Which of a [`TransformerDecoder`]'s weights over the source are a step's one row of weights, for
/// search and pictures; in TOML `alignment = { layer = 2, head = 0 }`. Both count from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignmentConfig {
    /// From the bottom; the top layer unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// The mean over all heads unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<usize>,
}

impl AlignmentConfig {
    fn validate(self, layers: &TransformerConfig) -> Result<()> {
        let fits = |key: &str, index: Option<usize>, n: usize| match index {
            Some(index) if index >= n => {
                let reason = format!("{index} is not one of {n}, counted from 0");
                Err(Error::config(key, reason))
            }
            _ => Ok(()),
        };
        fits("layer", self.layer, layers.layers)?;
        fits("head", self.head, layers.n_heads)
    }

    /// One matrix of weights, `[batch, n, src_len]`, of those of all layers, each
    /// `[batch, n_heads, n, src_len]`.
    fn choose(self, layers: &[Tensor<4>]) -> Tensor<3> {
        let weights = layers[self.layer.unwrap_or(layers.len() - 1)].clone();
        match self.head {
            Some(head) => weights.narrow(1, head, 1),
            None => weights.mean_dim(1),
        }
        .squeeze_dim(1)
    }
}

impl TransformerDecoderConfig {
    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit. Every encoder does: the memory is projected.
    pub fn validate(&self, d_embed: usize, tie_output: bool) -> Result<()> {
        self.layers.validate()?;
        self.alignment
            .validate(&self.layers)
            .map_err(|error| error.within("alignment"))?;
        OutputLayer::validate("d_model", self.layers.d_model, d_embed, tie_output)
    }

    /// A decoder with fresh weights; valid settings only.
    pub(crate) fn init(
        &self,
        embedding: Embedding,
        tie_output: bool,
        spec: &MemorySpec,
        device: &Device,
    ) -> TransformerDecoder {
        let config = &self.layers;
        let layer = |_| TransformerDecoderLayer {
            self_attention: config.causal_self_attention(device),
            self_residual: config.residual(device),
            cross_attention: config.cross_attention(spec.d_memory, device),
            cross_residual: config.residual(device),
            feed_forward: config.feed_forward(device),
            feed_forward_residual: config.residual(device),
        };
        TransformerDecoder {
            input: config.input(embedding.d_embed(), device),
            layers: (0..config.layers).map(layer).collect(),
            norm: config.final_norm(device),
            output: OutputLayer::new(config.d_model, &embedding, tie_output, self.copy, device),
            embedding,
            alignment: self.alignment,
        }
    }
}

/// Self-attention over the past, attention over the memory, and feed-forward networks (Vaswani et
/// al. 2017, sec. 3.1):
///
/// ```text
/// x = tokens' vectors with their positions          see TransformerInput
/// for each layer:    x = x + causal_self_attention(norm(x))
///                    x = x + attention(query = norm(x), memory)
///                    x = x + feed_forward(norm(x))
/// o = W_o norm(x) + b_o
/// ```
///
/// as with `norm = "pre"`; with `"post"` each sum is normalised, and nothing else ([`Residual`]).
///
/// All steps of a known target are computed at once. A cached step computes its own position
/// alone: keys and values of those before it are in the state.
#[derive(Module, Debug)]
pub struct TransformerDecoder {
    /// The table of target tokens.
    pub embedding: Embedding,
    /// What the lowest layer reads.
    pub input: TransformerInput,
    /// From the bottom.
    pub layers: Vec<TransformerDecoderLayer>,
    /// On top of pre-norm layers.
    pub norm: Option<LayerNorm>,
    /// Over the target tokens.
    pub output: OutputLayer,
    #[module(skip)]
    alignment: AlignmentConfig,
}

/// One layer of a [`TransformerDecoder`].
#[derive(Module, Debug)]
pub struct TransformerDecoderLayer {
    /// Over the past: the type is causal.
    pub self_attention: CausalSelfAttention,
    /// Around it.
    pub self_residual: Residual,
    /// Over the memory.
    pub cross_attention: MultiHeadAttention,
    /// Around it.
    pub cross_residual: Residual,
    /// Of each position alone.
    pub feed_forward: FeedForward,
    /// Around it.
    pub feed_forward_residual: Residual,
}

/// What a layer computes of some positions.
struct LayerOutput {
    /// `[rows, n, d_model]`
    states: Tensor<3>,
    /// Over the memory, `[batch, n_heads, rows / batch * n, src_len]`.
    weights: Tensor<4>,
    /// Of all positions so far.
    past: KeyValues,
}

impl TransformerDecoderLayer {
    /// The next positions, `x` of `[rows, n, d_model]`, given their past, from `starts` on.
    fn extend(
        &self,
        x: Tensor<3>,
        memory: &AttentionMemory,
        past: Option<KeyValues>,
        starts: &[usize],
    ) -> LayerOutput {
        let residual = &self.self_residual;
        let before = residual.before(x.clone());
        let step = self.self_attention.extend(before, past, starts);
        let x = residual.after(x, step.read.output);

        // The rows of a source are so many queries of one memory, which is not repeated.
        let residual = &self.cross_residual;
        let [rows, n, d_model] = x.dims();
        let batch = memory.batch();
        let query = residual.before(x.clone());
        let query = query.reshape([batch, rows / batch * n, d_model]);
        let read = self.cross_attention.forward(query, memory);
        let x = residual.after(x, read.output.reshape([rows, n, d_model]));

        let residual = &self.feed_forward_residual;
        let gave = self.feed_forward.forward(residual.before(x.clone()));
        LayerOutput {
            states: residual.after(x, gave),
            weights: read.weights,
            past: step.past,
        }
    }
}

/// What the layers compute of some positions.
struct Extended {
    /// What the output layer reads, `[rows, n, d_model]`.
    features: Tensor<3>,
    /// Of each layer, `[batch, n_heads, rows / batch * n, src_len]`.
    weights: Vec<Tensor<4>>,
    /// Of each layer.
    past: Vec<KeyValues>,
}

impl TransformerDecoder {
    /// The next positions, `tokens` of `[rows, n]`, given the past of each layer (nothing at first), which has
    /// as many positions of each row, or of all rows, as `starts` says.
    fn extend(
        &self,
        tokens: Tensor<2, Int>,
        memory: &DecoderMemory,
        past: Vec<KeyValues>,
        starts: &[usize],
    ) -> Extended {
        let mut states = self.input.forward(self.head().embed(tokens), starts);
        let mut past = past.into_iter();
        let mut weights = Vec::with_capacity(self.layers.len());
        let mut caches = Vec::with_capacity(self.layers.len());
        for (layer, memory) in self.layers.iter().zip(&memory.attention) {
            let output = layer.extend(states, memory, past.next(), starts);
            states = output.states;
            weights.push(output.weights);
            caches.push(output.past);
        }
        if let Some(norm) = &self.norm {
            states = norm.forward(states);
        }
        Extended {
            features: states,
            weights,
            past: caches,
        }
    }
}

impl Decoder for TransformerDecoder {
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory {
        let layers = self.layers.iter();
        DecoderMemory {
            batch: source.memory.dims()[0],
            attention: layers
                .map(|layer| layer.cross_attention.prepare(source))
                .collect(),
            ..Default::default()
        }
    }

    fn initial_state(&self, source: &EncoderOutput) -> DecoderState {
        DecoderState {
            positions: vec![0; source.memory.dims()[0]],
            ..Default::default()
        }
    }

    fn step(
        &self,
        tokens: Tensor<1, Int>,
        memory: &DecoderMemory,
        state: DecoderState,
    ) -> DecoderStep {
        let starts = state.starts();
        let extended = self.extend(tokens.unsqueeze_dim(1), memory, state.past, &starts);
        let weights = self.alignment.choose(&extended.weights).flatten::<2>(0, 1);
        let by_row = |weights: Tensor<4>| weights.swap_dims(1, 2).flatten(0, 1);
        DecoderStep {
            logits: self.head().step(extended.features, Some(&weights), memory),
            weights: Some(weights),
            head_weights: extended.weights.into_iter().map(by_row).collect(),
            state: DecoderState {
                past: extended.past,
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
        let extended = self.extend(tgt, &self.prepare(source), Vec::new(), &[0]);
        DecoderOutput {
            features: extended.features,
            weights: Some(self.alignment.choose(&extended.weights)),
            head_weights: extended.weights,
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

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::{mask::src_pad_mask, random};
    use att_layers::EmbeddingConfig;
    use burn::tensor::TensorData;

    const SPEC: MemorySpec = MemorySpec {
        d_memory: 6,
        n_final_states: 0,
        d_final: 0,
        final_cells: false,
    };

    fn config(alignment: AlignmentConfig) -> TransformerDecoderConfig {
        TransformerDecoderConfig {
            layers: TransformerConfig {
                d_model: 8,
                layers: 3,
                n_heads: 2,
                d_ff: 8,
                ..Default::default()
            },
            alignment,
            copy: false,
        }
    }

    fn output(alignment: AlignmentConfig) -> DecoderOutput {
        let device = Device::flex();
        random::seed(3);
        let embedding = EmbeddingConfig::default().init(9, &device);
        let decoder = config(alignment).init(embedding, false, &SPEC, &device);
        let memory = TensorData::new(random::normal(2 * 4 * 6, 1.0), [2, 4, 6]);
        let source = EncoderOutput {
            memory: Tensor::from_data(memory, &device),
            src_pad_mask: src_pad_mask(&[4, 2], 4, &device),
            final_states: Vec::new(),
        };
        let tgt = Tensor::from_data([[2, 4, 5], [2, 7, 4]], &device);
        decoder.forward(tgt, &[3, 3], &source)
    }

    #[test]
    fn the_alignment_is_the_one_asked_for() {
        let found = output(AlignmentConfig::default());
        assert_eq!(found.head_weights.len(), 3);
        assert_eq!(found.head_weights[0].dims(), [2, 2, 3, 4]);
        let mean = found.head_weights[2].clone().mean_dim(1).squeeze_dim(1);
        assert!(found.weights.unwrap().all_close(mean, None, None));

        let found = output(AlignmentConfig {
            layer: Some(0),
            head: Some(1),
        });
        let head = found.head_weights[0].clone().narrow(1, 1, 1).squeeze_dim(1);
        assert!(found.weights.unwrap().all_close(head, None, None));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |config: TransformerDecoderConfig, key: &str| {
            let message = config.validate(8, false).unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        };
        let alignment = |layer, head| AlignmentConfig { layer, head };
        refused(config(alignment(Some(3), None)), "alignment.layer: 3");
        refused(config(alignment(None, Some(2))), "alignment.head: 2");
        let mut odd = config(AlignmentConfig::default());
        odd.layers.n_heads = 3;
        refused(odd, "n_heads: ");
    }
}
