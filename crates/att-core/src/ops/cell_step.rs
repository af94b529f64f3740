use burn::tensor::Tensor;

use super::{Direction, GruArguments, LstmArguments, gru, lstm};
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
/// If the shapes disagree, or there is neither cell nor bias.
pub(super) fn cell_step(
    x: Tensor<3>,
    state: &mut RecurrentState,
    recurrent: &Tensor<2>,
    bias: Option<&Tensor<1>>,
) -> Tensor<3> {
    let [batch, _, _] = x.dims();
    let lengths = vec![1; batch];
    let (inputs, recurrent, hidden) = (x, recurrent.clone(), state.hidden.clone());
    let now = match state.cell.take() {
        Some(cell) => {
            let arguments = LstmArguments {
                inputs,
                recurrent,
                hidden,
                cell,
            };
            let now = lstm(arguments, Direction::Forward, &lengths);
            state.cell = Some(now.cell.squeeze_dim(1));
            now.hidden
        }
        None => {
            let arguments = GruArguments {
                inputs,
                recurrent,
                bias: bias.expect("a GRU has a recurrent bias").clone(),
                hidden,
            };
            gru(arguments, Direction::Forward, &lengths)
        }
    };
    state.hidden = now.clone().squeeze_dim(1);
    now
}
