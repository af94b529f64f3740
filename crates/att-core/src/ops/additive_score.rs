use burn::tensor::{Tensor, assert_shape};

/// Additive attention scores (Bahdanau et al. 2015, appendix A.1.2), the projections done:
/// `scores[b, t, s] = sum_a v[a] tanh(query[b, t, a] + keys[b, s, a])`.
///
/// - `query`: `[batch, tgt_len, d_attn]`
/// - `keys`: `[batch, src_len, d_attn]`
/// - `v`: `[d_attn]`
/// - returns the scores, `[batch, tgt_len, src_len]`
///
/// # Panics
///
/// If the shapes disagree.
pub fn additive_score(query: Tensor<3>, keys: Tensor<3>, v: Tensor<1>) -> Tensor<3> {
    let [batch, tgt_len, d_attn] = query.dims();
    let [_, src_len, _] = keys.dims();
    assert_shape!(keys, [batch, src_len, d_attn]);
    assert_shape!(v, [d_attn]);
    let sum = query.unsqueeze_dim::<4>(2) + keys.unsqueeze_dim::<4>(1);
    let rows = sum.tanh().reshape([batch * tgt_len * src_len, d_attn]);
    rows.matmul(v.unsqueeze_dim(1))
        .reshape([batch, tgt_len, src_len])
}
