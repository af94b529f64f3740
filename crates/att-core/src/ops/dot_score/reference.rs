use burn::tensor::Tensor;

/// [`dot_score`](super::dot_score()) from plain tensor operations: the oracle that the fused one is
/// tested against, and what runs on GPUs.
///
/// # Panics
///
/// If the shapes disagree.
pub fn dot_score_reference(query: Tensor<3>, keys: Tensor<3>, scale: f64) -> Tensor<3> {
    let query = if scale == 1.0 { query } else { query * scale };
    query.matmul(keys.swap_dims(1, 2))
}
