use burn::tensor::{Int, Tensor};

/// [`embedding`](super::embedding()) from plain tensor operations: the oracle that the fused one is
/// tested against, and what runs on GPUs.
pub fn embedding_reference(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    burn::tensor::module::embedding(table, ids)
}
