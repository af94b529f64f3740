use burn::tensor::Tensor;

/// [`additive_score`](super::additive_score()) from plain tensor operations: the oracle that the
/// fused one is tested against, and what it is compared with in the benches.
///
/// # Panics
///
/// If the shapes disagree.
pub fn additive_score_reference(query: Tensor<3>, keys: Tensor<3>, v: Tensor<1>) -> Tensor<3> {
    let [batch, tgt_len, d_attn] = query.dims();
    let [_, src_len, _] = keys.dims();
    let sum = query.unsqueeze_dim::<4>(2) + keys.unsqueeze_dim::<4>(1);
    let rows = sum.tanh().reshape([batch * tgt_len * src_len, d_attn]);
    rows.matmul(v.unsqueeze_dim(1))
        .reshape([batch, tgt_len, src_len])
}
