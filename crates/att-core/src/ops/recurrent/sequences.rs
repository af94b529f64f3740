//! The rows of a padded batch, and in which directions they are read.

use crate::ops::padded::assert_lengths;
use crate::ops::steps::Steps;

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

    /// Where each position of the steps is read in a direction: its index in a tensor of
    /// `[batch * len, ..]`.
    pub(super) fn places(&self, steps: &Steps, direction: Direction) -> Vec<usize> {
        let place = |(row, step)| {
            let within = match direction {
                Direction::Forward => step,
                Direction::Backward => self.lengths[row] - 1 - step,
            };
            row * self.len + within
        };
        steps.each().map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_real_position_is_read_once_in_its_direction() {
        let sequences = Sequences::new(&[2, 0, 3, 1, 2], [5, 4], &[Direction::Forward]);
        let [steps] = &Steps::deal(&sequences.lengths, 1)[..] else {
            panic!("one part");
        };
        assert_eq!(steps.rows, [2, 0, 4, 3]);
        let forward = sequences.places(steps, Direction::Forward);
        assert_eq!(forward, [8, 0, 16, 12, 9, 1, 17, 10]);
        let backward = sequences.places(steps, Direction::Backward);
        assert_eq!(backward, [10, 1, 17, 12, 9, 0, 16, 8]);
    }
}
