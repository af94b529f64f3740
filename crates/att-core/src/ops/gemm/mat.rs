//! Matrices where they lie.

use std::ops::Range;

/// A matrix inside a slice: element `(i, j)` lies at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Mat<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Mat<'a> {
    /// `rows` rows of `cols` neighbouring numbers, `row_stride` apart.
    pub(in crate::ops) fn rows(
        data: &'a [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
    ) -> Self {
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
    pub(in crate::ops) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Numbers of rows and columns.
    pub(in crate::ops) fn sizes(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// Whether the numbers of a row are neighbours.
    pub(in crate::ops) fn is_row_major(&self) -> bool {
        self.col_stride == 1
    }

    /// Some columns.
    pub(in crate::ops) fn columns(self, columns: Range<usize>) -> Self {
        self.part(0..self.rows, columns)
    }

    /// Some rows and columns.
    pub(super) fn part(self, rows: Range<usize>, cols: Range<usize>) -> Self {
        let start = rows.start * self.row_stride + cols.start * self.col_stride;
        Self {
            data: &self.data[start.min(self.data.len())..],
            rows: rows.len(),
            cols: cols.len(),
            ..self
        }
    }

    /// Row `i`, whose numbers are neighbours.
    #[inline(always)]
    pub(super) fn row(&self, i: usize) -> &'a [f32] {
        debug_assert!(self.col_stride == 1 || self.cols == 1);
        &self.data[i * self.row_stride..][..self.cols]
    }

    #[inline(always)]
    pub(super) fn at(&self, i: usize, j: usize) -> f32 {
        self.data[i * self.row_stride + j * self.col_stride]
    }
}
