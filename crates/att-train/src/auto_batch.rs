//! The largest batches that fit into memory.

use att_core::{Error as CoreError, is_cpu};
use att_data::{Batch, BatchBy, Batcher};
use att_model::Translator;
use burn::tensor::Device;
use safetensors::tensor::serialize;

use crate::batches::Batches;
use crate::evaluate::nll;
use crate::process::{available_memory, forget_peak, peak_rss};
use crate::step::TrainStep;
use crate::trainer::valid_search;
use crate::{Result, Trainer};

/// The largest size of a batch that fits, as [`Trainer::find_batch_size`](crate::Trainer::find_batch_size)
/// measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    /// The ids of a batch's larger side, padding included ([`BatchBy::Tokens`]).
    pub tokens: usize,
    /// The greatest amount of memory that a trial with it held, in bytes.
    pub peak: u64,
    /// What it may hold, in bytes.
    pub memory: u64,
}

/// The share of the memory that trials may take: no two epochs have the same batches.
const SHARE: f64 = 0.9;

/// Sizes that are tried with all that a run does, before the smallest.
const TRIES: usize = 4;

/// What a run will do, to be tried.
pub(crate) struct Trial<'a> {
    pub(crate) trainer: &'a Trainer,
    pub(crate) batches: Batches,
    pub(crate) valid_batcher: Batcher,
    pub(crate) device: &'a Device,
}

impl Trial<'_> {
    /// Trains on batches that double until the next ones would not fit, by the line through the last two sizes;
    /// takes the size where that line meets the limit, and tries it with all that a run does.
    ///
    /// - `memory`: bytes that the process may hold; what the machine has left unless told
    ///
    /// # Errors
    ///
    /// If the device is no CPU, memory can't be measured, or the smallest batch does not fit.
    pub(crate) fn find(mut self, memory: Option<u64>) -> Result<BatchSize> {
        let refuse = |reason: String| CoreError::config("batch.batch_size", reason);
        if !is_cpu(self.device) {
            let reason = "only of a CPU is it known how much memory is held: set it, with batch_by = \"tokens\"";
            return Err(refuse(reason.into()).into());
        }
        let (Some(memory), Some(_)) = (memory.or_else(available_memory), peak_rss()) else {
            let reason = "this system does not tell how much memory is held: set it, with batch_by = \"tokens\"";
            return Err(refuse(reason.into()).into());
        };
        let limit = (memory as f64 * SHARE) as u64;
        let largest =
            |of: fn(&Batcher) -> usize| self.batches.batchers().map(of).fold(0, usize::max);
        let least = largest(Batcher::widest);
        let most = least * largest(|batcher| batcher.usable().len());
        let (mut tokens, mut peak) = (least, self.train(least)?);
        let mut slope = 0.0; // bytes a token, between the last two sizes
        while tokens < most {
            let larger = (2 * tokens).min(most);
            let step = (larger - tokens) as f64;
            if peak as f64 + slope * step > limit as f64 {
                break;
            }
            let next = self.train(larger)?;
            slope = next.saturating_sub(peak) as f64 / step;
            if next > limit {
                break;
            }
            (tokens, peak) = (larger, next);
        }
        let mut tried = tokens;
        if slope > 0.0 {
            let more = limit.saturating_sub(peak) as f64 / slope;
            tried = tokens.saturating_add(more as usize).min(most);
        }
        for tries in 1.. {
            let peak = self.everything(tried)?;
            if peak <= limit {
                return Ok(BatchSize {
                    tokens: tried,
                    peak,
                    memory,
                });
            }
            if tried == least {
                let [peak, memory] = [peak, memory].map(|bytes| bytes / 1_000_000);
                return Err(refuse(format!(
                    "with batches of {least} tokens, as many as the longest line has, training and validation hold \
                     {peak} MB, and there are {memory} MB, a tenth of it for what was not tried: lower max_src_len \
                     and max_tgt_len, or give more (`--memory`)"
                ))
                .into());
            }
            let smaller = 0.8 * tried as f64 * limit as f64 / peak as f64;
            tried = if tries < TRIES {
                (smaller as usize).max(least)
            } else {
                least
            };
        }
        unreachable!("the smallest size is tried in the end")
    }

    /// The greatest amount of memory that is held in training with batches of this size.
    fn train(&mut self, tokens: usize) -> Result<u64> {
        self.measure(tokens, |_, _| Ok(()))
    }

    /// The same with a checkpoint and a validation.
    fn everything(&mut self, tokens: usize) -> Result<u64> {
        self.measure(tokens, |trial, stepper| {
            let (_, tensors) = stepper.save();
            drop(serialize(&tensors, None));
            let model = stepper.averaged();
            for batch in worst(&trial.valid_batcher, trial.valid_batcher.evaluation())? {
                nll(&model, &batch);
            }
            // The longest sources, as many as are decoded together.
            let trainer = trial.trainer;
            let translator = Translator::new(trainer.directory.clone(), model);
            let mut sources: Vec<&str> = trainer.valid.sources().collect();
            sources.sort_by_key(|source| std::cmp::Reverse(source.len()));
            sources.truncate(translator.batch_size());
            translator.translate(&sources, &valid_search(&trainer.config))?;
            Ok(())
        })
    }

    fn measure(
        &mut self,
        tokens: usize,
        more: impl FnOnce(&Self, &TrainStep) -> Result<()>,
    ) -> Result<u64> {
        self.batches.set_size(BatchBy::Tokens, tokens);
        self.valid_batcher.set_size(BatchBy::Tokens, tokens);
        let config = &self.trainer.config;
        let batches = worst_of_all(&self.batches)?;
        // Where it can't be forgotten it is that of a smaller size at most.
        forget_peak();
        let mut stepper = self.trainer.stepper(self.device)?;
        for (number, batch) in (1..).zip(batches) {
            // Gradients of several batches take no more than those of two.
            let batches = vec![batch; config.training.accumulate.min(2)];
            stepper.accumulated_step(number, 0.0, &batches)?;
        }
        more(self, &stepper)?;
        Ok(peak_rss().unwrap_or(u64::MAX))
    }
}

