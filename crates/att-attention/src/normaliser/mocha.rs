use att_core::ops::masked_softmax;
use att_core::{Result, check};
use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Monotonic, MonotonicConfig};
use crate::{Scorer, ScorerConfig};

/// Configuration of [`Mocha`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MochaConfig {
    /// States of a chunk, up to the one where the head stops; 4 unless told.
    pub chunk: usize,
    /// How a query scores the states of a chunk; additive unless told.
    pub scorer: ScorerConfig,
    /// As in [`MonotonicConfig::offset`].
    pub offset: f64,
    /// As in [`MonotonicConfig::noise`].
    pub noise: f64,
}

impl Default for MochaConfig {
    fn default() -> Self {
        let MonotonicConfig { offset, noise } = MonotonicConfig::default();
        Self {
            chunk: 4,
            scorer: ScorerConfig::default(),
            offset,
            noise,
        }
    }
}

impl MochaConfig {
    fn monotonic(&self) -> MonotonicConfig {
        MonotonicConfig {
            offset: self.offset,
            noise: self.noise,
        }
    }

    /// # Errors
    ///
    /// If a value is out of its range, or queries of `d_query` and states of `d_memory` do not fit.
    pub fn validate(&self, d_query: usize, d_memory: usize) -> Result<()> {
        check::size("chunk", self.chunk)?;
        self.monotonic().validate()?;
        self.scorer
            .validate(d_query, d_memory)
            .map_err(|error| error.within("scorer"))
    }

    /// Fresh weights.
    pub fn init(&self, d_query: usize, d_memory: usize, device: &Device) -> Mocha {
        Mocha {
            monotonic: self.monotonic().init(device),
            scorer: self.scorer.init(d_query, d_memory, device),
            chunk: self.chunk,
        }
    }
}

/// Monotonic chunkwise attention (Chiu and Raffel 2018, eq. 13): softmax over the `w` states up to the
/// one where the head of [`Monotonic`] stops, by scores `u` of their own.
///
/// ```text
/// weights[s] = sum over k from s to s + w - 1 of  alignment[k] exp(u[s]) / sum over l from k - w + 1 to k of exp(u[l])
/// ```
///
/// Weights sum to as much as the alignment does. With a chunk of 1 they are the alignment.
///
/// ```
/// use att_attention::{AttentionConfig, MochaConfig, NormaliserConfig};
///
/// let config = AttentionConfig {
///     normaliser: NormaliserConfig::Mocha(MochaConfig { chunk: 2, ..Default::default() }),
///     ..Default::default()
/// };
/// assert!(config.validate(8, 8).is_ok());
/// assert!(!config.sums_to_one());
/// ```
#[derive(Module, Debug)]
pub struct Mocha {
    /// Where the head stops.
    pub monotonic: Monotonic,
    /// Scores the states of a chunk.
    pub scorer: Scorer,
    chunk: usize,
}

impl Mocha {
    /// The weights of an alignment.
    ///
    /// - `alignment`, `chunk_scores`: `[batch, tgt_len, src_len]`
    /// - `mask`: true where masked, `[batch, 1, src_len]`
    pub fn weights(
        &self,
        alignment: Tensor<3>,
        chunk_scores: Tensor<3>,
        mask: Tensor<3, Bool>,
    ) -> Tensor<3> {
        let [batch, tgt_len, src_len] = alignment.dims();
        let width = self.chunk.min(src_len);
        // Slot `i` of state k is the state i before it.
        let mask = mask.expand([batch, tgt_len, src_len]);
        let slot = |i: usize| {
            (
                before(chunk_scores.clone(), i),
                before_masked(mask.clone(), i),
            )
        };
        let (scores, masks): (Vec<_>, Vec<_>) = (0..width).map(slot).unzip();
        let shares = masked_softmax::<4>(Tensor::stack(scores, 3), Tensor::stack(masks, 3));
        let shares = shares * alignment.unsqueeze_dim(3);
        (0..width)
            .map(|i| after(shares.clone().narrow(3, i, 1).squeeze_dim(3), i))
            .reduce(|sum, part| sum + part)
            .expect("a chunk has a state")
    }
}

/// `out[s] = x[s - by]`, and zero where there is none.
fn before(x: Tensor<3>, by: usize) -> Tensor<3> {
    let [batch, tgt_len, src_len] = x.dims();
    let none = Tensor::zeros([batch, tgt_len, by], &x.device());
    Tensor::cat(vec![none, x.narrow(2, 0, src_len - by)], 2)
}

/// [`before`] of a mask, which is true where there is none.
fn before_masked(mask: Tensor<3, Bool>, by: usize) -> Tensor<3, Bool> {
    before(mask.bool_not().float(), by).equal_elem(0.0)
}

/// `out[s] = x[s + by]`, and zero where there is none.
fn after(x: Tensor<3>, by: usize) -> Tensor<3> {
    let [batch, tgt_len, src_len] = x.dims();
    let none = Tensor::zeros([batch, tgt_len, by], &x.device());
    Tensor::cat(vec![x.narrow(2, by, src_len - by), none], 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::host_vec;

    fn mocha(chunk: usize, device: &Device) -> Mocha {
        let config = MochaConfig {
            chunk,
            scorer: ScorerConfig::Dot(Default::default()),
            ..Default::default()
        };
        config.init(1, 1, device)
    }

    #[test]
    fn a_chunk_ends_where_the_head_stops() {
        let device = Device::flex();
        let alignment = Tensor::from_data([[[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]], &device);
        let scores = [[[9.0, 3f32.ln(), 0.0, 9.0], [5.0, 9.0, 9.0, 9.0]]];
        let scores = Tensor::from_data(scores, &device);
        let mask = Tensor::from_data([[[false; 4]]], &device);
        let weights = |chunk| {
            host_vec(mocha(chunk, &device).weights(alignment.clone(), scores.clone(), mask.clone()))
        };
        let expected = [0.0, 0.75, 0.25, 0.0, 1.0, 0.0, 0.0, 0.0];
        let found = weights(2);
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6),
            "{found:?}"
        );
        assert_eq!(weights(1), host_vec(alignment.clone()));
        // A chunk longer than the source is the source up to the head.
        assert!((weights(9)[2] - 1.0 / (1.0 + 3.0 + 9f32.exp())).abs() < 1e-7);
    }
}
