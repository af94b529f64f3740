use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::split::fnv1a;
use crate::{Batch, BatchLimit, Error, Example, Result};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
            bucket: 100,
        }
    }
}

impl BatcherConfig {
    /// Checks the values.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a 0.
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
/// let examples = (1..=9).map(example).collect();
/// let config = BatcherConfig { batch_size: 4, ..BatcherConfig::default() };
/// let batcher = Batcher::new(config, examples)?;
/// let plan = batcher.epoch(/* seed */ 1, /* epoch */ 0);
/// for rows in &plan[1..] {
///     let batch = batcher.batch(rows);
///     assert!(batch.src.rows <= 4);
/// }
/// # Ok::<(), att_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batcher {
    config: BatcherConfig,
    examples: Vec<Example>,
    /// The indices of the examples that are short enough to train on.
    short: Vec<usize>,
}

impl Batcher {
    /// Takes the examples.
    ///
    /// # Errors
    ///
    /// Those of [`BatcherConfig::validate`]; [`Error::NoExamples`] if no example is short enough
    /// to train on.
    pub fn new(config: BatcherConfig, examples: Vec<Example>) -> Result<Self> {
        config.validate()?;
        let short: Vec<usize> = (0..examples.len())
            .filter(|&i| {
                let Example { src, tgt, .. } = &examples[i];
                src.len() <= config.max_src_len && tgt.len() <= config.max_tgt_len
            })
            .collect();
        if short.is_empty() {
            return Err(Error::NoExamples {
                examples: examples.len(),
                max_src_len: config.max_src_len,
                max_tgt_len: config.max_tgt_len,
            });
        }
        Ok(Self {
            config,
            examples,
            short,
        })
    }

    /// All examples, also those that are left out of training.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// How many examples are too long and left out of training.
    pub fn left_out(&self) -> usize {
        self.examples.len() - self.short.len()
    }

    /// The training batches of an epoch. They depend on the examples, the configuration, the
    /// seed and the epoch only: the same on every machine.
    ///
    /// The examples are shuffled and taken in pools of about `bucket` batches; each pool is
    /// sorted by length and cut into batches; at last the batches of all pools are shuffled.
    pub fn epoch(&self, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
        let seed = fnv1a(&[seed.to_le_bytes(), epoch.to_le_bytes()].concat());
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut order = self.short.clone();
        shuffle(&mut order, &mut rng);
        let pools = order.chunks_mut(self.pool_size());
        let mut plan: Vec<_> = pools
            .flat_map(|pool| self.cut_by_length(pool, self.limit()))
            .collect();
        shuffle(&mut plan, &mut rng);
        plan
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
    /// # Panics
    ///
    /// If an index is out of range.
    pub fn batch(&self, rows: &[usize]) -> Batch {
        Batch::new(&self.examples, rows)
    }

    /// How many examples are sorted together.
    fn pool_size(&self) -> usize {
        let batch = match self.config.batch_by {
            BatchBy::Sentences => self.config.batch_size,
            BatchBy::Tokens => {
                let tokens: usize = self.short.iter().map(|&i| self.width(i)).sum();
                (self.config.batch_size * self.short.len() / tokens).max(1)
            }
        };
        self.config.bucket.saturating_mul(batch)
    }

    /// The length of the larger side of an example in a batch.
    fn width(&self, i: usize) -> usize {
        let Example { src, tgt, .. } = &self.examples[i];
        (src.len() + 1).max(tgt.len() + 2)
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
        order.sort_by_key(|&i| (self.width(i), self.examples[i].src.len()));
        limit.cut(order, |i| self.width(i))
    }
}

/// Fisher and Yates' shuffle. It is written out because that of a library may change, and with
/// it the order of training.
fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
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
            let batch = batcher.batch(rows);
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
            let batch = tokens.batch(&rows);
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
            let Example { src, tgt, .. } = &batcher.examples()[*i];
            src.len() <= 20 && tgt.len() <= 30
        }));
        assert!(batcher.left_out() > 0);
        assert_eq!(trained.len() + batcher.left_out(), 1000);
        assert_eq!(batcher.evaluation().concat().len(), 1000);
    }

    #[test]
    fn evaluation_is_sorted_and_can_be_put_back() {
        let batcher = batcher(by_sentences(64));
        let mut restored = vec![Vec::new(); 1000];
        let mut widest = 0;
        for rows in batcher.evaluation() {
            let batch = batcher.batch(&rows);
            assert!(batch.src.cols.max(batch.tgt.cols) >= widest);
            widest = batch.src.cols.max(batch.tgt.cols);
            for (row, &i) in batch.indices.iter().enumerate() {
                restored[i] = batch.src.row(row).split_last().unwrap().1.to_vec();
            }
        }
        assert!(
            restored
                .iter()
                .eq(batcher.examples().iter().map(|example| &example.src))
        );
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
        for examples in [vec![], long] {
            let error = Batcher::new(config.clone(), examples).unwrap_err();
            assert!(matches!(error, Error::NoExamples { .. }));
            assert!(error.to_string().contains("`max_src_len` (5)"), "{error}");
        }
    }
}
