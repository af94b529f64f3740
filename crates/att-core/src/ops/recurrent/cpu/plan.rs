//! How the work of a pass is shared out between threads.

use gemm::Parallelism;
use rayon::prelude::*;

use crate::ops::gemm::rows_per_thread;
use crate::ops::recurrent::sequences::Sequences;
use crate::ops::steps::Steps;

/// How a pass is shared out.
pub(super) struct Plan {
    /// The rows of each thread, the same in each direction.
    pub(super) shares: Vec<Steps>,
    /// Whether shares and directions go to several threads.
    threaded: bool,
    /// Of a step's product: by columns where one thread has all rows.
    pub(super) within_step: Parallelism,
}

impl Plan {
    pub(super) fn new(sequences: &Sequences, work_per_line: usize) -> Self {
        // Products with fewer rows take as long as with so many.
        const ROWS: usize = 8;
        let directions = sequences.directions.len();
        let passes = directions * sequences.batch();
        let lines: usize = sequences.lengths.iter().sum();
        let work = lines * work_per_line / sequences.batch();
        let threads = passes.div_ceil(rows_per_thread(passes, work));
        let shares = (threads / directions).clamp(1, (sequences.batch() / ROWS).max(1));
        Self::with_shares(sequences, shares, threads > 1)
    }

    pub(super) fn with_shares(sequences: &Sequences, shares: usize, threaded: bool) -> Self {
        let alone = shares * sequences.directions.len() == 1;
        Self {
            shares: Steps::deal(&sequences.lengths, shares),
            threaded: threaded && !alone,
            within_step: if alone {
                Parallelism::Rayon(0)
            } else {
                Parallelism::None
            },
        }
    }

    /// Real positions.
    pub(super) fn lines(&self) -> usize {
        self.shares.iter().map(Steps::positions).sum()
    }

    pub(super) fn each<T: Send, R: Send>(
        &self,
        jobs: Vec<T>,
        run: impl Fn(T) -> R + Sync + Send,
    ) -> Vec<R> {
        if self.threaded {
            jobs.into_par_iter().map(run).collect()
        } else {
            jobs.into_iter().map(run).collect()
        }
    }
}

/// The pieces of `width` numbers of a tensor, each given away once.
pub(super) struct Pieces<'a>(Vec<Option<&'a mut [f32]>>);

impl<'a> Pieces<'a> {
    pub(super) fn new(data: &'a mut [f32], width: usize) -> Self {
        Self(data.chunks_exact_mut(width).map(Some).collect())
    }

    pub(super) fn take(&mut self, indices: impl Iterator<Item = usize>) -> Vec<&'a mut [f32]> {
        indices
            .map(|index| self.0[index].take().expect("positions are read once"))
            .collect()
    }
}
