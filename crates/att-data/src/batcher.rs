use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::mixture::Mixture;
use crate::split::fnv1a;
use crate::{Batch, BatchLimit, Dropped, Error, Example, Examples, Result};

/// What [`BatcherConfig::batch_size`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchBy {
    /// The examples of a batch.
    Sentences,
    /// The ids of its larger side, special tokens and padding included: `rows * cols` of the
    /// source or of the target, whichever is more. This bounds the memory that a batch needs.
    /// An example that is longer by itself is a batch of its own.
    Tokens,
}

/// How examples are put into batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatcherConfig {
    /// What `batch_size` counts; sentences by default.
    pub batch_by: BatchBy,
    /// The greatest size of a batch; 64 by default.
    pub batch_size: usize,
    /// Examples with a longer source, special tokens not counted, are left out of training; 512
    /// by default.
    pub max_src_len: usize,
    /// Examples with a longer target, special tokens not counted, are left out of training; 512
    /// by default.
    pub max_tgt_len: usize,
    /// Examples with fewer tokens on a side are left out of training; 0, as by default, leaves out none.
    pub min_len: usize,
    /// Examples of which one side has more than this many times the tokens of the other are left out of
    /// training; 0, as by default, leaves out none.
    pub max_ratio: f64,
    /// How many batches' worth of examples are sorted by length together; 100 by default. More
    /// means less padding, less means more chance in who is with whom; 1 is plain shuffling.
    pub bucket: usize,
}

impl Default for BatcherConfig {
    fn default() -> Self {
        Self {
            batch_by: BatchBy::Sentences,
            batch_size: 64,
            max_src_len: 512,
            max_tgt_len: 512,
            min_len: 0,
            max_ratio: 0.0,
            bucket: 100,
        }
    }
}

impl BatcherConfig {
    /// Checks the values.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a 0 where it means nothing, and a ratio below 1.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("batch_size", self.batch_size),
            ("max_src_len", self.max_src_len),
            ("max_tgt_len", self.max_tgt_len),
            ("bucket", self.bucket),
        ] {
            if value == 0 {
                return Err(Error::Config {
                    key,
                    message: "is 0; make it at least 1".into(),
                });
            }
        }
        let ratio = self.max_ratio;
        if ratio != 0.0 && !(ratio >= 1.0 && ratio.is_finite()) {
            return Err(Error::Config {
                key: "max_ratio",
                message: format!("is {ratio}; make it at least 1, or 0 for no limit"),
            });
        }
        Ok(())
    }
}

/// Examples and the rule by which they go into batches.
///
/// A plan is a list of batches, each the indices of its examples, so a position in training is
/// an epoch and the number of a batch: the plan of that epoch can be made again, and training
/// goes on behind that batch.
///
/// ```
/// use att_data::{Batcher, BatcherConfig, Example};
///
/// let example = |n| Example { src: vec![4; n], tgt: vec![5; n], ..Example::default() };
/// let examples: Vec<Example> = (1..=9).map(example).collect();
/// let config = BatcherConfig { batch_size: 4, ..BatcherConfig::default() };
/// let batcher = Batcher::new(config, examples)?;
/// let plan = batcher.epoch(/* seed */ 1, /* epoch */ 0);
/// for rows in &plan[1..] {
///     let batch = batcher.batch(rows)?;
///     assert!(batch.src.rows <= 4);
/// }
/// # Ok::<(), att_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batcher {
    config: BatcherConfig,
    examples: Examples,
    /// The numbers of the examples that are trained on, ascending.
    usable: Vec<usize>,
    dropped: Dropped,
    /// None if an epoch has each of them once.
    mixture: Option<Mixture>,
}

impl Batcher {
    /// Takes the examples.
    ///
    /// # Errors
    ///
    /// Those of [`BatcherConfig::validate`]; [`Error::NoExamples`] if there is no example to train on.
    pub fn new(config: BatcherConfig, examples: impl Into<Examples>) -> Result<Self> {
        config.validate()?;
        let examples = examples.into();
        let mut dropped = Dropped::default();
        let mut usable = Vec::new();
        for i in 0..examples.len() {
            let (src, tgt) = (examples.src_len(i), examples.tgt_len(i));
            let (short, long) = (src.min(tgt), src.max(tgt));
            if examples.is_duplicate(i) {
                dropped.duplicates += 1;
            } else if src > config.max_src_len || tgt > config.max_tgt_len {
                dropped.too_long += 1;
            } else if short < config.min_len {
                dropped.too_short += 1;
            } else if config.max_ratio > 0.0 && long as f64 > config.max_ratio * short as f64 {
                dropped.unequal += 1;
            } else {
                usable.push(i);
            }
        }
        if usable.is_empty() {
            return Err(Error::NoExamples {
                examples: examples.len(),
                dropped,
                max_src_len: config.max_src_len,
                max_tgt_len: config.max_tgt_len,
            });
        }
        Ok(Self {
            config,
            examples,
            usable,
            dropped,
            mixture: None,
        })
    }

