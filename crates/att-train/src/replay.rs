use att_data::{Batch, BatchBy, Batcher};

/// Batches of old data between those of new data, so that a model does not forget what it knew (experience
/// replay; of translation as mixed fine-tuning, Chu et al. 2017).
///
/// An epoch is a pass over the new data; `share` of its batches are old ones, evenly spread, and others in each
/// epoch. They follow from seed and epoch, so there is no state.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    batcher: Batcher,
    share: f64,
    /// The row of the first old example: those of new data come before.
    first: usize,
}

impl Replay {
    /// - `share`: of all batches, from 0 to below 1
    /// - `new`: how many new examples there are
    pub(crate) fn new(batcher: Batcher, share: f64, new: usize) -> Self {
        Self {
            batcher,
            share,
            first: new,
        }
    }

    /// How many batches there are beside so many new ones.
    pub(crate) fn len(&self, new: usize) -> usize {
        (new as f64 * self.share / (1.0 - self.share)).round() as usize
    }

    /// Changes how large batches are.
    pub(crate) fn set_size(&mut self, batch_by: BatchBy, batch_size: usize) {
        self.batcher.set_size(batch_by, batch_size);
    }

    /// The batches of an epoch, given those of the new data.
    pub(crate) fn mix(&self, new: Vec<Vec<usize>>, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
        let n = new.len();
        let n_old = self.len(n);
        // Passes over the old data, as many as it takes; each epoch has its own.
        let passes = (0..).flat_map(|pass| self.batcher.epoch(seed, (epoch << 32) | pass));
        let mut old = passes.take(n_old).map(|mut rows| {
            rows.iter_mut().for_each(|row| *row += self.first);
            rows
        });
        let mut plan = Vec::with_capacity(n + n_old);
        for (i, rows) in new.into_iter().enumerate() {
            plan.push(rows);
            let due = (i + 1) * n_old / n - i * n_old / n;
            plan.extend(old.by_ref().take(due));
        }
        plan
    }

    /// The batch of these rows, if they are old ones.
    pub(crate) fn batch(&self, rows: &[usize]) -> Option<att_data::Result<Batch>> {
        let rows: Option<Vec<usize>> = rows.iter().map(|row| row.checked_sub(self.first)).collect();
        let batch = self.batcher.batch(&rows?);
        Some(batch.map(|batch| self.behind_new(batch)))
    }

    /// What gives the old batches, whose rows it counts from 0.
    pub(crate) fn batcher(&self) -> &Batcher {
        &self.batcher
    }

    /// A batch of the old data with its rows behind those of the new.
    pub(crate) fn behind_new(&self, mut batch: Batch) -> Batch {
        batch.indices.iter_mut().for_each(|row| *row += self.first);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_data::{BatcherConfig, Example};

    fn batcher(n: usize, token: u32) -> Batcher {
        let example = Example {
            src: vec![token],
            tgt: vec![token],
            ..Default::default()
        };
        let config = BatcherConfig {
            batch_size: 2,
            ..Default::default()
        };
        Batcher::new(config, vec![example; n]).unwrap()
    }

    #[test]
    fn old_batches_have_their_share_and_differ_from_epoch_to_epoch() {
        let new = batcher(60, 5);
        for (old, share, expected) in [(100, 0.25, 10), (6, 0.5, 30), (6, 0.0, 0)] {
            let replay = Replay::new(batcher(old, 6), share, 60);
            let plan = |epoch| replay.mix(new.epoch(1, epoch), 1, epoch);
            assert_eq!(plan(3), plan(3));
            let mut drawn = Vec::new();
            for epoch in 0..2 {
                let plan = plan(epoch);
                assert_eq!(plan.len(), 30 + expected);
                let old: Vec<_> = plan.iter().filter(|rows| rows[0] >= 60).collect();
                assert_eq!(old.len(), expected);
                for rows in &plan {
                    let batch = replay.batch(rows);
                    assert_eq!(batch.is_some(), rows[0] >= 60);
                    if let Some(batch) = batch {
                        let batch = batch.unwrap();
                        assert_eq!((batch.src.ids[0], &batch.indices), (6, rows));
                    }
                }
                let mut fresh: Vec<usize> = plan.concat();
                fresh.retain(|row| *row < 60);
                fresh.sort_unstable();
                assert_eq!(fresh, (0..60).collect::<Vec<_>>(), "all new data");
                drawn.push(old.into_iter().cloned().collect::<Vec<_>>());
            }
            assert!(expected == 0 || drawn[0] != drawn[1]);
        }
    }
}
