//! Matrix products on slices, by the `gemm` crate.

use gemm::Parallelism;

/// A matrix inside a slice: element `(i, j)` lies at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy)]
pub(super) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// `rows` rows of `cols` neighbouring numbers, `row_stride` apart.
    pub(super) fn rows(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(rows == 0 || (rows - 1) * row_stride + cols <= data.len());
        Self {
            data,
            rows,
            cols,
            row_stride,
            col_stride: 1,
        }
    }

    /// The same numbers with rows and columns exchanged.
    pub(super) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// `out = lhs rhs` (or `out += lhs rhs` where `accumulate`), with `out` of `lhs.rows` rows of
/// `rhs.cols` neighbouring numbers, `row_stride` apart.
pub(super) fn matmul(
    out: &mut [f32],
    row_stride: usize,
    accumulate: bool,
    lhs: Mat,
    rhs: Mat,
    parallelism: Parallelism,
) {
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    assert_eq!(k, rhs.rows, "inner sizes of a matrix product");
    assert!(m == 0 || (m - 1) * row_stride + n <= out.len());
    assert!(m <= 1 || row_stride >= n, "rows of the result overlap");
    // SAFETY: the assertions here and in `Mat::rows` keep every element that the strides reach
    // inside its slice, and `out` is borrowed exclusively, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            row_stride as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// The transpose of a row-major `[rows, cols]` matrix, written out.
///
/// A product with few rows and a transposed right side is several times slower than the plain
/// one, so a factor that is used at each step is transposed once.
pub(super) fn transposed(data: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * cols];
    for (i, row) in data.chunks_exact(cols).enumerate() {
        for (j, &x) in row.iter().enumerate() {
            out[j * rows + i] = x;
        }
    }
    out
}

/// How many rows of a batch one thread takes when `batch` independent rows, each of `work`
/// multiplications, are shared out: all of them where the work is too little to share.
pub(super) fn rows_per_thread(batch: usize, work: usize) -> usize {
    const WORTH_A_THREAD: usize = 1 << 18;
    let threads = rayon::current_num_threads();
    if threads == 1 || batch * work < 2 * WORTH_A_THREAD {
        batch
    } else {
        batch.div_ceil(threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_products_equal_the_definition() {
        let lhs = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0]; // [2, 2] in rows of 3
        let rhs = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2, 3]
        let mut out = [10.0; 8]; // [2, 3] in rows of 4
        let lhs = Mat::rows(&lhs, 2, 2, 3);
        matmul(
            &mut out,
            4,
            true,
            lhs,
            Mat::rows(&rhs, 2, 3, 3),
            Parallelism::None,
        );
        assert_eq!(out, [19.0, 22.0, 25.0, 10.0, 29.0, 36.0, 43.0, 10.0]);
        let mut square = [0.0; 4];
        matmul(&mut square, 2, false, lhs.t(), lhs, Parallelism::None);
        assert_eq!(square, [10.0, 14.0, 14.0, 20.0]);
        assert_eq!(transposed(&rhs, 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
