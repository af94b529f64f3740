use att_core::{EncoderOutput, Error, MemorySpec, Result, check, mask};
use att_layers::{CellKind, Dropout};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::encoder::assert_lengths;
use crate::{RecurrentEncoderConfig, RecurrentEncoderLayer};

/// The most layers of a pyramid: at its top one state then stands for 512 tokens.
const MAX_LAYERS: usize = 10;

/// Configuration of a [`PyramidalEncoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PyramidalEncoderConfig {
    /// `"lstm"` (unless told) or `"gru"`.
    pub cell: CellKind,
    /// Size of one direction's hidden state; 256 unless told.
    pub d_hidden: usize,
    /// Number of layers, at most 10; 3 unless told. Each above the first has half as many states
    /// as the one below.
    pub layers: usize,
    /// Dropout on the output of each layer; 0.1 unless told.
    pub dropout: f64,
    /// Whether all steps of a sequence have the same mask of dropout (Gal and Ghahramani 2016); false unless
    /// told.
    pub variational_dropout: bool,
}

impl Default for PyramidalEncoderConfig {
    fn default() -> Self {
        Self {
            cell: CellKind::Lstm,
            d_hidden: 256,
            layers: 3,
            dropout: 0.1,
            variational_dropout: false,
        }
    }
}

impl PyramidalEncoderConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("d_hidden", self.d_hidden)?;
        if !(1..=MAX_LAYERS).contains(&self.layers) {
            let reason = format!("{} is not from 1 to {MAX_LAYERS}", self.layers);
            return Err(Error::config("layers", reason));
        }
        check::probability("dropout", self.dropout)
    }

    /// One layer that reads both ways.
    fn layer(&self) -> RecurrentEncoderConfig {
        RecurrentEncoderConfig {
            cell: self.cell,
            d_hidden: self.d_hidden,
            ..Default::default()
        }
    }

    /// How many tokens a state of the memory stands for.
    pub fn tokens_per_state(&self) -> usize {
        1 << (self.layers - 1)
    }

    /// The sizes in the output.
    pub fn memory_spec(&self) -> MemorySpec {
        MemorySpec {
            n_final_states: self.layers,
            ..self.layer().memory_spec()
        }
    }

    /// An encoder of vectors of `d_input`, with fresh weights.
    pub fn init(&self, d_input: usize, device: &Device) -> PyramidalEncoder {
        let layer = |index: usize| {
            let d_input = if index == 0 {
                d_input
            } else {
                2 * self.memory_spec().d_memory
            };
            self.layer().init_layer(0, d_input, device)
        };
        PyramidalEncoder {
            layers: (0..self.layers).map(layer).collect(),
            dropout: Dropout::new(self.dropout).variational(self.variational_dropout),
        }
    }
}

/// Recurrent layers in both directions, of which each above the first reads the states of the one
/// below in pairs (Chan et al. 2016, eq. 5), so that a long source has a short memory:
///
/// ```text
/// h_l[i] = recurrent_l([h_(l-1)[2 i]; h_(l-1)[2 i + 1]])
/// ```
///
/// The partner of an odd last state is zero. With L layers the memory has
/// `ceil(src_len / 2^(L-1))` states, and state i stands for the tokens from `i 2^(L-1)` on.
#[derive(Module, Debug)]
pub struct PyramidalEncoder {
    /// From the bottom.
    pub layers: Vec<RecurrentEncoderLayer>,
    /// On the output of each layer.
    pub dropout: Dropout,
}

impl PyramidalEncoder {
    /// How many tokens a state of the memory stands for; the last one of a source may have fewer.
    pub fn tokens_per_state(&self) -> usize {
        1 << (self.layers.len() - 1)
    }

    /// - `embedded`: `[batch, src_len, d_input]`
    /// - `lengths`: how many tokens of each row are real, each at least 1
    ///
    /// # Panics
    ///
    /// If `lengths` does not name one length from 1 to `src_len` a row, or sizes disagree.
    pub fn forward(&self, embedded: Tensor<3>, lengths: &[usize]) -> EncoderOutput {
        assert_lengths(&embedded, lengths);
        let device = embedded.device();
        let mut lengths = lengths.to_vec();
        let mut states = embedded;
        let mut final_states = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                states = pairs(states);
                lengths = lengths.iter().map(|length| length.div_ceil(2)).collect();
            }
            let output = layer.forward(states, &lengths);
            states = self.dropout.forward(output.states);
            final_states.push(output.last);
        }
        let [_, n_states, _] = states.dims();
        EncoderOutput {
            memory: states,
            src_pad_mask: mask::src_pad_mask(&lengths, n_states, &device),
            final_states,
        }
    }
}

/// Each two neighbours side by side: `[batch, len, d]` to `[batch, ceil(len / 2), 2 * d]`. Padding,
/// which recurrent layers leave zero, is what an odd last state is joined to.
fn pairs(states: Tensor<3>) -> Tensor<3> {
    let [batch, len, d] = states.dims();
    let states = if len.is_multiple_of(2) {
        states
    } else {
        let zeros = Tensor::zeros([batch, 1, d], (&states.device(), states.dtype()));
        Tensor::cat(vec![states, zeros], 1)
    };
    states.reshape([batch, len.div_ceil(2), 2 * d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_state_may_stand_alone() {
        let device = Device::flex();
        let states = Tensor::<3>::from_data([[[1.0], [2.0], [3.0]]], &device);
        let expected = Tensor::<3>::from_data([[[1.0, 2.0], [3.0, 0.0]]], &device);
        pairs(states)
            .into_data()
            .assert_eq(&expected.into_data(), true);
    }

    #[test]
    fn absurd_settings_are_refused() {
        let config = PyramidalEncoderConfig {
            layers: 11,
            ..Default::default()
        };
        let message = config.validate().unwrap_err().to_string();
        assert!(message.starts_with("layers: "), "{message}");
    }
}
