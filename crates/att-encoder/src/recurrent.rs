use att_core::ops::Direction;
use att_core::{EncoderOutput, MemorySpec, RecurrentState, Result, check, mask};
use att_layers::{CellKind, Dropout, LayerNorm, Recurrent};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::encoder::{assert_lengths, without_padding};

/// How the states of both directions become one; in TOML `join = "concat"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// `[forward; backward]`.
    #[default]
    Concat,
    /// `forward + backward`: no larger than one of them.
    Sum,
}

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
    /// Whether layers also read the source backwards; true unless told.
    pub bidirectional: bool,
    /// How many layers, from the bottom, do so: 1 in Wu et al. 2016. 0, as unless told, is all; not
    /// read unless `bidirectional`.
    pub bidirectional_layers: usize,
    /// How both directions become one: `"concat"` (unless told) or `"sum"`.
    pub join: JoinKind,
    /// Dropout on the output of each layer; 0.1 unless told.
    pub dropout: f64,
    /// Whether all steps of a sequence have the same mask of dropout (Gal and Ghahramani 2016); false unless
    /// told.
    pub variational_dropout: bool,
    /// Whether a layer adds its input to its output where the sizes agree (Wu et al. 2016);
    /// false unless told.
    pub residual: bool,
    /// The lowest layer that does so, counted from 1: 3 in Wu et al. 2016. 1 unless told; not read
    /// unless `residual`.
    pub residual_from: usize,
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
            bidirectional_layers: 0,
            join: JoinKind::Concat,
            dropout: 0.1,
            variational_dropout: false,
            residual: false,
            residual_from: 1,
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
        check::size("residual_from", self.residual_from)?;
        check::probability("dropout", self.dropout)
    }

    /// Whether the layer of this number, from 0, reads both ways.
    fn reads_both_ways(&self, index: usize) -> bool {
        let layers = self.bidirectional_layers;
        self.bidirectional && (layers == 0 || index < layers)
    }

    /// Size of the states of the layer of this number, from 0.
    fn d_states(&self, index: usize) -> usize {
        if self.reads_both_ways(index) && self.join == JoinKind::Concat {
            2 * self.d_hidden
        } else {
            self.d_hidden
        }
    }

    /// The sizes in the output.
    pub fn memory_spec(&self) -> MemorySpec {
        let d_memory = self.d_states(self.layers - 1);
        let of_that_size = |&index: &usize| self.d_states(index) == d_memory;
        MemorySpec {
            d_memory,
            n_final_states: (0..self.layers).filter(of_that_size).count(),
            d_final: d_memory,
            final_cells: self.cell == CellKind::Lstm,
        }
    }

    /// The layer of this number, from 0, over states of `d_input`, with fresh weights.
    pub(crate) fn init_layer(
        &self,
        index: usize,
        d_input: usize,
        device: &Device,
    ) -> RecurrentEncoderLayer {
        let direction = || self.cell.init(d_input, self.d_hidden, device);
        let d_states = self.d_states(index);
        RecurrentEncoderLayer {
            forward: direction(),
            backward: self.reads_both_ways(index).then(direction),
            norm: self.layer_norm.then(|| LayerNorm::new(d_states, device)),
            residual: self.residual && index + 1 >= self.residual_from && d_input == d_states,
            join: self.join,
        }
    }

    /// An encoder of vectors of `d_input`, with fresh weights.
    pub fn init(&self, d_input: usize, device: &Device) -> RecurrentEncoder {
        let layer = |index: usize| {
            let d_input = if index == 0 {
                d_input
            } else {
                self.d_states(index - 1)
            };
            self.init_layer(index, d_input, device)
        };
        RecurrentEncoder {
            layers: (0..self.layers).map(layer).collect(),
            dropout: Dropout::new(self.dropout).variational(self.variational_dropout),
        }
    }
}

/// Recurrent layers over the source, in one or both directions (Schuster and Paliwal 1997;
/// Bahdanau et al. 2015, sec. 3.2): `memory[s] = [forward state at s; backward state at s]`, or their
/// sum.
///
/// The deep encoder of Wu et al. 2016 (sec. 3) has eight layers, of which the lowest alone reads both
/// ways, and residual connections from the third on. Where the lower layers so have larger states
/// than the top one, final states are those of the layers of the top's size.
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
    /// How both directions become one.
    #[module(skip)]
    pub join: JoinKind,
}

