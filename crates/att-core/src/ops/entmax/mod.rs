//! Sparsemax and 1.5-entmax: normalised weights of which most are exactly zero.

#[cfg(feature = "cpu")]
mod backward;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "cpu")]
mod kernel;
mod reference;
#[cfg(test)]
mod tests;

use burn::tensor::{Bool, Tensor};

pub use reference::entmax_reference;

/// Which member of the family of [`entmax`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpha {
    /// 1.5 (Peters et al. 2019): between softmax and sparsemax.
    OneAndHalf,
    /// 2, sparsemax (Martins and Astudillo 2016): the sparsest.
    Two,
}

/// Alpha-entmax along the last axis over what is not masked (Peters et al. 2019, eq. 10; softmax
/// would be alpha = 1):
///
/// ```text
/// weights[i] = max((alpha - 1) scores[i] - tau, 0)^(1 / (alpha - 1))     tau such that they sum to one
/// ```
///
/// tau is exact: the scores are sorted, and the greatest number of them that can have a weight is
/// found from their cumulative sums (Martins and Astudillo 2016, algorithm 1; Peters et al. 2019,
/// algorithm 2). Masked positions get exactly zero, and so does a row that is masked whole. With `s[i]
/// = weights[i]^(2 - alpha)` where there is a weight, and 0 elsewhere, the gradient is
///
/// ```text
/// d_scores[i] = s[i] (d[i] - sum_j s[j] d[j] / sum_j s[j])
/// ```
///
/// - `scores`: `[.., src_len]`, finite
/// - `mask`: the same shape, or one that broadcasts to it; true = masked
/// - returns the weights, `[.., src_len]`
///
/// On the CPU backends in f32 this is one node on the tape. Elsewhere it is composed of tensor
/// operations.
///
/// # Panics
///
/// If the shapes do not broadcast.
pub fn entmax<const D: usize>(scores: Tensor<D>, mask: Tensor<D, Bool>, alpha: Alpha) -> Tensor<D> {
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&scores) {
        let mask: Tensor<D, Bool> = mask.expand(scores.shape());
        let scores = scores.mask_fill(mask, f32::NEG_INFINITY);
        return Tensor::from_dispatch(<burn::backend::Dispatch as cpu::EntmaxOps>::entmax(
            scores.into_dispatch(),
            alpha,
        ));
    }
    entmax_reference(scores, mask, alpha)
}
