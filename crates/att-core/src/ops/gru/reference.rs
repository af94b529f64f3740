use burn::tensor::{Tensor, activation::sigmoid};

use super::GruArguments;
use crate::RecurrentState;
use crate::ops::padded::{reverse_padded, zero_padding};
use crate::ops::recurrent::{Direction, RecurrentStates, last_of};

/// [`gru`](super::gru()) from plain tensor operations: the oracle that the fused one is tested
/// against, and what it is compared with in the benches. Unlike the fused one it reads padding,
/// which must hold finite numbers.
///
/// # Panics
///
/// If the shapes disagree.
pub fn gru_reference(
    arguments: GruArguments,
    direction: Direction,
    lengths: &[usize],
) -> RecurrentStates {
    let GruArguments {
        input,
        input_weight,
        input_bias,
        recurrent_weight,
        recurrent_bias: bias,
        mut hidden,
    } = arguments;
    let turned = |states: Tensor<3>| match direction {
        Direction::Forward => states,
        Direction::Backward => reverse_padded(states, lengths),
    };
    let inputs = turned(input).matmul(input_weight.unsqueeze()) + input_bias.unsqueeze_dim(1);
    let [_, len, _] = inputs.dims();
    let [_, d] = hidden.dims();
    let mut states = Vec::with_capacity(len);
    for t in 0..len {
        let x = inputs.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
        let y = hidden.clone().matmul(recurrent_weight.clone());
        let x = |k: usize| x.clone().narrow(1, k * d, d);
        let y = |k: usize| y.clone().narrow(1, k * d, d);
        let r = sigmoid(x(0) + y(0));
        let z = sigmoid(x(1) + y(1));
        let n = (x(2) + r * (y(2) + bias.clone().unsqueeze::<2>())).tanh();
        hidden = n.clone() + z * (hidden - n);
        states.push(hidden.clone());
    }
    let hidden = turned(zero_padding(Tensor::stack(states, 1), lengths));
    RecurrentStates {
        last: RecurrentState {
            hidden: last_of(hidden.clone(), &[direction], lengths),
            cell: None,
        },
        hidden,
    }
}