    /// Gives the corpora other shares of an epoch than they have: of as many examples as before, corpus i gives
    /// `w_i / sum_j w_j`. Its examples come shuffled, none again before all were there, and the next epoch goes
    /// on where this one ended.
    ///
    /// - `sizes`: how many of the examples each corpus has, one after the other
    /// - `weights`: of each
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the weights are not one positive number for each corpus, or a corpus has nothing
    /// to train on.
    pub fn with_weights(mut self, sizes: &[usize], weights: &[f64]) -> Result<Self> {
        self.mixture = Some(Mixture::new(sizes, weights, &self.usable)?);
        Ok(self)
    }

    /// Makes batches by another size from now on.
    pub fn set_size(&mut self, batch_by: BatchBy, batch_size: usize) {
        self.config.batch_by = batch_by;
        self.config.batch_size = batch_size;
    }

    /// All examples, also those that are left out of training.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// The numbers of the examples that are trained on, ascending.
    pub fn usable(&self) -> &[usize] {
        &self.usable
    }

    /// How many examples are left out of training, and why.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// The training batches of an epoch. They depend on the examples, the configuration, the
    /// seed and the epoch only: the same on every machine.
    ///
    /// The examples are shuffled and taken in pools of about `bucket` batches; each pool is
    /// sorted by length and cut into batches; at last the batches of all pools are shuffled.
    pub fn epoch(&self, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
        let given = seed;
        let seed = fnv1a(&[seed.to_le_bytes(), epoch.to_le_bytes()].concat());
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut order = match &self.mixture {
            None => self.usable.clone(),
            Some(mixture) => mixture.epoch(&self.usable, given, epoch),
        };
        shuffle(&mut order, &mut rng);
        let pools = order.chunks_mut(self.pool_size());
        let mut plan: Vec<_> = pools
            .flat_map(|pool| self.cut_by_length(pool, self.limit()))
            .collect();
        shuffle(&mut plan, &mut rng);
        plan
    }

    /// How many batches [`epoch`](Self::epoch) gives, without making them where that can be told.
    pub fn batches(&self, seed: u64, epoch: u64) -> usize {
        match self.config.batch_by {
            BatchBy::Sentences => self.epoch_len().div_ceil(self.config.batch_size),
            BatchBy::Tokens => self.epoch(seed, epoch).len(),
        }
    }

    /// Examples in an epoch.
    fn epoch_len(&self) -> usize {
        let mixture = self.mixture.as_ref();
        mixture.map_or(self.usable.len(), Mixture::len)
    }

    /// The batches of all examples, also of those too long for training, the shortest first.
    /// Since none is left out, no batch has more than [`BatchLimit::MAX_IDS`] ids a side, unless
    /// it is a single example. [`Batch::indices`] says where each row belongs.
    pub fn evaluation(&self) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        let limit = self.limit();
        let ids = limit.ids.min(BatchLimit::MAX_IDS);
        self.cut_by_length(&mut order, BatchLimit { ids, ..limit })
    }

    /// The batch of the examples at `rows`, which is one batch of a plan.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if examples are in a file that can't be read.
    ///
    /// # Panics
    ///
    /// If an index is out of range.
    pub fn batch(&self, rows: &[usize]) -> Result<Batch> {
        let examples = rows.iter().map(|&i| self.examples.get(i));
        let examples = examples.collect::<Result<Vec<Example>>>()?;
        let in_order: Vec<usize> = (0..rows.len()).collect();
        Ok(Batch {
            indices: rows.to_vec(),
            ..Batch::new(&examples, &in_order)
        })
    }

    /// How many examples are sorted together.
    fn pool_size(&self) -> usize {
        let batch = match self.config.batch_by {
            BatchBy::Sentences => self.config.batch_size,
            BatchBy::Tokens => {
                let tokens: usize = self.usable.iter().map(|&i| self.width(i)).sum();
                (self.config.batch_size * self.usable.len() / tokens).max(1)
            }
        };
        self.config.bucket.saturating_mul(batch)
    }

    /// The length of the larger side of an example in a batch.
    fn width(&self, i: usize) -> usize {
        let (src, tgt) = (self.examples.src_len(i), self.examples.tgt_len(i));
        (src + 1).max(tgt + 2)
    }

    /// The length of the larger side of the longest example that is trained on, special tokens included.
    pub fn widest(&self) -> usize {
        let widths = self.usable.iter().map(|&i| self.width(i));
        widths.max().expect("one example is there")
    }

    /// How large the configuration lets a batch become.
    fn limit(&self) -> BatchLimit {
        let (rows, ids) = match self.config.batch_by {
            BatchBy::Sentences => (self.config.batch_size, usize::MAX),
            BatchBy::Tokens => (usize::MAX, self.config.batch_size),
        };
        BatchLimit { rows, ids }
    }

    fn cut_by_length(&self, order: &mut [usize], limit: BatchLimit) -> Vec<Vec<usize>> {
        order.sort_by_key(|&i| (self.width(i), self.examples.src_len(i)));
        limit.cut(order, |i| self.width(i))
    }
}

