//! Masked softmax and context as one operation.

#[cfg(feature = "cpu")]
mod backward;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "cpu")]
pub(in crate::ops) mod kernel;
mod reference;
#[cfg(test)]
mod tests;

use burn::tensor::{Bool, Tensor, assert_shape};

pub use reference::attention_read_reference;

/// What [`attention_read`] computes.
#[derive(Clone, Debug)]
pub struct AttentionRead {
    /// c: the weighted sums of the values, `[batch, tgt_len, d]`.
    pub context: Tensor<3>,
    /// a: zero where masked, `[batch, tgt_len, src_len]`.
    pub weights: Tensor<3>,
}

/// Reads a memory with scores (Bahdanau et al. 2015, eq. 5 and 6):
///
/// ```text
/// a[b, t] = softmax over the unmasked s of scores[b, t, s]
/// c[b, t] = sum_s a[b, t, s] values[b, s]
/// ```
///
/// - `scores`: `[batch, tgt_len, src_len]`, finite
/// - `values`: `[batch, src_len, d]`
/// - `mask`: true at states that are not read, `[batch, src_len]`; a row that is masked whole has
///   zero weights
///
/// On the CPU backends in f32 this is one pass over each source: the weights take the place of the
/// scores, what lies behind a source's last unmasked state is neither read nor worked on, and
/// sources are shared out between threads. Context and weights are a node each on the tape, so a
/// loss that does not use the weights costs nothing for them. Elsewhere it is composed of tensor
/// operations.
///
/// # Panics
///
/// If the shapes disagree, or a size is 0.
pub fn attention_read(
    scores: Tensor<3>,
    values: Tensor<3>,
    mask: Tensor<2, Bool>,
) -> AttentionRead {
    let [batch, tgt_len, src_len] = scores.dims();
    let [_, _, d] = values.dims();
    assert_shape!(values, [batch, src_len, d]);
    assert_shape!(mask, [batch, src_len]);
    assert!(
        batch * tgt_len * src_len * d > 0,
        "scores of {:?} and values of {:?}: nothing to read",
        scores.dims(),
        values.dims()
    );
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&scores) {
        return cpu::attention_read(scores, values, mask);
    }
    attention_read_reference(scores, values, mask)
}
