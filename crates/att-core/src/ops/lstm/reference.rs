use burn::tensor::{Tensor, activation::sigmoid};

use super::LstmStates;

/// [`lstm`](super::lstm()) from plain tensor operations: the oracle that the fused one is tested
/// against, and what it is compared with in the benches.
///
/// # Panics
///
/// If the shapes disagree.
pub fn lstm_reference(
    inputs: Tensor<3>,
    recurrent: Tensor<2>,
    mut hidden: Tensor<2>,
    mut cell: Tensor<2>,
) -> LstmStates {
    let [_, len, _] = inputs.dims();
    let [_, d] = hidden.dims();
    let (mut hiddens, mut cells) = (Vec::with_capacity(len), Vec::with_capacity(len));
    for t in 0..len {
        let z =
            inputs.clone().narrow(1, t, 1).squeeze_dim::<2>(1) + hidden.matmul(recurrent.clone());
        let gate = |k: usize| z.clone().narrow(1, k * d, d);
        cell = sigmoid(gate(1)) * cell + sigmoid(gate(0)) * gate(2).tanh();
        hidden = sigmoid(gate(3)) * cell.clone().tanh();
        hiddens.push(hidden.clone());
        cells.push(cell.clone());
    }
    LstmStates {
        hidden: Tensor::stack(hiddens, 1),
        cell: Tensor::stack(cells, 1),
    }
}
