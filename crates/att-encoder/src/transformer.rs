use att_attention::{SelfAttention, TransformerConfig};
use att_core::{EncoderOutput, mask};
use att_layers::{FeedForward, LayerNorm, Residual, TransformerInput};
use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};

use crate::encoder::{assert_lengths, without_padding};

/// Self-attention and feed-forward networks over the source (Vaswani et al. 2017, sec. 3.1):
///
/// ```text
/// x = tokens' vectors with their positions          see TransformerInput
/// for each layer:    x = x + self_attention(norm(x))
///                    x = x + feed_forward(norm(x))
/// memory = norm(x)
/// ```
///
/// as with `norm = "pre"`; with `"post"` each sum is normalised, and nothing else ([`Residual`]).
/// There are no final states: a recurrent decoder starts from the mean of the memory or from zeros
/// (its `bridge`).
#[derive(Module, Debug)]
pub struct TransformerEncoder {
    /// What the lowest layer reads.
    pub input: TransformerInput,
    /// From the bottom.
    pub layers: Vec<TransformerEncoderLayer>,
    /// On top of pre-norm layers.
    pub norm: Option<LayerNorm>,
}

/// One layer of a [`TransformerEncoder`].
#[derive(Module, Debug)]
pub struct TransformerEncoderLayer {
    /// Over the source.
    pub self_attention: SelfAttention,
    /// Around it.
    pub self_residual: Residual,
    /// Of each position alone.
    pub feed_forward: FeedForward,
    /// Around it.
    pub feed_forward_residual: Residual,
}

impl TransformerEncoder {
    /// An encoder of vectors of `d_input`, with fresh weights; valid settings only.
    pub(crate) fn new(config: &TransformerConfig, d_input: usize, device: &Device) -> Self {
        let layer = |_| TransformerEncoderLayer {
            self_attention: config.self_attention(device),
            self_residual: config.residual(device),
            feed_forward: config.feed_forward(device),
            feed_forward_residual: config.residual(device),
        };
        Self {
            input: config.input(d_input, device),
            layers: (0..config.layers).map(layer).collect(),
            norm: config.final_norm(device),
        }
    }

    /// - `embedded`: `[batch, src_len, d_input]`
    /// - `lengths`: how many tokens of each row are real, each at least 1
    ///
    /// # Panics
    ///
    /// If `lengths` does not name one length from 1 to `src_len` a row, or sizes disagree.
    pub fn forward(&self, embedded: Tensor<3>, lengths: &[usize]) -> EncoderOutput {
        let [_, src_len, _] = embedded.dims();
        assert_lengths(&embedded, lengths);
        let src_pad_mask = mask::src_pad_mask(lengths, src_len, &embedded.device());
        let mut states = self.input.forward(embedded, &[0]);
        for layer in &self.layers {
            states = layer.forward(states, &src_pad_mask);
        }
        if let Some(norm) = &self.norm {
            states = norm.forward(states);
        }
        if lengths.iter().any(|&length| length < src_len) {
            states = without_padding(states, &src_pad_mask);
        }
        EncoderOutput {
            memory: states,
            src_pad_mask,
            final_states: Vec::new(),
        }
    }
}

impl TransformerEncoderLayer {
    fn forward(&self, x: Tensor<3>, pad_mask: &Tensor<2, Bool>) -> Tensor<3> {
        let read = self
            .self_attention
            .forward(self.self_residual.before(x.clone()), pad_mask.clone());
        let x = self.self_residual.after(x, read.output);
        let residual = &self.feed_forward_residual;
        let gave = self.feed_forward.forward(residual.before(x.clone()));
        residual.after(x, gave)
    }
}
