//! Recurrent layers over padded batches.

mod gru;
mod lstm;

use att_core::RecurrentState;
use att_core::ops::last_states;
use burn::module::Module;
use burn::tensor::{Device, Tensor, assert_shape};
use serde::{Deserialize, Serialize};

pub use gru::Gru;
pub use lstm::Lstm;

/// Which recurrent cell a layer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// [`Lstm`].
    #[default]
    Lstm,
    /// [`Gru`].
    Gru,
}

impl CellKind {
    /// A layer with fresh weights.
    pub fn init(self, d_input: usize, d_hidden: usize, device: &Device) -> Recurrent {
        match self {
            Self::Lstm => Recurrent::Lstm(Lstm::new(d_input, d_hidden, device)),
            Self::Gru => Recurrent::Gru(Gru::new(d_input, d_hidden, device)),
        }
    }
}

/// A recurrent layer of either kind.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a model holds a few of them
pub enum Recurrent {
    /// Long short-term memory.
    Lstm(Lstm),
    /// Gated recurrent unit.
    Gru(Gru),
}

/// The states of a [`Recurrent`] layer after each step.
#[derive(Clone, Debug)]
pub struct RecurrentOutput {
    /// Hidden states, `[batch, len, d_hidden]`.
    pub hidden: Tensor<3>,
    /// Cell states of an LSTM, `[batch, len, d_hidden]`.
    pub cell: Option<Tensor<3>>,
}

impl RecurrentOutput {
    /// The state at the last real position of each row.
    ///
    /// # Panics
    ///
    /// If `lengths` does not name one length of at most `len` a row.
    pub fn last(&self, lengths: &[usize]) -> RecurrentState {
        RecurrentState {
            hidden: last_states(self.hidden.clone(), lengths),
            cell: self.cell.clone().map(|cell| last_states(cell, lengths)),
        }
    }
}

impl Recurrent {
    /// The states over a sequence that starts from `state`.
    ///
    /// - `input`: `[batch, len, d_input]`, `len >= 1`
    /// - `state`: of `[batch, d_hidden]`
    ///
    /// Padding at the end of a row leaves the states before it as they are.
    ///
    /// # Panics
    ///
    /// If the shapes disagree, or the cell state of an LSTM is missing.
    pub fn forward(&self, input: Tensor<3>, state: RecurrentState) -> RecurrentOutput {
        match self {
            Self::Lstm(lstm) => {
                let cell = state.cell.expect("the state of an LSTM has a cell");
                let states = lstm.forward(input, state.hidden, cell);
                RecurrentOutput {
                    hidden: states.hidden,
                    cell: Some(states.cell),
                }
            }
            Self::Gru(gru) => RecurrentOutput {
                hidden: gru.forward(input, state.hidden),
                cell: None,
            },
        }
    }

    /// One step of [`forward`](Self::forward): `input` is `[batch, d_input]`.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn step(&self, input: Tensor<2>, state: RecurrentState) -> RecurrentState {
        let [batch, _] = input.dims();
        let output = self.forward(input.unsqueeze_dim(1), state);
        assert_shape!(output.hidden, [batch, 1, _]);
        RecurrentState {
            hidden: output.hidden.squeeze_dim(1),
            cell: output.cell.map(|cell| cell.squeeze_dim(1)),
        }
    }

    /// Where a sequence starts when nothing is known: zeros of `[batch, d_hidden]`.
    pub fn zero_state(&self, batch: usize, device: &Device) -> RecurrentState {
        let zeros = Tensor::zeros([batch, self.d_hidden()], device);
        RecurrentState {
            cell: matches!(self, Self::Lstm(_)).then(|| zeros.clone()),
            hidden: zeros,
        }
    }

    /// Size of the hidden state.
    pub fn d_hidden(&self) -> usize {
        match self {
            Self::Lstm(lstm) => lstm.recurrent.shape()[0],
            Self::Gru(gru) => gru.recurrent.shape()[0],
        }
    }

    /// Size of the input.
    pub fn d_input(&self) -> usize {
        match self {
            Self::Lstm(lstm) => lstm.input.weight.shape()[0],
            Self::Gru(gru) => gru.input.weight.shape()[0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::random;
    use burn::tensor::TensorData;

    const KINDS: [CellKind; 2] = [CellKind::Lstm, CellKind::Gru];

    fn input(shape: [usize; 3], device: &Device) -> Tensor<3> {
        let data = random::normal(shape.iter().product(), 1.0);
        Tensor::from_data(TensorData::new(data, shape), device)
    }

    fn close<const D: usize>(a: Tensor<D>, b: Tensor<D>) {
        assert!(a.all_close(b, Some(1e-5), Some(1e-6)));
    }

    #[test]
    fn steps_equal_the_whole_sequence() {
        let device = Device::flex();
        for kind in KINDS {
            random::seed(1);
            let layer = kind.init(3, 4, &device);
            assert_eq!((layer.d_input(), layer.d_hidden()), (3, 4));
            let input = input([2, 5, 3], &device);
            let whole = layer.forward(input.clone(), layer.zero_state(2, &device));
            let mut state = layer.zero_state(2, &device);
            for t in 0..5 {
                state = layer.step(input.clone().narrow(1, t, 1).squeeze_dim(1), state);
                let expected = whole.hidden.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
                close(state.hidden.clone(), expected);
            }
            let last = whole.last(&[5, 5]);
            close(state.hidden, last.hidden);
            assert_eq!(state.cell.is_some(), last.cell.is_some());
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_padding_or_on_other_rows() {
        let device = Device::flex();
        for kind in KINDS {
            random::seed(2);
            let layer = kind.init(3, 4, &device);
            let input = input([3, 6, 3], &device);
            let batch = layer.forward(input.clone(), layer.zero_state(3, &device));
            let lengths = [2, 6, 1];
            let last = batch.last(&lengths);
            for (row, len) in lengths.into_iter().enumerate() {
                let alone = input.clone().narrow(0, row, 1).narrow(1, 0, len);
                let alone = layer.forward(alone, layer.zero_state(1, &device));
                close(
                    alone.last(&[len]).hidden,
                    last.hidden.clone().narrow(0, row, 1),
                );
            }
        }
    }
}
