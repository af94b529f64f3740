use std::ops::Range;

use att_core::ops::Direction;
use att_core::{RecurrentState, Result, check};
use att_layers::{CellKind, Dropout, Recurrent};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Configuration of a [`RecurrentStack`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecurrentStackConfig {
    /// `"lstm"` (unless told) or `"gru"`.
    pub cell: CellKind,
    /// Size of the hidden state; 512 unless told.
    pub d_hidden: usize,
    /// Number of layers; 1 unless told.
    pub layers: usize,
    /// Dropout between layers; 0.1 unless told.
    pub dropout: f64,
    /// Whether all steps of a sequence have the same mask of dropout, between these layers and on what the
    /// decoder makes of them (Gal and Ghahramani 2016); false unless told.
    pub variational_dropout: bool,
    /// Whether a layer adds its input to its output where the sizes agree (Wu et al. 2016);
    /// false unless told.
    pub residual: bool,
    /// The lowest layer that does so, counted from 1: 3 in Wu et al. 2016. 1 unless told; not read
    /// unless `residual`.
    pub residual_from: usize,
}

impl Default for RecurrentStackConfig {
    fn default() -> Self {
        Self {
            cell: CellKind::Lstm,
            d_hidden: 512,
            layers: 1,
            dropout: 0.1,
            variational_dropout: false,
            residual: false,
            residual_from: 1,
        }
    }
}

impl RecurrentStackConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("d_hidden", self.d_hidden)?;
        check::size("layers", self.layers)?;
        check::size("residual_from", self.residual_from)?;
        check::probability("dropout", self.dropout)
    }

    /// Layers with fresh weights.
    pub fn init(&self, d_input: usize, device: &Device) -> RecurrentStack {
        self.init_with_context(d_input, 0, device)
    }

    /// Layers with fresh weights, of which those above the first also read a context of `d_context`.
    pub(crate) fn init_with_context(
        &self,
        d_input: usize,
        d_context: usize,
        device: &Device,
    ) -> RecurrentStack {
        let layer = |index: usize| {
            let d_input = if index == 0 {
                d_input
            } else {
                self.d_hidden + d_context
            };
            self.cell.init(d_input, self.d_hidden, device)
        };
        RecurrentStack {
            layers: (0..self.layers).map(layer).collect(),
            dropout: Dropout::new(self.dropout).variational(self.variational_dropout),
            residual_from: self.residual.then(|| self.residual_from - 1),
        }
    }
}

/// A decoder's recurrent layers, one upon the other.
#[derive(Module, Debug)]
pub struct RecurrentStack {
    /// From the bottom.
    pub layers: Vec<Recurrent>,
    /// Between layers.
    pub dropout: Dropout,
    /// The lowest layer, counted from 0, that adds its input (but no context) to its output where
    /// the sizes agree; none where no layer does.
    #[module(skip)]
    pub residual_from: Option<usize>,
}

/// What some layers of a [`RecurrentStack`] read.
pub(crate) struct StackInput<'a> {
    /// Of the lowest of them, `[batch, len, d_input]`.
    pub input: Tensor<3>,
    /// What the projection of the lowest input gets from vectors that are not in `input`, which then meets
    /// the first rows of the weights alone; of each row, `[batch, gates * d_hidden]`.
    pub projected: Option<Tensor<2>>,
    /// What joins the input of those above the first, `[batch, len, d_context]`.
    pub context: Option<Tensor<3>>,
    /// How many steps of each row are real.
    pub lengths: &'a [usize],
    /// The masks of variational dropout below each layer but the first, where they are not to be new
    /// ones.
    pub masks: &'a [Option<Tensor<3>>],
}

/// What a [`RecurrentStack`] computes.
pub(crate) struct StackOutput {
    /// Of the top layer after each step, `[batch, len, d_hidden]`.
    pub hidden: Tensor<3>,
    /// Of each layer after each row's last step.
    pub states: Vec<RecurrentState>,
}

/// The weights of a [`RecurrentStack`] that is one layer and nothing else.
pub(crate) struct OnlyLayer {
    /// `[d_input, gates * d_hidden]`
    pub input_weight: Tensor<2>,
    /// `[gates * d_hidden]`
    pub input_bias: Tensor<1>,
    /// `[d_hidden, gates * d_hidden]`
    pub recurrent_weight: Tensor<2>,
    /// Inside a GRU's reset gate, `[d_hidden]`; none of an LSTM.
    pub recurrent_bias: Option<Tensor<1>>,
}

impl RecurrentStack {
    /// The masks of variational dropout below each layer but the first, `[batch, 1, d_hidden]`.
    pub(crate) fn masks(&self, batch: usize, device: &Device) -> Vec<Option<Tensor<3>>> {
        let d_hidden = self.layers.iter().skip(1).map(Recurrent::d_hidden);
        let mask = |d| self.dropout.sequence_mask(batch, d, device);
        d_hidden.map(mask).collect()
    }