/// What a [`RecurrentEncoderLayer`] computes.
pub(crate) struct LayerOutput {
    /// `[batch, len, d_states]`
    pub states: Tensor<3>,
    /// At each row's own end, before norm and residual, `[batch, d_states]`.
    pub last: RecurrentState,
}

impl RecurrentEncoder {
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
        let mut states = embedded;
        let mut final_states = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let output = layer.forward(states, lengths);
            states = self.dropout.forward(output.states);
            final_states.push(output.last);
        }
        let [_, _, d_memory] = states.dims();
        final_states.retain(|state| state.hidden.dims()[1] == d_memory);
        let src_pad_mask = mask::src_pad_mask(lengths, src_len, &device);
        if self.layers.last().is_some_and(|top| top.fills_padding()) {
            states = without_padding(states, &src_pad_mask);
        }
        EncoderOutput {
            memory: states,
            src_pad_mask,
            final_states,
        }
    }
}

impl RecurrentEncoderLayer {
    /// `input` is `[batch, len, d_input]`.
    pub(crate) fn forward(&self, input: Tensor<3>, lengths: &[usize]) -> LayerOutput {
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
        let (mut states, mut last) = (output.hidden, output.last);
        if self.backward.is_some() && self.join == JoinKind::Sum {
            states = sum_of_halves(states);
            last.hidden = sum_of_halves(last.hidden);
            last.cell = last.cell.map(sum_of_halves);
        }
        if let Some(norm) = &self.norm {
            states = norm.forward(states);
        }
        if self.residual {
            states = states + input;
        }
        LayerOutput { states, last }
    }

    /// Whether the output can be other than zero at padding, as the recurrent states are not: a
    /// norm has a bias, and the input that is added can be anything there.
    fn fills_padding(&self) -> bool {
        self.norm.is_some() || self.residual
    }
}

/// `[.., 2 * d]` to `[.., d]`.
fn sum_of_halves<const D: usize>(states: Tensor<D>) -> Tensor<D> {
    let d = states.dims()[D - 1] / 2;
    states.clone().narrow(D - 1, 0, d) + states.narrow(D - 1, d, d)
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
    fn directions_join_by_sum() {
        let device = Device::flex();
        let config = RecurrentEncoderConfig {
            d_hidden: 4,
            dropout: 0.0,
            ..Default::default()
        };
        let sum = RecurrentEncoderConfig {
            join: JoinKind::Sum,
            ..config.clone()
        };
        let input = || {
            random::seed(9);
            let input = TensorData::new(random::normal(2 * 5 * 3, 1.0), [2, 5, 3]);
            Tensor::<3>::from_data(input, &device)
        };
        // The same weights.
        let run = |config: &RecurrentEncoderConfig| {
            let input = input();
            config.init(3, &device).forward(input, &[5, 2])
        };
        let (concat, sum) = (run(&config), run(&sum));
        let expected = sum_of_halves(concat.memory);
        assert!(sum.memory.all_close(expected, None, None));
        let expected = sum_of_halves(concat.final_states[0].hidden.clone());
        assert!(
            sum.final_states[0]
                .hidden
                .clone()
                .all_close(expected, None, None)
        );
    }

    #[test]
    fn residuals_begin_and_both_ways_end_where_told() {
        let config = RecurrentEncoderConfig {
            d_hidden: 4,
            layers: 4,
            bidirectional_layers: 1,
            residual: true,
            residual_from: 3,
            ..Default::default()
        };
        let encoder = config.init(8, &Device::flex());
        let layers = encoder.layers.iter();
        let both: Vec<bool> = layers
            .clone()
            .map(|layer| layer.backward.is_some())
            .collect();
        let residual: Vec<bool> = layers.map(|layer| layer.residual).collect();
        assert_eq!(both, [true, false, false, false]);
        assert_eq!(residual, [false, false, true, true]);
        // The lowest layer's final state is larger than the others.
        assert_eq!(config.memory_spec().n_final_states, 3);
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
