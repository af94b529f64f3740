//! Scores, masked softmax and context of several heads as one operation.

#[cfg(feature = "cpu")]
mod backward;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "cpu")]
mod kernel;
mod reference;
#[cfg(test)]
mod tests;

use burn::tensor::{Bool, Tensor, assert_shape};

pub use reference::multi_head_read_reference;

/// What [`multi_head_read`] reads with.
///
/// A head is `d_head` neighbouring numbers of a vector. There may be fewer heads of keys and values
/// than of queries (grouped-query attention, Ainslie et al. 2023): each serves `n_heads /
/// n_kv_heads` neighbouring heads of queries.
#[derive(Clone, Debug)]
pub struct MultiHeadInputs {
    /// `[batch, tgt_len, n_heads * d_head]`
    pub query: Tensor<3>,
    /// `[batch, src_len, n_kv_heads * d_head]`
    pub keys: Tensor<3>,
    /// `[batch, src_len, n_kv_heads * d_head]`
    pub values: Tensor<3>,
    /// Heads of queries.
    pub n_heads: usize,
    /// True at positions that no query reads, `[batch, src_len]`.
    pub mask: Option<Tensor<2, Bool>>,
    /// Whether the queries stand at the last `tgt_len` positions of the keys, and each reads its
    /// own position and those before it.
    pub causal: bool,
    /// What the weights are multiplied with on their way to the context,
    /// `[batch, n_heads, tgt_len, src_len]`.
    pub dropout: Option<Tensor<4>>,
}

/// What [`multi_head_read`] computes.
#[derive(Clone, Debug)]
pub struct MultiHeadRead {
    /// The heads' weighted sums side by side, `[batch, tgt_len, n_heads * d_head]`.
    pub context: Tensor<3>,
    /// Before dropout; exactly zero where masked, `[batch, n_heads, tgt_len, src_len]`.
    pub weights: Tensor<4>,
}

/// Attention of several heads (Vaswani et al. 2017, eq. 1 in each head of sec. 3.2.2):
///
/// ```text
/// a[b, h, t] = softmax over the unmasked s of query[b, t, h] . keys[b, s, h] / sqrt(d_head)
/// c[b, t, h] = sum_s a[b, h, t, s] values[b, s, h]
/// ```
///
/// A query that may read nothing has zero weights. On the CPU backends in f32 the heads are read
/// where they lie (no transposed copy), what lies behind a source's last unmasked position is not
/// read, and sources are shared out between threads. Context and weights are a node each on the
/// tape. Elsewhere it is composed of tensor operations.
///
/// # Panics
///
/// If the shapes disagree, heads do not divide the sizes, a size is 0, or causal queries are more
/// than the keys.
pub fn multi_head_read(inputs: MultiHeadInputs) -> MultiHeadRead {
    inputs.check();
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&inputs.query) {
        return cpu::multi_head_read(inputs);
    }
    multi_head_read_reference(inputs)
}

/// Sizes of [`MultiHeadInputs`].
#[derive(Clone, Copy, Debug)]
struct Dims {
    batch: usize,
    tgt_len: usize,
    src_len: usize,
    n_heads: usize,
    n_kv_heads: usize,
    d_head: usize,
}

impl Dims {
    /// Numbers of a query.
    fn d_query(self) -> usize {
        self.n_heads * self.d_head
    }

    /// Numbers of a key or a value.
    fn d_key(self) -> usize {
        self.n_kv_heads * self.d_head
    }

    /// `1 / sqrt(d_head)`.
    fn scale(self) -> f32 {
        1.0 / (self.d_head as f32).sqrt()
    }
}

impl MultiHeadInputs {
    fn dims(&self) -> Dims {
        let [batch, tgt_len, d_query] = self.query.dims();
        let [_, src_len, d_key] = self.keys.dims();
        let d_head = d_query / self.n_heads;
        Dims {
            batch,
            tgt_len,
            src_len,
            n_heads: self.n_heads,
            n_kv_heads: d_key / d_head,
            d_head,
        }
    }

    fn check(&self) {
        let [batch, tgt_len, d_query] = self.query.dims();
        let [_, src_len, d_key] = self.keys.dims();
        let n_heads = self.n_heads;
        super::assert_some("multi_head_read", &self.query);
        super::assert_some("multi_head_read", &self.keys);
        assert_shape!(self.keys, [batch, src_len, d_key]);
        assert_shape!(self.values, [batch, src_len, d_key]);
        assert!(
            batch * tgt_len * src_len * d_query * d_key > 0,
            "queries of {:?} and keys of {:?}: nothing to read",
            self.query.dims(),
            self.keys.dims()
        );
        let divides = |d: usize, n: usize| n > 0 && d.is_multiple_of(n);
        assert!(
            divides(d_query, n_heads)
                && divides(d_key, d_query / n_heads)
                && divides(n_heads, self.dims().n_kv_heads),
            "{n_heads} heads do not fit queries of {d_query} and keys of {d_key}"
        );
        assert!(
            !self.causal || tgt_len <= src_len,
            "{tgt_len} causal queries, but {src_len} keys"
        );
        if let Some(mask) = &self.mask {
            assert_shape!(mask, [batch, src_len]);
        }
        if let Some(dropout) = &self.dropout {
            assert_shape!(dropout, [batch, n_heads, tgt_len, src_len]);
        }
    }
}
