/// How large a batch may become. A row that is too long by itself is a batch of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// The greatest number of rows.
    pub rows: usize,
    /// The greatest number of ids, padding included: the rows times the longest of them.
    pub ids: usize,
}

impl BatchLimit {
    /// The greatest number of ids where no line is left out for its length, as in decoding: as
    /// many as 64 lines of 256 tokens have. Without it one very long line would pad its whole
    /// batch.
    pub const MAX_IDS: usize = 1 << 14;

    /// So many rows, and at most [`MAX_IDS`](Self::MAX_IDS) ids.
    pub fn of_rows(rows: usize) -> Self {
        Self {
            rows,
            ids: Self::MAX_IDS,
        }
    }

    /// Whether a batch may have so many rows, of which the longest has `width` ids.
    pub fn fits(self, rows: usize, width: usize) -> bool {
        rows == 1 || rows <= self.rows && rows.saturating_mul(width) <= self.ids
    }

    /// Cuts a list of rows into batches; their widths must ascend.
    ///
    /// ```
    /// let widths = [2, 2, 3, 90];
    /// let limit = att_data::BatchLimit { rows: 2, ids: 10 };
    /// assert_eq!(limit.cut(&[0, 1, 2, 3], |row| widths[row]), [vec![0, 1], vec![2], vec![3]]);
    /// ```
    pub fn cut(self, order: &[usize], width: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for &row in order {
            // Widths ascend, so this row would be the widest of its batch.
            let fits = |batch: &&mut Vec<usize>| self.fits(batch.len() + 1, width(row));
            match batches.last_mut().filter(fits) {
                Some(batch) => batch.push(row),
                None => batches.push(vec![row]),
            }
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_both_limits_and_the_order() {
        let width = |row: usize| 1 + row / 10;
        let order: Vec<usize> = (0..1000).collect();
        let batches = BatchLimit { rows: 32, ids: 500 }.cut(&order, width);
        assert_eq!(batches.concat(), order);
        for batch in batches {
            let widest = width(*batch.last().unwrap());
            assert!(batch.len() <= 32 && batch.len() * widest <= 500);
        }
    }

    #[test]
    fn a_row_that_is_too_long_stands_alone() {
        let widths = [5, 5, usize::MAX, usize::MAX];
        let batches = BatchLimit::of_rows(64).cut(&[0, 1, 2, 3], |row| widths[row]);
        assert_eq!(batches, [vec![0, 1], vec![2], vec![3]]);
    }
}
