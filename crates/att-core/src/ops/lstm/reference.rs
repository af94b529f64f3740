use burn::tensor::{Tensor, activation::sigmoid};

use super::LstmArguments;
use crate::RecurrentState;
use crate::ops::padded::{reverse_padded, zero_padding};
use crate::ops::recurrent::{Direction, RecurrentStates, last_of};

/// [`lstm`](super::lstm()) from plain tensor operations: the oracle that the fused one is tested
/// against, and what it is compared with in the benches. Unlike the fused one it reads padding,
/// which must hold finite numbers.
///
/// # Panics
///
/// If the shapes disagree.
pub fn lstm_reference(
    arguments: LstmArguments,
    direction: Direction,
    lengths: &[usize],
) -> RecurrentStates {
    let LstmArguments {
        input,
        input_weight,
        input_bias,
        recurrent_weight,
        mut hidden,
        mut cell,
    } = arguments;
    let turned = |states: Tensor<3>| match direction {
        Direction::Forward => states,
        Direction::Backward => reverse_padded(states, lengths),
    };
    let inputs = turned(input).matmul(input_weight.unsqueeze()) + input_bias.unsqueeze_dim(1);
    let [_, len, _] = inputs.dims();
    let [_, d] = hidden.dims();
    let (mut hiddens, mut cells) = (Vec::with_capacity(len), Vec::with_capacity(len));
    for t in 0..len {
        let x = inputs.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
        let z = x + hidden.matmul(recurrent_weight.clone());
        let gate = |k: usize| z.clone().narrow(1, k * d, d);
        cell = sigmoid(gate(1)) * cell + sigmoid(gate(0)) * gate(2).tanh();
        hidden = sigmoid(gate(3)) * cell.clone().tanh();
        hiddens.push(hidden.clone());
        cells.push(cell.clone());
    }
    let finished = |states| turned(zero_padding(Tensor::stack(states, 1), lengths));
    let hidden = finished(hiddens);
    let last = |states| last_of(states, &[direction], lengths);
    RecurrentStates {
        last: RecurrentState {
            hidden: last(hidden.clone()),
            cell: Some(last(finished(cells))),
        },
        hidden,
    }
}
