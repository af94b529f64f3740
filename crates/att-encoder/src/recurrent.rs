use att_core::ops::Direction;
use att_core::{EncoderOutput, MemorySpec, RecurrentState, Result, check, mask};
use att_layers::{CellKind, Dropout, LayerNorm, Recurrent};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of a [`RecurrentEncoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecurrentEncoderConfig {
    /// `"lstm"` (unless told) or `"gru"`.
    pub cell: CellKind,
    /// Size of one direction's hidden state; 256 unless told.
    pub d_hidden: usize,
    /// Number of layers; 1 unless told.
    pub layers: usize,
    /// Whether each layer also reads the source backwards; true unless told.
    pub bidirectional: bool,
    /// Dropout on the output of each layer; 0.1 unless told.
    pub dropout: f64,
    /// Whether a layer adds its input to its output where the sizes agree (Wu et al. 2016);
    /// false unless told.
    pub residual: bool,
    /// Whether each layer's output is normalised (Ba et al. 2016); false unless told.
    pub layer_norm: bool,
}

impl Default for RecurrentEncoderConfig {
    fn default() -> Self {
        Self {
            cell: CellKind::Lstm,
            d_hidden: 256,
            layers: 1,
            bidirectional: true,
            dropout: 0.1,
            residual: false,
            layer_norm: false,
        }
    }
}

impl RecurrentEncoderConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("d_hidden", self.d_hidden)?;
        check::size("layers", self.layers)?;
        check::probability("dropout", self.dropout)
    }

    /// The sizes in the output.
    pub fn memory_spec(&self) -> MemorySpec {
        let directions = if self.bidirectional { 2 } else { 1 };
        MemorySpec {
            d_memory: directions * self.d_hidden,
            n_final_states: self.layers,
            d_final: directions * self.d_hidden,
            final_cells: self.cell == CellKind::Lstm,
        }
    }

    /// An encoder of vectors of `d_input`, with fresh weights.
    pub fn init(&self, d_input: usize, device: &Device) -> RecurrentEncoder {
        let d_output = self.memory_spec().d_memory;
        let layer = |index: usize| {
            let d_input = if index == 0 { d_input } else { d_output };
            let direction = || self.cell.init(d_input, self.d_hidden, device);
            RecurrentEncoderLayer {
                forward: direction(),
                backward: self.bidirectional.then(direction),
                norm: self.layer_norm.then(|| LayerNorm::new(d_output, device)),
                residual: self.residual && d_input == d_output,
            }
        };
        RecurrentEncoder {
            layers: (0..self.layers).map(layer).collect(),
            dropout: Dropout::new(self.dropout),
        }
    }
}

/// Recurrent layers over the source, in one or both directions (Schuster and Paliwal 1997;
/// Bahdanau et al. 2015, sec. 3.2): `memory[s] = [forward state at s; backward state at s]`.
#[derive(Module, Debug)]
pub struct RecurrentEncoder {
    /// From the bottom.
    pub layers: Vec<RecurrentEncoderLayer>,
    /// On the output of each layer.
    pub dropout: Dropout,
}

/// One layer of a [`RecurrentEncoder`].
#[derive(Module, Debug)]
pub struct RecurrentEncoderLayer {
    /// Reads from the first token to the last.
    pub forward: Recurrent,
    /// Reads from the last real token to the first.
    pub backward: Option<Recurrent>,
    /// On the output.
    pub norm: Option<LayerNorm>,
    /// Whether the input is added to the output.
    pub residual: bool,
}

impl RecurrentEncoder {
    /// - `embedded`: `[batch, src_len, d_input]`
    /// - `lengths`: how many tokens of each row are real, each at least 1
    ///
    /// # Panics
    ///
    /// If `lengths` does not name one length from 1 to `src_len` a row, or sizes disagree.
    pub fn forward(&self, embedded: Tensor<3>, lengths: &[usize]) -> EncoderOutput {
        let [batch, src_len, _] = embedded.dims();
        assert!(
            lengths.len() == batch && lengths.iter().all(|l| (1..=src_len).contains(l)),
            "lengths {lengths:?} of {batch} sources of up to {src_len} tokens"
        );
        let device = embedded.device();
        let mut states = embedded;
        let mut final_states = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (output, last) = layer.forward(states, lengths);
            states = self.dropout.forward(output);
            final_states.push(last);
        }
        let src_pad_mask = mask::src_pad_mask(lengths, src_len, &device);
        if self.layers.last().is_some_and(|top| top.fills_padding()) {
            let [_, _, d_memory] = states.dims();
            let padding = src_pad_mask
                .clone()
                .unsqueeze_dim::<3>(2)
                .expand([batch, src_len, d_memory]);
            states = states.mask_fill(padding, 0.0);
        }
        EncoderOutput {
            memory: states,
            src_pad_mask,
            final_states,
        }
    }
}

impl RecurrentEncoderLayer {
    fn forward(&self, input: Tensor<3>, lengths: &[usize]) -> (Tensor<3>, RecurrentState) {
        let [batch, _, _] = input.dims();
        let start = self.forward.zero_state(batch, &input.device());
        let output = match &self.backward {
            None => self
                .forward
                .forward(input.clone(), lengths, Direction::Forward, start),
            Some(backward) => Recurrent::bidirectional(
                &self.forward,
                backward,
                input.clone(),
                lengths,
                [start.clone(), start],
            ),
        };
        let mut states = output.hidden;
        if let Some(norm) = &self.norm {
            states = norm.forward(states);
        }
        if self.residual {
            states = states + input;
        }
        (states, output.last)
    }

    /// Whether the output can be other than zero at padding, as the recurrent states are not: a
    /// norm has a bias, and the input that is added can be anything there.
    fn fills_padding(&self) -> bool {
        self.norm.is_some() || self.residual
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::random;
    use burn::tensor::TensorData;

    #[test]
    fn the_final_state_is_that_at_the_last_token() {
        let device = Device::flex();
        random::seed(6);
        let config = RecurrentEncoderConfig {
            d_hidden: 4,
            dropout: 0.0,
            ..Default::default()
        };
        let input = TensorData::new(random::normal(2 * 5 * 3, 1.0), [2, 5, 3]);
        let output = config
            .init(3, &device)
            .forward(Tensor::from_data(input, &device), &[5, 2]);
        for (row, len) in [(0, 5), (1, 2)] {
            let memory = output.memory.clone().narrow(0, row, 1).squeeze_dim::<2>(0);
            let last = output.final_states[0].hidden.clone().narrow(0, row, 1);
            let forward = memory.clone().narrow(0, len - 1, 1).narrow(1, 0, 4);
            let backward = memory.narrow(0, 0, 1).narrow(1, 4, 4);
            let expected = Tensor::cat(vec![forward, backward], 1);
            assert!(last.all_close(expected, Some(1e-5), Some(1e-6)));
        }
    }

    #[test]
    fn absurd_settings_are_refused() {
        let config = RecurrentEncoderConfig {
            d_hidden: 0,
            ..Default::default()
        };
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains("d_hidden"), "{message}");
    }
}
