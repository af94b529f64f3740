use burn::tensor::Tensor;

use super::recurrent::{Cell, Direction, Pass, Sequences, all_steps};
use crate::RecurrentState;

/// One step of an LSTM, whose state has a cell, or of a GRU, which has the bias inside its reset
/// gate.
///
/// - `x`: the projected input, `[batch, 1, gates * d_hidden]`
/// - `state`: before the step, and on return after it
/// - returns its hidden state as `[batch, 1, d_hidden]`
///
/// # Panics
///
/// If the shapes disagree.
pub(super) fn cell_step(
    x: Tensor<3>,
    state: &mut RecurrentState,
    recurrent: &Tensor<2>,
    bias: Option<&Tensor<1>>,
) -> Tensor<3> {
    let [batch, len, _] = x.dims();
    let sequences = Sequences::new(&vec![1; batch], [batch, len], &[Direction::Forward]);
    let (cell, extra) = match state.cell.take() {
        Some(cell) => (Cell::Lstm, cell.into_dispatch()),
        None => {
            let bias = bias.expect("a GRU has a recurrent bias");
            (Cell::Gru, bias.clone().into_dispatch())
        }
    };
    let pass = Pass {
        inputs: x.into_dispatch(),
        recurrent: recurrent.clone().into_dispatch(),
        hidden: state.hidden.clone().into_dispatch(),
        extra,
    };
    let mut now = all_steps(cell, vec![pass], sequences).into_iter();
    let hidden = now.next().expect("each cell has a hidden state");
    *state = RecurrentState {
        hidden: hidden.clone().squeeze_dim(1),
        cell: now.next().map(|cell| cell.squeeze_dim(1)),
    };
    hidden
}
