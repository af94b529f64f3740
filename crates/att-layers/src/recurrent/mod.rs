//! Recurrent layers over padded batches.

mod gru;
mod lstm;

use std::ops::Range;

use att_core::RecurrentState;
use att_core::ops::{self, Direction, GruArguments, LstmArguments, RecurrentStates};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::Linear;

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

impl Recurrent {
    /// The states over a padded batch that starts from `state`.
    ///
    /// - `input`: `[batch, len, d_input]`
    /// - `lengths`: how many positions of each row are real, not all 0
    /// - `state`: of `[batch, d_hidden]`
    ///
    /// What stands at padding does not matter.
    ///
    /// # Panics
    ///
    /// If the shapes disagree, `lengths` does not name one length of at most `len` a row or all
    /// are zero, or the cell state of an LSTM is missing.
    pub fn forward(
        &self,
        input: Tensor<3>,
        lengths: &[usize],
        direction: Direction,
        state: RecurrentState,
    ) -> RecurrentStates {
        match self {
            Self::Lstm(lstm) => {
                let arguments = lstm.arguments(input, state.hidden, cell_of(state.cell));
                ops::lstm(arguments, direction, lengths)
            }
            Self::Gru(gru) => ops::gru(gru.arguments(input, state.hidden), direction, lengths),
        }
    }

    /// The states over a padded batch, in the forward direction, whose inputs `[x; z]` share a z in each
    /// row: that one is projected before, and once for all steps.
    ///
    /// ```text
    /// [x; z] W_x = x W_x[..d_x] + z W_x[d_x..]
    /// ```
    ///
    /// - `input`: x, `[batch, len, d_x]`
    /// - `projected`: `z W_x[d_x..]`, made with [`input_weight`](Self::input_weight),
    ///   `[batch, gates * d_hidden]`
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn forward_projected(
        &self,
        input: Tensor<3>,
        projected: Tensor<2>,
        lengths: &[usize],
        state: RecurrentState,
    ) -> RecurrentStates {
        let [_, _, d_x] = input.dims();
        let input_weight = self.input_weight(0..d_x);
        let input_bias = projected + bias_of_all_rows(self.input());
        match self {
            Self::Lstm(lstm) => {
                let arguments = LstmArguments {
                    input_weight,
                    input_bias,
                    ..lstm.arguments(input, state.hidden, cell_of(state.cell))
                };
                ops::lstm(arguments, Direction::Forward, lengths)
            }
            Self::Gru(gru) => {
                let arguments = GruArguments {
                    input_weight,
                    input_bias,
                    ..gru.arguments(input, state.hidden)
                };
                ops::gru(arguments, Direction::Forward, lengths)
            }
        }
    }

    /// The rows of W_x that meet some numbers of the input, `[rows, gates * d_hidden]`.
    pub fn input_weight(&self, rows: Range<usize>) -> Tensor<2> {
        self.input().rows(rows)
    }

    fn input(&self) -> &Linear {
        match self {
            Self::Lstm(lstm) => &lstm.input,
            Self::Gru(gru) => &gru.input,
        }
    }

    /// Two layers over the same input, `forward` reading it forwards and `backward` backwards, at
    /// the same time. Arguments as in [`forward`](Self::forward), with the states from which the
    /// two start.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward), and if the layers are of different kinds.
    pub fn bidirectional(
        forward: &Self,
        backward: &Self,
        input: Tensor<3>,
        lengths: &[usize],
        states: [RecurrentState; 2],
    ) -> RecurrentStates {
        let [start, end] = states;
        match (forward, backward) {
            (Self::Lstm(forward), Self::Lstm(backward)) => ops::bidirectional_lstm(
                forward.arguments(input.clone(), start.hidden, cell_of(start.cell)),
                backward.arguments(input, end.hidden, cell_of(end.cell)),
                lengths,
            ),
            (Self::Gru(forward), Self::Gru(backward)) => ops::bidirectional_gru(
                forward.arguments(input.clone(), start.hidden),
                backward.arguments(input, end.hidden),
                lengths,
            ),
            _ => panic!("both directions have the same kind of cell"),
        }
    }

    /// One step of [`forward`](Self::forward): `input` is `[batch, d_input]`.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn step(&self, input: Tensor<2>, state: RecurrentState) -> RecurrentState {
        let [batch, _] = input.dims();
        let lengths = vec![1; batch];
        self.forward(input.unsqueeze_dim(1), &lengths, Direction::Forward, state)
            .last
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
        self.input().weight.shape()[0]
    }
}

