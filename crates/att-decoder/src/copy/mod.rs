//! Copying from the source: the pointer-generator of See, Liu and Manning 2017, "Get To The Point".

mod copying;
mod scores;

pub use copying::Copying;
pub(crate) use scores::{extended_cross_entropy, extended_scores, known};

use att_attention::AttentionConfig;
use att_core::{Error, Result, rows};
use att_layers::{Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

/// The gate between the vocabulary and the source of a decoder that copies: the pointer-generator (See,
/// Liu and Manning 2017, eq. 8 and 9):
///
/// ```text
/// p_gen = sigmoid(z)        z = w x + b
/// P(w)  = p_gen P_vocab(w) + (1 - p_gen) sum_(s: src_s = w) weights_s
/// ```
///
/// x are the features that the output layer reads. They are made of what the paper's gate reads, context,
/// state and previous token, by a layer of each decoder's own; of Luong's decoder without the token,
/// which the state has read. The weights are those that a step reports: of a Transformer those that its
/// `alignment` names, of a convolutional decoder the mean over the blocks.
///
/// P is over the extended vocabulary ([`CopyIds`]): a token of the source that the target vocabulary lacks
/// has only its second term, a token that is not in the source only its first. EOS is a token of each
/// source. The next step reads a token that the vocabulary lacks as UNK.
#[derive(Module, Debug)]
pub struct CopyGate {
    /// w and b, `[d_features, 1]`.
    pub linear: Linear,
}

impl CopyGate {
    pub(crate) fn new(d_features: usize, device: &Device) -> Self {
        Self {
            linear: init::linear(d_features, 1, true, device),
        }
    }

    /// z, `[n, 1]`, of `[n, d_features]`.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear.forward(features)
    }
}

/// What the tokens of some sources are called in the target vocabulary, each source's extended by the
/// tokens that it lacks: the ids `vocab`, `vocab + 1` and so on, one for each different token (See, Liu
/// and Manning 2017, "Get To The Point", sec. 2.2).
#[derive(Clone, Debug)]
pub struct CopyIds {
    /// The id of each source token, `[batch, src_len]`; of padding any of the vocabulary.
    pub ids: Tensor<2, Int>,
    /// How many ids there are behind the vocabulary: those of the source with the most.
    pub n_extra: usize,
}

impl CopyIds {
    /// The sources named by `indices` (`[rows]`), in that order.
    pub fn select(self, indices: Tensor<1, Int>) -> Self {
        Self {
            ids: self.ids.select(0, indices),
            n_extra: self.n_extra,
        }
    }

    /// The sources of this, and those of `more` behind them, of `src_len` tokens each.
    pub fn join(self, more: Self, src_len: usize) -> Self {
        Self {
            ids: rows::join_padded(self.ids, more.ids, src_len),
            n_extra: self.n_extra.max(more.n_extra),
        }
    }

    /// Each source `n` times, side by side.
    pub(crate) fn repeat(&self, n: usize) -> Self {
        let [batch, src_len] = self.ids.dims();
        let ids = self.ids.clone().unsqueeze_dim::<3>(1);
        Self {
            ids: ids
                .expand([batch, n, src_len])
                .reshape([batch * n, src_len]),
            n_extra: self.n_extra,
        }
    }
}

/// The source of each of `n` positions, as it is looked at there.
#[derive(Clone, Debug)]
pub struct Copies {
    /// Attention weights, `[n, src_len]`.
    pub weights: Tensor<2>,
    /// What the source tokens of each position are called, `[n, src_len]`.
    pub ids: CopyIds,
}

/// Whether a decoder with this attention can copy.
///
/// # Errors
///
/// If `copy` is asked for and the weights may sum to less than one.
pub(crate) fn validate(copy: bool, attention: &AttentionConfig) -> Result<()> {
    if copy && !attention.sums_to_one() {
        let reason = "what is copied needs weights that sum to 1, and those of a monotonic \
                      normaliser or a local_p window may not: use others, or copy = false";
        return Err(Error::config("copy", reason));
    }
    Ok(())
}
