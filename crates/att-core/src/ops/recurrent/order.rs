//! In which order the rows of a padded batch are worked off.

use crate::ops::padded::assert_lengths;

/// From where to where the rows of a padded batch are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first position to a row's last real one.
    Forward,
    /// From a row's last real position to the first.
    Backward,
}

/// The lengths of the rows of a padded batch, and the directions in which they are read.
#[derive(Clone, Debug)]
pub struct Sequences {
    pub(super) lengths: Vec<usize>,
    /// Positions of a row with its padding.
    pub(super) len: usize,
    pub(super) directions: Vec<Direction>,
}

impl Sequences {
    /// # Panics
    ///
    /// If `lengths` does not name one length of at most `len` a row, or all are zero.
    pub(in crate::ops) fn new(
        lengths: &[usize],
        [batch, len]: [usize; 2],
        directions: &[Direction],
    ) -> Self {
        assert_lengths(lengths, batch, len);
        assert!(
            lengths.iter().any(|&length| length > 0),
            "a recurrent layer needs at least one step"
        );
        Self {
            lengths: lengths.to_vec(),
            len,
            directions: directions.to_vec(),
        }
    }

    pub(super) fn batch(&self) -> usize {
        self.lengths.len()
    }

    /// The rows in `n` shares of nearly equal work: sorted by length and dealt out in turn.
    pub(super) fn shares(&self, n: usize) -> Vec<Share> {
        let mut rows: Vec<usize> = (0..self.batch()).collect();
        rows.sort_by_key(|&row| std::cmp::Reverse(self.lengths[row]));
        let share = |first| {
            let of_share = rows.iter().copied().skip(first).step_by(n);
            Share::new(of_share.collect(), &self.lengths)
        };
        (0..n).map(share).collect()
    }
}

/// Rows that one thread takes through all their steps, longest first: those that are still
/// running are always the first ones, and finished ones leave the products.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// Where in the batch the rows are; empty ones are left out.
    pub rows: Vec<usize>,
    /// How many rows are running, for each step.
    pub active: Vec<usize>,
}

impl Share {
    fn new(mut rows: Vec<usize>, lengths: &[usize]) -> Self {
        rows.retain(|&row| lengths[row] > 0);
        let steps = rows.first().map_or(0, |&row| lengths[row]);
        let running = |step| rows.iter().take_while(|&&row| lengths[row] > step).count();
        let active = (0..steps).map(running).collect();
        Self { rows, active }
    }

    /// The number of real positions.
    pub fn real(&self) -> usize {
        self.active.iter().sum()
    }

    /// The positions in the order in which they are read: step by step, and within a step row by
    /// row. Each is an index into a tensor of `[batch * len, ..]`.
    pub fn positions(&self, sequences: &Sequences, direction: Direction) -> Vec<usize> {
        let mut positions = Vec::with_capacity(self.real());
        for (step, &active) in self.active.iter().enumerate() {
            positions.extend(self.rows[..active].iter().map(|&row| {
                let within = match direction {
                    Direction::Forward => step,
                    Direction::Backward => sequences.lengths[row] - 1 - step,
                };
                row * sequences.len + within
            }));
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_rows_come_first_and_every_real_position_once() {
        let sequences = Sequences::new(&[2, 0, 3, 1, 2], [5, 4], &[Direction::Forward]);
        let [whole] = &sequences.shares(1)[..] else {
            panic!("one share");
        };
        assert_eq!(whole.rows, [2, 0, 4, 3]);
        assert_eq!(whole.active, [4, 3, 1]);
        let forward = whole.positions(&sequences, Direction::Forward);
        assert_eq!(forward, [8, 0, 16, 12, 9, 1, 17, 10]);
        let backward = whole.positions(&sequences, Direction::Backward);
        assert_eq!(backward, [10, 1, 17, 12, 9, 0, 16, 8]);
    }

    #[test]
    fn shares_have_nearly_equal_work() {
        let lengths = [9, 1, 8, 2, 7, 3, 6, 4];
        let sequences = Sequences::new(&lengths, [8, 9], &[Direction::Forward]);
        let shares = sequences.shares(2);
        assert_eq!(shares[0].rows, [0, 4, 7, 3]);
        assert_eq!(shares[1].rows, [2, 6, 5, 1]);
        assert_eq!([shares[0].real(), shares[1].real()], [22, 18]);
        assert!(sequences.shares(9)[8].rows.is_empty());
    }
}