/// b of an input projection as the operations take it, `[1, gates * d_hidden]`.
fn bias_of_all_rows(input: &Linear) -> Tensor<2> {
    let bias = input.bias.as_ref();
    bias.expect("made with one").val().unsqueeze()
}

fn cell_of(cell: Option<Tensor<2>>) -> Tensor<2> {
    cell.expect("the state of an LSTM has a cell")
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
            let start = layer.zero_state(2, &device);
            let whole = layer.forward(input.clone(), &[5, 5], Direction::Forward, start);
            let mut state = layer.zero_state(2, &device);
            for t in 0..5 {
                state = layer.step(input.clone().narrow(1, t, 1).squeeze_dim(1), state);
                let expected = whole.hidden.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
                close(state.hidden.clone(), expected);
            }
            close(state.hidden, whole.last.hidden);
            match (state.cell, whole.last.cell) {
                (Some(cell), Some(last)) => close(cell, last),
                (cell, last) => assert!(cell.is_none() && last.is_none()),
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_padding_or_on_other_rows() {
        let device = Device::flex();
        for kind in KINDS {
            for direction in [Direction::Forward, Direction::Backward] {
                random::seed(2);
                let layer = kind.init(3, 4, &device);
                let input = input([3, 6, 3], &device);
                let lengths = [2, 6, 1];
                let start = layer.zero_state(3, &device);
                let batch = layer.forward(input.clone(), &lengths, direction, start);
                for (row, len) in lengths.into_iter().enumerate() {
                    let alone = input.clone().narrow(0, row, 1).narrow(1, 0, len);
                    let start = layer.zero_state(1, &device);
                    let alone = layer.forward(alone, &[len], direction, start);
                    close(
                        alone.last.hidden,
                        batch.last.hidden.clone().narrow(0, row, 1),
                    );
                    let states = batch.hidden.clone().narrow(0, row, 1);
                    close(alone.hidden, states.clone().narrow(1, 0, len));
                    if len < 6 {
                        let padding = states.narrow(1, len, 6 - len).abs().max();
                        assert_eq!(padding.into_scalar::<f32>(), 0.0);
                    }
                }
            }
        }
    }

    #[test]
    fn what_all_steps_of_a_row_read_can_be_projected_before() {
        let device = Device::flex();
        for kind in KINDS {
            random::seed(4);
            let layer = kind.init(5, 4, &device);
            let (x, z) = (input([2, 3, 3], &device), input([2, 1, 2], &device));
            let lengths = [3, 2];
            let start = || layer.zero_state(2, &device);
            let whole = Tensor::cat(vec![x.clone(), z.clone().repeat_dim(1, 3)], 2);
            let whole = layer.forward(whole, &lengths, Direction::Forward, start());
            let projected = z.squeeze_dim::<2>(1).matmul(layer.input_weight(3..5));
            let parts = layer.forward_projected(x, projected, &lengths, start());
            close(parts.hidden, whole.hidden);
            close(parts.last.hidden, whole.last.hidden);
        }
    }

    #[test]
    fn both_directions_at_once_equal_one_after_the_other() {
        let device = Device::flex();
        for kind in KINDS {
            random::seed(3);
            let (forward, backward) = (kind.init(3, 4, &device), kind.init(3, 4, &device));
            let input = input([3, 6, 3], &device);
            let lengths = [2, 6, 1];
            let start = || forward.zero_state(3, &device);
            let both = Recurrent::bidirectional(
                &forward,
                &backward,
                input.clone(),
                &lengths,
                [start(), start()],
            );
            let forward = forward.forward(input.clone(), &lengths, Direction::Forward, start());
            let backward = backward.forward(input, &lengths, Direction::Backward, start());
            close(
                both.hidden,
                Tensor::cat(vec![forward.hidden, backward.hidden], 2),
            );
            let last = |f: Tensor<2>, b: Tensor<2>| Tensor::cat(vec![f, b], 1);
            close(
                both.last.hidden,
                last(forward.last.hidden, backward.last.hidden),
            );
            let cells = forward.last.cell.zip(backward.last.cell);
            assert_eq!(both.last.cell.is_some(), cells.is_some());
            if let (Some(both), Some((forward, backward))) = (both.last.cell, cells) {
                close(both, last(forward, backward));
            }
        }
    }
}
