use att_layers::{PositionsConfig, RotaryPositions};
use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor, TensorData};

use crate::multi_head::{KeyValues, MultiHeadAttention, MultiHeadConfig, MultiHeadOutput};

/// Multi-head attention of a padded text over itself, as in an encoder.
#[derive(Module, Debug)]
pub struct SelfAttention {
    /// Attends.
    pub heads: MultiHeadAttention,
    /// Turns queries and keys; of rotary positions.
    pub rotary: Option<RotaryPositions>,
}

impl SelfAttention {
    /// Over vectors of `d_model`, with fresh weights.
    ///
    /// # Panics
    ///
    /// If `config` does not fit `d_model`.
    pub fn new(
        config: &MultiHeadConfig,
        positions: &PositionsConfig,
        d_model: usize,
        device: &Device,
    ) -> Self {
        Self {
            heads: config.init(d_model, d_model, device),
            rotary: positions.rotary(),
        }
    }

    /// - `x`: `[batch, len, d_model]`
    /// - `pad_mask`: true at padding, `[batch, len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn forward(&self, x: Tensor<3>, pad_mask: Tensor<2, Bool>) -> MultiHeadOutput {
        let (query, key_values) = projections(&self.heads, self.rotary.as_ref(), x, &[0]);
        self.heads.read(query, key_values, Some(pad_mask), false)
    }
}

/// Multi-head attention of a text over its own past, as in a decoder: position t reads `..=t`, and
/// there is no way to have it read more.
#[derive(Module, Debug)]
pub struct CausalSelfAttention {
    heads: MultiHeadAttention,
    rotary: Option<RotaryPositions>,
}

/// What [`CausalSelfAttention::extend`] computes.
#[derive(Clone, Debug)]
pub struct CausalStep {
    /// Of the new positions; their weights are over all positions so far.
    pub read: MultiHeadOutput,
    /// Of all positions so far, for the next step.
    pub past: KeyValues,
}

impl CausalSelfAttention {
    /// Over vectors of `d_model`, with fresh weights.
    ///
    /// # Panics
    ///
    /// If `config` does not fit `d_model`.
    pub fn new(
        config: &MultiHeadConfig,
        positions: &PositionsConfig,
        d_model: usize,
        device: &Device,
    ) -> Self {
        let SelfAttention { heads, rotary } =
            SelfAttention::new(config, positions, d_model, device);
        Self { heads, rotary }
    }

    /// A whole text: `x` of `[batch, len, d_model]`.
    ///
    /// # Panics
    ///
    /// If `x` is not of `d_model`.
    pub fn forward(&self, x: Tensor<3>) -> MultiHeadOutput {
        self.extend(x, None, &[0]).read
    }

    /// The next positions of texts, given their past.
    ///
    /// - `x`: `[rows, n, d_model]`; n is 1 in a step
    /// - `past`: of the same rows
    /// - `starts`: how many positions of the past each row has, or one number for all rows; they are the last
    ///   ones, and what stands before them is not read
    ///
    /// # Panics
    ///
    /// If the shapes disagree, or there are not as many starts.
    pub fn extend(&self, x: Tensor<3>, past: Option<KeyValues>, starts: &[usize]) -> CausalStep {
        let [rows, n, _] = x.dims();
        let (query, new) = projections(&self.heads, self.rotary.as_ref(), x, starts);
        let before = past.as_ref().map_or(0, KeyValues::positions);
        let has_padding = starts.iter().any(|&start| start < before);
        let mask = has_padding.then(|| {
            let of_row = |start: &usize| {
                let padding = before - start;
                (0..before + n).map(move |position| position < padding)
            };
            let mask: Vec<bool> = starts.iter().flat_map(of_row).collect();
            let mask = TensorData::new(mask, [starts.len(), before + n]);
            Tensor::<2, Bool>::from_data(mask, &query.device()).expand([rows, before + n])
        });
        let past = match past {
            Some(past) => past.followed_by(new),
            None => new,
        };
        CausalStep {
            read: self.heads.read(query, past.clone(), mask, true),
            past,
        }
    }
}

/// Queries, keys and values of `x`, whose first positions are `starts`.
fn projections(
    heads: &MultiHeadAttention,
    rotary: Option<&RotaryPositions>,
    x: Tensor<3>,
    starts: &[usize],
) -> (Tensor<3>, KeyValues) {
    let query = heads.query.forward(x.clone());
    let KeyValues { keys, values } = heads.key_values(x);
    let (query, keys) = match rotary {
        Some(rotary) => (
            rotary.forward(query, heads.n_heads, starts),
            rotary.forward(keys, heads.n_kv_heads(), starts),
        ),
        None => (query, keys),
    };
    (query, KeyValues { keys, values })
}