    /// Whether the first layer adds its input to its output.
    pub(crate) fn first_adds_its_input(&self) -> bool {
        let first = &self.layers[0];
        self.residual_from == Some(0) && first.d_input() == first.d_hidden()
    }

    /// The weights, for operations that have the layer within; none where there are more layers, or
    /// the layer adds its input to its output.
    pub(crate) fn only_layer(&self) -> Option<OnlyLayer> {
        let [layer] = &self.layers[..] else {
            return None;
        };
        if self.first_adds_its_input() {
            return None;
        }
        let (input, recurrent_weight, recurrent_bias) = match layer {
            Recurrent::Lstm(lstm) => (&lstm.input, lstm.recurrent.val(), None),
            Recurrent::Gru(gru) => (
                &gru.input,
                gru.recurrent.val(),
                Some(gru.recurrent_bias.val()),
            ),
        };
        Some(OnlyLayer {
            input_weight: input.weight.val(),
            input_bias: input.bias.as_ref()?.val(),
            recurrent_weight,
            recurrent_bias,
        })
    }

    /// All steps of `input`, `[batch, len, d_input]`, of which `lengths` are real; a single step is
    /// `len == 1`.
    ///
    /// - `masks`: those of variational dropout, where they are not to be new ones
    pub(crate) fn forward(
        &self,
        input: Tensor<3>,
        lengths: &[usize],
        states: Vec<RecurrentState>,
        masks: &[Option<Tensor<3>>],
    ) -> StackOutput {
        let input = StackInput {
            input,
            projected: None,
            context: None,
            lengths,
            masks,
        };
        self.forward_layers(0..self.layers.len(), input, states)
    }

    /// [`forward`](Self::forward) through some of the layers, given their states.
    pub(crate) fn forward_layers(
        &self,
        layers: Range<usize>,
        input: StackInput,
        states: Vec<RecurrentState>,
    ) -> StackOutput {
        let StackInput {
            input: mut hidden,
            mut projected,
            context,
            lengths,
            masks,
        } = input;
        let mut last = Vec::with_capacity(states.len());
        for (index, state) in layers.zip(states) {
            let mut input = hidden.clone();
            if index > 0 {
                hidden = match masks.get(index - 1) {
                    Some(Some(mask)) => hidden * mask.clone(),
                    _ => self.dropout.forward(hidden),
                };
                input = match &context {
                    Some(context) => Tensor::cat(vec![hidden.clone(), context.clone()], 2),
                    None => hidden.clone(),
                };
            }
            let layer = &self.layers[index];
            let mut adds = self.residual_from.is_some_and(|from| index >= from);
            let output = match projected.take() {
                Some(projected) => {
                    // The input has another part, which is not here.
                    adds = false;
                    layer.forward_projected(input, projected, lengths, state)
                }
                None => layer.forward(input, lengths, Direction::Forward, state),
            };
            last.push(output.last);
            hidden = if adds && hidden.dims() == output.hidden.dims() {
                output.hidden + hidden
            } else {
                output.hidden
            };
        }
        StackOutput {
            hidden,
            states: last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::random;
    use burn::tensor::TensorData;

    /// Also where a part of the input has the size of the output, to which only whole inputs are added.
    #[test]
    fn a_part_of_the_input_can_be_projected_before() {
        let device = Device::flex();
        random::seed(1);
        let config = RecurrentStackConfig {
            d_hidden: 4,
            layers: 2,
            dropout: 0.0,
            residual: true,
            ..Default::default()
        };
        let stack = config.init(4 + 3, &device);
        let rows = |d: usize| {
            let numbers = TensorData::new(random::normal(2 * d, 1.0), [2, 1, d]);
            Tensor::<3>::from_data(numbers, &device)
        };
        let (x, z) = (rows(4), rows(3));
        let states = || -> Vec<_> {
            let zero = |layer: &Recurrent| layer.zero_state(2, &device);
            stack.layers.iter().map(zero).collect()
        };
        let whole = Tensor::cat(vec![x.clone(), z.clone()], 2);
        let whole = stack.forward(whole, &[1, 1], states(), &[]);
        let of_z = stack.layers[0].input_weight(4..7);
        let input = StackInput {
            input: x,
            projected: Some(z.squeeze_dim::<2>(1).matmul(of_z)),
            context: None,
            lengths: &[1, 1],
            masks: &[],
        };
        let parts = stack.forward_layers(0..2, input, states());
        assert!(parts.hidden.all_close(whole.hidden, Some(1e-5), Some(1e-6)));
    }
}
