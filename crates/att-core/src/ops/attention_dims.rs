//! The sizes of attention on slices.

use burn::tensor::Shape;

use super::gemm::rows_per_thread;

/// Of queries over sources.
#[derive(Clone, Copy)]
pub(super) struct AttentionDims {
    pub(super) batch: usize,
    pub(super) tgt_len: usize,
    pub(super) src_len: usize,
    /// Numbers of a query and of a key, or of a value.
    pub(super) d: usize,
}

impl AttentionDims {
    /// Of `[batch, tgt_len, d]` queries and `[batch, src_len, d]` keys.
    pub(super) fn scored(query: &Shape, keys: &Shape) -> Self {
        Self {
            batch: query[0],
            tgt_len: query[1],
            src_len: keys[1],
            d: query[2],
        }
    }

    /// Of `[batch, tgt_len, src_len]` scores and `[batch, src_len, d]` values.
    pub(super) fn read(scores: &Shape, values: &Shape) -> Self {
        Self {
            batch: scores[0],
            tgt_len: scores[1],
            src_len: scores[2],
            d: values[2],
        }
    }

    /// How many sources a thread takes at least.
    pub(super) fn share(self) -> usize {
        rows_per_thread(self.batch, self.tgt_len * self.src_len * self.d)
    }
}
