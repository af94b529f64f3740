use std::sync::Arc;

use att_core::ops::{self, CrossEntropy};
use att_core::{Error, Result};
use att_layers::{Embedding, Linear, init};
use burn::module::{Module, Param};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::DecoderMemory;

/// Raw scores of the target tokens: `x W + b`, where W is the layer's own or the embedding's table
/// (tied, Press and Wolf 2017).
#[derive(Module, Debug)]
pub struct OutputLayer {
    /// W and b, `[d_features, vocab]`; none where tied.
    pub linear: Option<Linear>,
    /// b of a tied layer, `[vocab]`.
    pub tied_bias: Option<Param<Tensor<1>>>,
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

    pub(crate) fn new(d_features: usize, vocab: usize, tie: bool, device: &Device) -> Self {
        Self {
            linear: (!tie).then(|| init::linear(d_features, vocab, true, device)),
            tied_bias: tie.then(|| init::constant([vocab], 0.0, device)),
        }
    }

    /// `[n, d_features]` to `[n, vocab]`.
    pub(crate) fn forward(&self, features: Tensor<2>, embedding: &Embedding) -> Tensor<2> {
        let (weight, bias) = self.weights(embedding);
        ops::linear(features, weight, bias)
    }

    /// The columns of these tokens, which must be different.
    pub(crate) fn columns(&self, embedding: &Embedding, tokens: &[u32]) -> OutputColumns {
        let (weight, bias) = self.weights(embedding);
        let ids: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let ids = Tensor::<1, Int>::from_data(ids.as_slice(), &weight.device());
        // Of a tied layer the table's rows are taken, which lie side by side.
        let weight = match &self.linear {
            Some(_) => weight.select(1, ids.clone()),
            None => embedding.weight.val().select(0, ids.clone()).transpose(),
        };
        OutputColumns {
            weight,
            bias: bias.map(|bias| bias.select(0, ids)),
            ids: tokens.into(),
            barred: None,
        }
    }

    /// What a step of search needs: all scores, or those of the memory's
    /// [columns](DecoderMemory::columns).
    pub(crate) fn step(
        &self,
        features: Tensor<2>,
        embedding: &Embedding,
        memory: &DecoderMemory,
    ) -> Tensor<2> {
        match &memory.columns {
            Some(columns) => columns.forward(features),
            None => self.forward(features, embedding),
        }
    }

    /// How well the scores predict `gold`; see [`ops::linear_cross_entropy()`].
    pub(crate) fn cross_entropy(
        &self,
        features: Tensor<2>,
        embedding: &Embedding,
        gold: &[u32],
        smoothing: f64,
    ) -> CrossEntropy {
        let (weight, bias) = self.weights(embedding);
        ops::linear_cross_entropy(features, weight, bias, gold, smoothing)
    }

    /// W, `[d_features, vocab]`, and b.
    fn weights(&self, embedding: &Embedding) -> (Tensor<2>, Option<Tensor<1>>) {
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

/// Some columns of an [`OutputLayer`]: the only tokens that the sources of a batch may have (a shortlist;
/// Jean et al. 2015, sec. 3.3; L'Hostis et al. 2016).
#[derive(Clone, Debug)]
pub struct OutputColumns {
    /// W, `[d_features, n]`.
    weight: Tensor<2>,
    /// b, `[n]`.
    bias: Option<Tensor<1>>,
    ids: Arc<[u32]>,
    /// True where a source may not have a column's token, `[batch, n]`; none where each may have all.
    barred: Option<Tensor<2, Bool>>,
}

impl OutputColumns {
    /// The token of each column, rising.
    pub fn ids(&self) -> &Arc<[u32]> {
        &self.ids
    }

    /// Bars each source from all tokens but its own, which must be among the columns.
    pub(crate) fn for_sources(mut self, allowed: &[Vec<u32>]) -> Self {
        let mut barred = vec![true; allowed.len() * self.ids.len()];
        for (row, allowed) in barred.chunks_mut(self.ids.len()).zip(allowed) {
            for token in allowed {
                let column = self.ids.binary_search(token);
                row[column.expect("the columns are those of all sources")] = false;
            }
        }
        let shape = [allowed.len(), self.ids.len()];
        let barred = TensorData::new(barred, shape);
        self.barred = Some(Tensor::from_data(barred, &self.weight.device()));
        self
    }

    /// Raw scores, `[rows, d_features]` to `[rows, n]`; minus infinity where a row's source may not have
    /// a token.
    fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let logits = ops::linear(features, self.weight.clone(), self.bias.clone());
        let Some(barred) = &self.barred else {
            return logits;
        };
        let ([rows, n], [batch, _]) = (logits.dims(), barred.dims());
        let barred = barred.clone().unsqueeze_dim::<3>(1);
        let logits = logits.reshape([batch, rows / batch, n]);
        logits
            .mask_fill(barred.expand([batch, rows / batch, n]), f32::NEG_INFINITY)
            .reshape([rows, n])
    }

    pub(crate) fn select(self, sources: Tensor<1, Int>) -> Self {
        Self {
            barred: self.barred.map(|barred| barred.select(0, sources)),
            ..self
        }
    }
}
