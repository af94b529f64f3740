use std::f64::consts::FRAC_1_SQRT_2;

use att_core::ops::{pack, unpack};
use att_core::{EncoderOutput, Error, MemorySpec, Result, check, mask};
use att_layers::{
    Dropout, GatedConvolution, LearnedPositions, LearnedPositionsConfig, Linear, Windows, init,
};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::encoder::assert_lengths;

/// Configuration of a [`ConvolutionalEncoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvolutionalEncoderConfig {
    /// Size of a state; 256 unless told.
    pub d_hidden: usize,
    /// Number of blocks; 4 unless told.
    pub layers: usize,
    /// How many positions a convolution reads, an odd number; 3 unless told. A state of the top
    /// block has seen `layers * (width - 1) / 2` tokens to either side.
    pub width: usize,
    /// A vector for each position.
    pub positions: LearnedPositionsConfig,
    /// Dropout on the input of each block; 0.1 unless told.
    pub dropout: f64,
}

impl Default for ConvolutionalEncoderConfig {
    fn default() -> Self {
        Self {
            d_hidden: 256,
            layers: 4,
            width: 3,
            positions: LearnedPositionsConfig::default(),
            dropout: 0.1,
        }
    }
}

impl ConvolutionalEncoderConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("d_hidden", self.d_hidden)?;
        check::size("layers", self.layers)?;
        check::size("width", self.width)?;
        if self.width.is_multiple_of(2) {
            let reason = format!("{} has no middle: use an odd number", self.width);
            return Err(Error::config("width", reason));
        }
        self.positions
            .validate()
            .map_err(|error| error.within("positions"))?;
        check::probability("dropout", self.dropout)
    }

    /// The sizes in the output; there are no final states.
    pub fn memory_spec(&self) -> MemorySpec {
        MemorySpec {
            d_memory: self.d_hidden,
            n_final_states: 0,
            d_final: 0,
            final_cells: false,
        }
    }

    /// An encoder of vectors of `d_input`, with fresh weights.
    pub fn init(&self, d_input: usize, device: &Device) -> ConvolutionalEncoder {
        let (d, keep) = (self.d_hidden, 1.0 - self.dropout);
        ConvolutionalEncoder {
            positions: self.positions.init(d_input, device),
            input: init::linear(d_input, d, true, device),
            blocks: (0..self.layers)
                .map(|_| GatedConvolution::new(d, d, self.width, keep, device))
                .collect(),
            dropout: Dropout::new(self.dropout),
            width: self.width,
        }
    }
}

/// Convolutions over the source (Gehring et al. 2017, sec. 3.1 to 3.3):
///
/// ```text
/// x_0[s] = (e[s] + p[s]) W + b
/// x_l[s] = (x_(l-1)[s] + glu_l(x_(l-1)[s - k/2 ..= s + k/2])) / sqrt(2)
/// memory[s] = x_L[s]
/// ```
///
/// e is the embedded source and p a learned vector for each position; beyond the ends of a source
/// stand zeros. All states of a block are computed at once, of real tokens alone.
///
/// One memory is both what is scored and what is averaged, where the paper averages `x_L + e`, and
/// weights are not normalised (Salimans and Kingma 2016). Nothing is read in an order, so there is
/// no final state: a recurrent decoder starts from the mean of the memory (`bridge = "mean"`) or
/// from zeros.
#[derive(Module, Debug)]
pub struct ConvolutionalEncoder {
    /// Added to the embedded source.
    pub positions: LearnedPositions,
    /// From the embedding's size to that of the states.
    pub input: Linear,
    /// From the bottom.
    pub blocks: Vec<GatedConvolution>,
    /// On the input of each block.
    pub dropout: Dropout,
    /// How many positions a convolution reads.
    pub width: usize,
}

impl ConvolutionalEncoder {
    /// - `embedded`: `[batch, src_len, d_input]`
    /// - `lengths`: how many tokens of each row are real, each at least 1
    ///
    /// # Panics
    ///
    /// If `lengths` does not name one length from 1 to `src_len` a row, or sizes disagree.
    pub fn forward(&self, embedded: Tensor<3>, lengths: &[usize]) -> EncoderOutput {
        let [_, src_len, _] = embedded.dims();
        assert_lengths(&embedded, lengths);
        let device = embedded.device();
        let windows = Windows::centred(lengths, self.width, &device);
        let positioned = embedded + self.positions.vectors(&[0], src_len);
        let mut states = self.input.forward(pack(positioned, lengths));
        for block in &self.blocks {
            let added = block.forward(self.dropout.forward(states.clone()), &windows);
            states = (states + added) * FRAC_1_SQRT_2;
        }
        EncoderOutput {
            memory: unpack(states, lengths, src_len),
            src_pad_mask: mask::src_pad_mask(lengths, src_len, &device),
            final_states: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::random;
    use burn::tensor::TensorData;

    /// A state sees as far as the configuration says, and no further.
    #[test]
    fn a_state_sees_its_neighbours() {
        let device = Device::flex();
        random::seed(8);
        let config = ConvolutionalEncoderConfig {
            d_hidden: 4,
            layers: 2,
            width: 5,
            ..Default::default()
        };
        let encoder = config.init(3, &device);
        let input = random::normal(12 * 3, 1.0);
        let memory = |input: &[f32]| -> Vec<f32> {
            let input = TensorData::new(input.to_vec(), [1, 12, 3]);
            let output = encoder.forward(Tensor::from_data(input, &device), &[12]);
            output.memory.into_data().iter().collect()
        };
        let before = memory(&input);
        let mut changed = input;
        changed[6 * 3] += 1.0;
        let after = memory(&changed);
        let seen = |s: usize| before[4 * s..4 * s + 4] != after[4 * s..4 * s + 4];
        let seen: Vec<usize> = (0..12).filter(|&s| seen(s)).collect();
        assert_eq!(seen, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn absurd_settings_are_refused() {
        let refused = |config: ConvolutionalEncoderConfig, key: &str| {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        };
        let default = ConvolutionalEncoderConfig::default;
        refused(
            ConvolutionalEncoderConfig {
                width: 4,
                ..default()
            },
            "width",
        );
        refused(
            ConvolutionalEncoderConfig {
                positions: LearnedPositionsConfig { max_len: 0 },
                ..default()
            },
            "positions.max_len",
        );
    }
}
