use att_core::{Error, Result};
use att_layers::{Embedding, Linear, init};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::CopyGate;

/// Raw scores of the target tokens: `x W + b`, where W is the layer's own or the embedding's table
/// (tied, Press and Wolf 2017).
#[derive(Module, Debug)]
pub struct OutputLayer {
    /// W and b, `[d_features, vocab]`; none where tied.
    pub linear: Option<Linear>,
    /// b of a tied layer, `[vocab]`.
    pub tied_bias: Option<Param<Tensor<1>>>,
    /// Of a decoder that copies.
    pub copy: Option<CopyGate>,
}

impl OutputLayer {
    /// # Errors
    ///
    /// If a tied layer's features (named `key` in the configuration) are not of the embedding's
    /// size.
    pub(crate) fn validate(key: &str, d_features: usize, d_embed: usize, tie: bool) -> Result<()> {
        if tie && d_features != d_embed {
            let reason = format!(
                "a tied output needs features of the embedding's size {d_embed}, not {d_features}: \
                 make them equal, or set tie_output = false"
            );
            return Err(Error::config(key, reason));
        }
        Ok(())
    }

    /// For the tokens of `embedding`; `tie` to its table, `copy` with a gate to the source.
    pub(crate) fn new(
        d_features: usize,
        embedding: &Embedding,
        tie: bool,
        copy: bool,
        device: &Device,
    ) -> Self {
        let vocab = embedding.vocab();
        Self {
            linear: (!tie).then(|| init::linear(d_features, vocab, true, device)),
            tied_bias: tie.then(|| init::constant([vocab], 0.0, device)),
            copy: copy.then(|| CopyGate::new(d_features, device)),
        }
    }

    /// W, `[d_features, vocab]`, and b.
    pub(crate) fn weights(&self, embedding: &Embedding) -> (Tensor<2>, Option<Tensor<1>>) {
        match (&self.linear, &self.tied_bias) {
            (Some(linear), _) => {
                let bias = linear.bias.as_ref().map(|bias| bias.val());
                (linear.weight.val(), bias)
            }
            // The transpose is a view: the products read the table where it lies.
            (None, Some(bias)) => (embedding.weight.val().transpose(), Some(bias.val())),
            (None, None) => unreachable!("an output layer has weights of its own or is tied"),
        }
    }
}
