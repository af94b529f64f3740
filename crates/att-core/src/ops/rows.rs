//! Rows of a matrix on slices, and their sums.

use rayon::prelude::*;

use super::simd::vectorise;

/// Row `i` of rows of `width` numbers.
#[inline(always)]
pub(super) fn row(data: &[f32], i: usize, width: usize) -> &[f32] {
    &data[i * width..][..width]
}

/// [`row`], to write to.
#[inline(always)]
pub(super) fn row_mut(data: &mut [f32], i: usize, width: usize) -> &mut [f32] {
    &mut data[i * width..][..width]
}

/// Adds the rows of a matrix to `sums`. Threads share the columns, so that the order of each sum
/// does not depend on them.
pub(super) fn add_rows(sums: &mut [f32], rows: &[f32]) {
    const COLS: usize = 256;
    let d = sums.len();
    sums.par_chunks_mut(COLS).enumerate().for_each(|(i, sums)| {
        vectorise(
            #[inline(always)]
            || {
                for row in rows.chunks_exact(d) {
                    for (sum, x) in sums.iter_mut().zip(&row[i * COLS..]) {
                        *sum += x;
                    }
                }
            },
        );
    });
}
