//! The order in which a padded batch of sequences is worked through.

use std::ops::Range;

/// Some rows of a batch, the longest first, step by step: at each step the rows that still run are
/// the first ones, so finished ones leave the work. Positions are numbered step by step; those of
/// one step are neighbours.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    /// Numbers of the rows in the batch, the longest first; empty ones are left out.
    pub(super) rows: Vec<usize>,
    /// The first position of each step, and the number of positions.
    starts: Vec<usize>,
}

impl Steps {
    /// Of the given rows; `lengths` are those of the whole batch.
    pub(super) fn new(mut rows: Vec<usize>, lengths: &[usize]) -> Self {
        rows.retain(|&row| lengths[row] > 0);
        rows.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
        let longest = rows.first().map_or(0, |&row| lengths[row]);
        let mut starts = Vec::with_capacity(longest + 1);
        let mut start = 0;
        for t in 0..longest {
            starts.push(start);
            start += rows.partition_point(|&row| lengths[row] > t);
        }
        starts.push(start);
        Self { rows, starts }
    }

    /// The batch dealt out to `parts` of nearly equal work: sorted by length, and dealt out in turn.
    pub(super) fn deal(lengths: &[usize], parts: usize) -> Vec<Self> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
        (0..parts.clamp(1, lengths.len().max(1)))
            .map(|part| order.iter().copied().skip(part).step_by(parts).collect())
            .map(|rows| Self::new(rows, lengths))
            .collect()
    }

    /// Number of steps.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The first position of each step, and the number of positions.
    #[cfg(feature = "cube")]
    pub(super) fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// Number of positions: the sum of the rows' lengths.
    pub(super) fn positions(&self) -> usize {
        self.starts[self.len()]
    }

    /// The positions of step `t`: one for each row that still runs, in the order of `rows`.
    pub(super) fn at(&self, t: usize) -> Range<usize> {
        self.starts[t]..self.starts[t + 1]
    }

    /// For each position its row in the batch and its step.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.len()).flat_map(|t| {
            self.rows[..self.at(t).len()]
                .iter()
                .map(move |&row| (row, t))
        })
    }

    /// The rows of `d` numbers that stand at the positions, from a padded `[batch, len, d]`.
    #[cfg(feature = "cpu")]
    pub(super) fn gather(&self, padded: &[f32], len: usize, d: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.positions() * d);
        for (row, t) in self.each() {
            out.extend_from_slice(&padded[(row * len + t) * d..][..d]);
        }
        out
    }

    /// [`gather`](Self::gather) the other way: `lines`, one a position, to their places.
    #[cfg(feature = "cpu")]
    pub(super) fn scatter(&self, lines: &[f32], padded: &mut [f32], len: usize, d: usize) {
        for (line, (row, t)) in lines.chunks_exact(d).zip(self.each()) {
            padded[(row * len + t) * d..][..d].copy_from_slice(line);
        }
    }

    /// Copies what stood before step `t` to the step's own place in `states`; arguments as in
    /// [`before`](Self::before).
    #[cfg(feature = "cpu")]
    pub(super) fn carry(&self, t: usize, first: &[f32], states: &mut [f32], d: usize) {
        let now = self.at(t);
        let (past, present) = states.split_at_mut(now.start * d);
        let from = match t {
            0 => first,
            _ => &past[self.at(t - 1).start * d..],
        };
        present[..now.len() * d].copy_from_slice(&from[..now.len() * d]);
    }

    /// What stood before each position: `first` (`[rows, d]`, in the order of `rows`) at the first
    /// step, then the numbers of the step before (`states`, `[positions, d]`).
    #[cfg(feature = "cpu")]
    pub(super) fn before(&self, first: &[f32], states: &[f32], d: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(states.len());
        for t in 0..self.len() {
            let from = match t {
                0 => first,
                _ => &states[self.at(t - 1).start * d..],
            };
            out.extend_from_slice(&from[..self.at(t).len() * d]);
        }
        out
    }
}

/// Writes `lines` to those rows of `[batch, d]`.
#[cfg(feature = "cpu")]
pub(super) fn scatter_rows(rows: &[usize], lines: &[f32], matrix: &mut [f32], d: usize) {
    for (line, &row) in lines.chunks_exact(d).zip(rows) {
        matrix[row * d..][..d].copy_from_slice(line);
    }
}

/// Of `[batch, d]` those rows.
#[cfg(feature = "cpu")]
pub(super) fn gather_rows(rows: &[usize], matrix: &[f32], d: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len() * d);
    for &row in rows {
        out.extend_from_slice(&matrix[row * d..][..d]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_rows_leave() {
        let steps = Steps::new(vec![0, 1, 2], &[1, 3, 2]);
        assert_eq!(steps.rows, [1, 2, 0]);
        assert_eq!((steps.len(), steps.positions()), (3, 6));
        let order: Vec<_> = steps.each().collect();
        assert_eq!(order, [(1, 0), (2, 0), (0, 0), (1, 1), (2, 1), (1, 2)]);
        assert_eq!(steps.at(1), 3..5);
        let padded: Vec<f32> = (0..9).map(|x| x as f32).collect();
        assert_eq!(steps.gather(&padded, 3, 1), [3.0, 6.0, 0.0, 4.0, 7.0, 5.0]);
        let before = steps.before(&[10.0, 11.0, 12.0], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 1);
        assert_eq!(before, [10.0, 11.0, 12.0, 0.0, 1.0, 3.0]);
        let mut back = [0.0; 9];
        steps.scatter(&steps.gather(&padded, 3, 1), &mut back, 3, 1);
        assert_eq!(back, [0.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0]);
    }

    #[test]
    fn parts_have_each_row_once_and_nearly_equal_work() {
        let parts = Steps::deal(&[5, 1, 4, 2, 3, 0], 2);
        assert_eq!(parts[0].rows, [0, 4, 1]);
        assert_eq!(parts[1].rows, [2, 3]);
        assert_eq!(Steps::deal(&[1], 4).len(), 1);
        let parts = Steps::deal(&[9, 1, 8, 2, 7, 3, 6, 4], 2);
        assert_eq!([parts[0].positions(), parts[1].positions()], [22, 18]);
    }
}
