use burn::tensor::Tensor;

/// [`linear`](super::linear()) from plain tensor operations.
pub(super) fn linear_reference<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let y = x.matmul(weight.unsqueeze());
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}