/// Fisher and Yates' shuffle. It is written out because that of a library may change, and with
/// it the order of training.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for i in (1..items.len()).rev() {
        let bound = i as u128 + 1;
        let j = (u128::from(rng.next_u64()) * bound) >> 64; // in 0..=i
        items.swap(i, j as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Examples with all sorts of lengths up to 40.
    fn examples(n: usize) -> Vec<Example> {
        let example = |i: usize| Example {
            src: vec![4; 1 + i * 7 % 40],
            tgt: vec![5; 1 + i * 11 % 37],
            ..Example::default()
        };
        (0..n).map(example).collect()
    }

    fn batcher(config: BatcherConfig) -> Batcher {
        Batcher::new(config, examples(1000)).unwrap()
    }

    fn by_sentences(batch_size: usize) -> BatcherConfig {
        BatcherConfig {
            batch_size,
            bucket: 10,
            ..BatcherConfig::default()
        }
    }

    fn by_tokens(batch_size: usize) -> BatcherConfig {
        BatcherConfig {
            batch_by: BatchBy::Tokens,
            ..by_sentences(batch_size)
        }
    }

    fn padding(batcher: &Batcher, plan: &[Vec<usize>]) -> f64 {
        let (mut ids, mut lengths) = (0, 0);
        for rows in plan {
            let batch = batcher.batch(rows).unwrap();
            ids += batch.src.ids.len() + batch.tgt.ids.len();
            lengths += batch
                .src
                .lengths
                .iter()
                .chain(&batch.tgt.lengths)
                .sum::<usize>();
        }
        1.0 - lengths as f64 / ids as f64
    }

    #[test]
    fn an_epoch_has_each_example_once() {
        for config in [by_sentences(32), by_tokens(500)] {
            let batcher = batcher(config);
            assert_eq!(batcher.epoch(1, 0).len(), batcher.batches(1, 0));
            for plan in [batcher.epoch(1, 0), batcher.evaluation()] {
                let mut all = plan.concat();
                all.sort();
                assert_eq!(all, (0..1000).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn seed_and_epoch_make_the_order() {
        let batcher = batcher(by_sentences(32));
        assert_eq!(batcher.epoch(1, 5), batcher.clone().epoch(1, 5));
        let orders: BTreeSet<_> = [(1, 0), (1, 1), (0, 1), (2, 0)]
            .map(|(seed, epoch)| batcher.epoch(seed, epoch))
            .into();
        assert_eq!(orders.len(), 4);
    }

    #[test]
    fn the_order_never_changes() {
        // scripts/golden/data_golden.py
        let config = BatcherConfig {
            batch_size: 3,
            bucket: 2,
            ..BatcherConfig::default()
        };
        let batcher = Batcher::new(config, examples(10)).unwrap();
        let plan = [&[0, 7, 1][..], &[5], &[8, 2, 6], &[9, 4, 3]];
        assert_eq!(batcher.epoch(42, 7), plan);
    }

    #[test]
    fn the_shuffle_is_fair() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            shuffle(&mut items, &mut rng);
            *counts.entry(items).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(
            counts.values().all(|n| (850..1150).contains(n)),
            "{counts:?}"
        );
    }

    #[test]
    fn sizes_are_kept() {
        let sentences = batcher(by_sentences(32));
        assert!(sentences.epoch(1, 0).iter().all(|rows| rows.len() <= 32));
        assert_eq!(sentences.epoch(1, 0).len(), 1000_usize.div_ceil(32));

        let tokens = batcher(by_tokens(500));
        for rows in tokens.epoch(1, 0) {
            let batch = tokens.batch(&rows).unwrap();
            assert!(batch.src.ids.len() <= 500 && batch.tgt.ids.len() <= 500);
        }
        // Nothing fits, so each example stands alone.
        assert!(
            batcher(by_tokens(1))
                .epoch(1, 0)
                .iter()
                .all(|rows| rows.len() == 1)
        );
    }

    #[test]
    fn pools_are_sorted_by_length() {
        for config in [by_sentences(32), by_tokens(500)] {
            let plain = batcher(BatcherConfig {
                bucket: 1,
                ..config.clone()
            });
            let sorted = batcher(config);
            let [plain, sorted] = [plain, sorted].map(|b| padding(&b, &b.epoch(1, 0)));
            assert!(sorted < 0.75 * plain, "{sorted} {plain}");
        }
    }

    #[test]
    fn long_examples_are_left_out_of_training_only() {
        let batcher = batcher(BatcherConfig {
            max_src_len: 20,
            max_tgt_len: 30,
            ..by_sentences(8)
        });
        let trained = batcher.epoch(1, 0).concat();
        assert!(trained.iter().all(|i| {
            let examples = batcher.examples();
            examples.src_len(*i) <= 20 && examples.tgt_len(*i) <= 30
        }));
        assert!(batcher.dropped().too_long > 0);
        assert_eq!(trained.len() + batcher.dropped().total(), 1000);
        assert_eq!(batcher.evaluation().concat().len(), 1000);
    }

    #[test]
    fn each_example_is_left_out_for_its_first_reason() {
        let lengths = [(3, 3), (1, 3), (9, 9), (4, 2), (2, 5), (3, 3)];
        let mut writer = crate::ExampleWriter::in_memory(false);
        for (i, (src, tgt)) in lengths.into_iter().enumerate() {
            let example = Example {
                src: vec![4; src],
                tgt: vec![5; tgt],
                ..Example::default()
            };
            writer.push(&example, i == 5).unwrap();
        }
        let config = BatcherConfig {
            max_src_len: 8,
            min_len: 2,
            max_ratio: 2.0,
            ..BatcherConfig::default()
        };
        let batcher = Batcher::new(config, writer.finish("").unwrap()).unwrap();
        let dropped = Dropped {
            duplicates: 1,
            too_long: 1,
            too_short: 1,
            unequal: 1,
        };
        assert_eq!(batcher.dropped(), dropped);
        assert_eq!(batcher.usable(), [0, 3]);
    }

    #[test]
    fn weights_give_an_epoch_other_shares() {
        for config in [by_sentences(32), by_tokens(500)] {
            let batcher = batcher(config).with_weights(&[100, 900], &[3.0, 1.0]);
            let batcher = batcher.unwrap();
            let plan = batcher.epoch(1, 3);
            let all = plan.concat();
            assert_eq!(all.len(), 1000);
            assert_eq!(all.iter().filter(|&&i| i < 100).count(), 750);
            assert_eq!(plan, batcher.epoch(1, 3));
            assert_eq!(plan.len(), batcher.batches(1, 3));
        }
    }

    #[test]
    fn evaluation_is_sorted_and_can_be_put_back() {
        let batcher = batcher(by_sentences(64));
        let mut restored = vec![Vec::new(); 1000];
        let mut widest = 0;
        for rows in batcher.evaluation() {
            let batch = batcher.batch(&rows).unwrap();
            assert!(batch.src.cols.max(batch.tgt.cols) >= widest);
            widest = batch.src.cols.max(batch.tgt.cols);
            for (row, &i) in batch.indices.iter().enumerate() {
                restored[i] = batch.src.row(row).split_last().unwrap().1.to_vec();
            }
        }
        let sources = examples(1000).into_iter().map(|example| example.src);
        assert!(restored.into_iter().eq(sources));
    }

    #[test]
    fn a_very_long_example_does_not_pad_others_in_evaluation() {
        let mut examples = examples(50);
        examples[7].src = vec![4; 10_000];
        let batcher = Batcher::new(by_sentences(64), examples).unwrap();
        let plan = batcher.evaluation();
        assert_eq!(plan.len(), 2);
        assert_eq!(plan[1], [7]);
    }

    #[test]
    fn a_configuration_is_checked() {
        let parse = |text: &str| toml::from_str::<BatcherConfig>(text);
        assert_eq!(parse("").unwrap(), BatcherConfig::default());
        assert_eq!(
            parse("batch_by = 'tokens'").unwrap().batch_by,
            BatchBy::Tokens
        );
        assert!(
            parse("batchsize = 1")
                .unwrap_err()
                .to_string()
                .contains("`batchsize`")
        );
        let flat = parse("max_ratio = 0.5").unwrap().validate().unwrap_err();
        assert!(flat.to_string().contains("`max_ratio` is 0.5"), "{flat}");
        for key in ["batch_size", "max_src_len", "max_tgt_len", "bucket"] {
            let error = parse(&format!("{key} = 0"))
                .unwrap()
                .validate()
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{key}` is 0; make it at least 1")
            );
        }
    }

    #[test]
    fn no_examples_is_an_error() {
        let config = BatcherConfig {
            max_src_len: 5,
            ..BatcherConfig::default()
        };
        let long = vec![Example {
            src: vec![4; 6],
            tgt: vec![4],
            ..Example::default()
        }];
        for examples in [Vec::new(), long] {
            let error = Batcher::new(config.clone(), examples).unwrap_err();
            assert!(matches!(error, Error::NoExamples { .. }));
            assert!(error.to_string().contains("`max_src_len` (5)"), "{error}");
        }
    }
}
