use std::sync::Arc;

use att_core::ops::{self, PreparedWeights};
use att_core::{Error, Result, host_vec};
use att_layers::{Embedding, Linear, init};
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

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

    /// The columns of the tokens that each source may have.
    pub(crate) fn columns(&self, embedding: &Embedding, allowed: &[Vec<u32>]) -> OutputColumns {
        let (weight, bias) = self.weights(embedding);
        let tokens = rising(allowed.concat());
        let of_source = |ids: &Vec<u32>| rising(ids.clone()).into();
        let ids: Vec<Arc<[u32]>> = allowed.iter().map(of_source).collect();
        let column = |id: &u32| tokens.binary_search(id).expect("one of all") as u32;
        let columns = |ids: &Arc<[u32]>| ids.iter().map(column).collect();
        let of_tokens: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let of_tokens = Tensor::<1, Int>::from_data(of_tokens.as_slice(), &weight.device());
        let (weight, prepared) = PreparedWeights::columns(weight, &tokens);
        OutputColumns {
            weight,
            prepared: prepared.map(Arc::new),
            bias: bias.map(|bias| bias.select(0, of_tokens)),
            sources: ids.iter().map(columns).collect(),
            ids,
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

/// In order, each once.
fn rising(mut ids: Vec<u32>) -> Vec<u32> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Some columns of an [`OutputLayer`]: the only tokens that the sources of a batch may have (a shortlist;
/// Jean et al. 2015, sec. 3.3; L'Hostis et al. 2016).
#[derive(Clone, Debug)]
pub struct OutputColumns {
    /// W of the tokens of all sources, `[d_features, n]`.
    weight: Tensor<2>,
    /// Products with W, where those of the whole layer are prepared.
    #[expect(dead_code)] // held as long as the columns
    prepared: Option<Arc<PreparedWeights>>,
    /// b, `[n]`.
    bias: Option<Tensor<1>>,
    /// Which of the n are each source's, rising.
    sources: Vec<Arc<[u32]>>,
    /// Their tokens.
    ids: Vec<Arc<[u32]>>,
}

impl OutputColumns {
    /// Of each source the tokens of its columns, rising.
    pub fn ids(&self) -> &[Arc<[u32]>] {
        &self.ids
    }

    /// Raw scores, `[rows, d_features]` to `[rows, n_tokens]`: of each row those of its own source's tokens,
    /// then minus infinity up to the size of the longest list.
    pub(crate) fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let logits = ops::linear(features, self.weight.clone(), self.bias.clone());
        let [rows, n] = logits.dims();
        if self.sources.iter().all(|columns| columns.len() == n) {
            return logits;
        }
        let width = self.ids.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let (device, all) = (logits.device(), host_vec(logits));
        let mut own = vec![f32::NEG_INFINITY; rows * width];
        let per_source = rows / self.sources.len();
        for (row, (own, all)) in own.chunks_mut(width).zip(all.chunks(n)).enumerate() {
            for (own, &column) in own.iter_mut().zip(&*self.sources[row / per_source]) {
                *own = all[column as usize];
            }
        }
        Tensor::from_data(TensorData::new(own, [rows, width]), &device)
    }

    /// Those of the sources named by `indices`, in that order.
    pub(crate) fn select(self, indices: &[usize]) -> Self {
        let of = |lists: &[Arc<[u32]>]| indices.iter().map(|&i| lists[i].clone()).collect();
        Self {
            sources: of(&self.sources),
            ids: of(&self.ids),
            ..self
        }
    }
}
