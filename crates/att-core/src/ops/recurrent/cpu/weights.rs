//! The right factor of the steps' products.

use gemm::Parallelism;

use crate::ops::gemm::{Mat, Packed, matmul, product};

/// A right factor of all steps.
pub(in crate::ops) enum Weights<'a> {
    Packed(Packed),
    Plain(Mat<'a>),
}

impl<'a> Weights<'a> {
    /// For products with `lines` lines in all.
    pub(in crate::ops) fn new(weights: Mat<'a>, lines: usize) -> Self {
        // Fewer lines gain less from packed weights than packing costs.
        Self::packed_from(48, weights, lines)
    }

    /// The same for a matrix that is read across its rows: plain products do that badly.
    pub(in crate::ops) fn transposed(weights: Mat<'a>, lines: usize) -> Self {
        Self::packed_from(4, weights, lines)
    }

    fn packed_from(worth_packing: usize, weights: Mat<'a>, lines: usize) -> Self {
        if lines < worth_packing {
            Self::Plain(weights)
        } else {
            Self::Packed(Packed::new(weights))
        }
    }

    pub(in crate::ops) fn times(
        &self,
        out: &mut [f32],
        row_stride: usize,
        accumulate: bool,
        lhs: Mat,
        parallelism: Parallelism,
    ) {
        match self {
            Self::Packed(weights) => {
                product(out, row_stride, accumulate, lhs, weights, parallelism);
            }
            Self::Plain(weights) => {
                matmul(out, row_stride, accumulate, lhs, *weights, parallelism);
            }
        }
    }
}