/// The [`worst`] batches of an epoch. Of old data that is a whole pass: what an epoch leaves out another one has.
fn worst_of_all(batches: &Batches) -> Result<Vec<Batch>> {
    let Batches {
        batcher,
        replay,
        seed,
    } = batches;
    let of = |batcher: &Batcher| worst(batcher, batcher.epoch(*seed, 0));
    let mut found = Vec::from(of(batcher)?);
    if let Some(replay) = replay {
        let old = of(replay.batcher())?;
        found.extend(old.map(|batch| replay.behind_new(batch)));
    }
    Ok(found)
}

/// The batches of a plan with the most ids, and with the most pairs of a source and a target position: the
/// states of the one need the most memory, the attention of the other.
fn worst(batcher: &Batcher, plan: Vec<Vec<usize>>) -> Result<[Batch; 2]> {
    let examples = batcher.examples();
    let sides = |rows: &[usize]| {
        let longest = |len: &dyn Fn(usize) -> usize| rows.iter().map(|&i| len(i)).max();
        let src = longest(&|i| examples.src_len(i)).unwrap_or(0) + 1;
        let tgt = longest(&|i| examples.tgt_len(i)).unwrap_or(0) + 2;
        (rows.len(), src, tgt)
    };
    let batch_by = |size: fn((usize, usize, usize)) -> usize| {
        let rows = plan.iter().max_by_key(|rows| size(sides(rows)));
        batcher.batch(rows.expect("there are examples"))
    };
    Ok([
        batch_by(|(rows, src, tgt)| rows * (src + tgt))?,
        batch_by(|(rows, src, tgt)| rows * src * tgt)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Replay;
    use att_data::{BatcherConfig, Example};
    use std::sync::Arc;

    /// Of examples with so many source and target tokens.
    fn batcher(lengths: &[(usize, usize)]) -> Batcher {
        let example = |&(src, tgt): &(usize, usize)| Example {
            src: vec![4; src],
            tgt: vec![5; tgt],
            ..Example::default()
        };
        let examples: Vec<Example> = lengths.iter().map(example).collect();
        Batcher::new(BatcherConfig::default(), examples).unwrap()
    }

    #[test]
    fn the_worst_batches_are_the_largest_and_the_longest() {
        let batcher = batcher(&[(1, 1), (1, 1), (1, 1), (30, 30), (60, 1)]);
        let plan = vec![vec![0, 1, 2], vec![3], vec![4]];
        let worst = worst(&batcher, plan).unwrap();
        assert_eq!(worst.map(|batch| batch.indices), [[4], [3]]);
    }

    /// One epoch has a tenth of them.
    #[test]
    fn old_data_are_tried_to_their_longest_line() {
        let mut old = vec![(1, 1); 40];
        old[7] = (60, 1);
        old[31] = (30, 30);
        let mut batches = Batches {
            batcher: Arc::new(batcher(&[(2, 2); 4])),
            replay: Some(Arc::new(Replay::new(batcher(&old), 0.5, 4))),
            seed: 1,
        };
        batches.set_size(BatchBy::Sentences, 1);
        let worst = worst_of_all(&batches).unwrap();
        let rows: Vec<usize> = worst.iter().map(|batch| batch.indices[0]).collect();
        assert!(rows[0] < 4 && rows[1] < 4, "{rows:?}");
        assert_eq!(rows[2..], [4 + 7, 4 + 31], "behind the new ones");
        assert_eq!(worst[2].src.ids.len(), 61);
    }
}
