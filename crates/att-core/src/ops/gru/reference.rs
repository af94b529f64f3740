use burn::tensor::{Tensor, activation::sigmoid};

/// [`gru`](super::gru()) from plain tensor operations: the oracle that the fused one is tested
/// against, and what it is compared with in the benches.
///
/// # Panics
///
/// If the shapes disagree.
pub fn gru_reference(
    inputs: Tensor<3>,
    recurrent: Tensor<2>,
    bias: Tensor<1>,
    mut hidden: Tensor<2>,
) -> Tensor<3> {
    let [_, len, _] = inputs.dims();
    let [_, d] = hidden.dims();
    let mut states = Vec::with_capacity(len);
    for t in 0..len {
        let x = inputs.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
        let y = hidden.clone().matmul(recurrent.clone());
        let x = |k: usize| x.clone().narrow(1, k * d, d);
        let y = |k: usize| y.clone().narrow(1, k * d, d);
        let r = sigmoid(x(0) + y(0));
        let z = sigmoid(x(1) + y(1));
        let n = (x(2) + r * (y(2) + bias.clone().unsqueeze::<2>())).tanh();
        hidden = n.clone() + z * (hidden - n);
        states.push(hidden.clone());
    }
    Tensor::stack(states, 1)
}
