use std::ops::Range;
use std::sync::Arc;

use att_data::{Batch, BatchBy, Batcher, Prefetch};

use crate::replay::Replay;

/// The batches of a run: those of its data, with those of old data between them.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    pub(crate) batcher: Arc<Batcher>,
    pub(crate) replay: Option<Arc<Replay>>,
    pub(crate) seed: u64,
}

impl Batches {
    /// How many batches an epoch has.
    pub(crate) fn len(&self, epoch: u64) -> usize {
        let new = self.batcher.batches(self.seed, epoch);
        new + self.replay.as_ref().map_or(0, |replay| replay.len(new))
    }

    /// What gives the new batches, and the old ones.
    pub(crate) fn batchers(&self) -> impl Iterator<Item = &Batcher> {
        let old = self.replay.as_deref().map(Replay::batcher);
        std::iter::once(&*self.batcher).chain(old)
    }

    /// The batches of an epoch.
    fn plan(&self, epoch: u64) -> Vec<Vec<usize>> {
        let plan = self.batcher.epoch(self.seed, epoch);
        match &self.replay {
            Some(replay) => replay.mix(plan, self.seed, epoch),
            None => plan,
        }
    }

    fn batch(&self, rows: &[usize]) -> att_data::Result<Batch> {
        let old = self.replay.as_ref().and_then(|replay| replay.batch(rows));
        old.unwrap_or_else(|| self.batcher.batch(rows))
    }

    /// All batches of these epochs but the first `skip`, made on another thread.
    pub(crate) fn prefetch(&self, epochs: Range<u64>, skip: usize) -> Prefetch {
        let (plans, batches) = (self.clone(), self.clone());
        let plans = epochs.map(move |epoch| plans.plan(epoch));
        Prefetch::by(move |rows| batches.batch(rows), plans, skip)
    }

    /// Changes how large batches are.
    pub(crate) fn set_size(&mut self, batch_by: BatchBy, batch_size: usize) {
        Arc::make_mut(&mut self.batcher).set_size(batch_by, batch_size);
        if let Some(replay) = &mut self.replay {
            Arc::make_mut(replay).set_size(batch_by, batch_size);
        }
    }
}
