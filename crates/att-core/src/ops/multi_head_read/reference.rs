use burn::tensor::{Bool, Tensor};

use super::{Dims, MultiHeadInputs, MultiHeadRead};
use crate::mask::causal_mask;
use crate::ops::masked_softmax;

/// [`multi_head_read`](super::multi_head_read()) from plain tensor operations: the oracle that the
/// fused one is tested against, and what runs on GPUs.
///
/// # Panics
///
/// If the shapes disagree.
pub fn multi_head_read_reference(inputs: MultiHeadInputs) -> MultiHeadRead {
    let dims = inputs.dims();
    let Dims {
        batch,
        tgt_len,
        src_len,
        n_heads,
        ..
    } = dims;
    let device = inputs.query.device();
    let query = heads(inputs.query, n_heads) * dims.scale();
    let [keys, values] = [inputs.keys, inputs.values].map(|tensor| for_each_query(tensor, dims));
    let shape = [batch, n_heads, tgt_len, src_len];
    let mut mask = match inputs.mask {
        Some(mask) => mask.reshape([batch, 1, 1, src_len]).expand(shape),
        None => Tensor::<4, Bool>::full(shape, false, &device),
    };
    if inputs.causal {
        let future = causal_mask(src_len, &device).narrow(0, src_len - tgt_len, tgt_len);
        mask = mask.bool_or(future.reshape([1, 1, tgt_len, src_len]).expand(shape));
    }
    let weights = masked_softmax(query.matmul(keys.swap_dims(2, 3)), mask);
    let kept = match inputs.dropout {
        Some(factors) => weights.clone() * factors,
        None => weights.clone(),
    };
    let context = kept.matmul(values).swap_dims(1, 2);
    MultiHeadRead {
        context: context.reshape([batch, tgt_len, dims.d_query()]),
        weights,
    }
}

/// `[batch, len, n * d_head]` to `[batch, n, len, d_head]`.
fn heads(tensor: Tensor<3>, n: usize) -> Tensor<4> {
    let [batch, len, d] = tensor.dims();
    tensor.reshape([batch, len, n, d / n]).swap_dims(1, 2)
}

/// Keys or values, once for each head of queries that they serve.
fn for_each_query(tensor: Tensor<3>, dims: Dims) -> Tensor<4> {
    let Dims {
        batch,
        src_len,
        n_heads,
        n_kv_heads,
        d_head,
        ..
    } = dims;
    let group = n_heads / n_kv_heads;
    heads(tensor, n_kv_heads)
        .unsqueeze_dim::<5>(2)
        .expand([batch, n_kv_heads, group, src_len, d_head])
        .reshape([batch, n_heads, src_len, d_head])
}
