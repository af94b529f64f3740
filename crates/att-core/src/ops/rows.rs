//! Sums over the rows of a matrix, in an order that does not depend on the threads.

use rayon::prelude::*;

use super::simd::vectorise;

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
