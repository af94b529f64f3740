use burn::tensor::{Int, Tensor};

/// [`monotonic_alignment`](super::monotonic_alignment()) from plain tensor operations: the oracle
/// that the kernel is tested against, and what runs on GPUs.
///
/// `a[s] = p[s] sum over k <= s of previous[k] prod over l from k to s - 1 of (1 - p[l])`; the products
/// are exponentials of differences of summed logarithms, none of them above zero.
///
/// # Panics
///
/// If the shapes disagree.
pub fn monotonic_alignment_reference(p: Tensor<3>, previous: Tensor<3>) -> Tensor<3> {
    let [_, _, src_len] = p.dims();
    // A state that surely stops the head lets nothing past, to some 1e-30.
    let pass = (p.clone().neg() + 1.0).clamp_min(1e-30).log();
    let before = pass.clone().cumsum(2) - pass;
    // [batch, tgt_len, s, k]
    let way = before.clone().unsqueeze_dim::<4>(3) - before.unsqueeze_dim::<4>(2);
    let index = Tensor::<1, Int>::arange(0..src_len as i64, &p.device());
    let behind = index
        .clone()
        .unsqueeze_dim::<2>(0)
        .greater(index.unsqueeze_dim(1));
    let way = way
        .mask_fill(behind.clone().unsqueeze::<4>(), 0.0)
        .exp()
        .mask_fill(behind.unsqueeze::<4>(), 0.0);
    let reach = way.matmul(previous.unsqueeze_dim(3)).squeeze_dim::<3>(3);
    p * reach
}
