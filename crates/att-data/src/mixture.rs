use std::ops::Range;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::batcher::shuffle;
use crate::split::fnv1a;
use crate::{Error, Result};

/// How much of each corpus an epoch has, where that is not each pair once.
///
/// Of the N pairs of an epoch, N being those of all corpora, corpus i gives `N w_i / sum_j w_j`, rounded, but one at
/// least. It gives them from an endless row: its pairs shuffled, then shuffled anew, and so on; epoch e takes
/// up where e - 1 ended. So none comes again before all of its corpus were there, and an epoch follows from seed
/// and number alone.
#[derive(Clone, Debug)]
pub(crate) struct Mixture {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    /// Where the corpus stands among what may be trained on.
    range: Range<usize>,
    /// Pairs that it gives to an epoch.
    share: usize,
}

impl Mixture {
    /// - `sizes`: how many of all examples each corpus has
    /// - `usable`: the numbers of those that may be trained on, ascending
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the weights are not one positive number for each corpus, or a corpus has nothing
    /// to train on.
    pub(crate) fn new(sizes: &[usize], weights: &[f64], usable: &[usize]) -> Result<Self> {
        let refuse = |message: String| {
            let key = "weights";
            Err(Error::Config { key, message })
        };
        if weights.len() != sizes.len() {
            return refuse(format!(
                "are {}, but there are {} corpora; give each its weight",
                weights.len(),
                sizes.len()
            ));
        }
        if let Some(weight) = weights.iter().find(|w| !(**w > 0.0 && w.is_finite())) {
            return refuse(format!("have {weight}; make it positive"));
        }
        let sum: f64 = weights.iter().sum();
        let (mut end, mut from) = (0, 0);
        let mut parts = Vec::new();
        for (i, (size, weight)) in sizes.iter().zip(weights).enumerate() {
            end += size;
            let to = usable.partition_point(|&example| example < end);
            if from == to {
                return refuse(format!(
                    "have one for corpus {}, of which no pair is left to train on",
                    i + 1
                ));
            }
            let share = (usable.len() as f64 * weight / sum).round() as usize;
            parts.push(Part {
                range: from..to,
                share: share.max(1),
            });
            from = to;
        }
        Ok(Self { parts })
    }

    /// How many examples an epoch has.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.share).sum()
    }

    /// The examples of an epoch, corpus by corpus.
    pub(crate) fn epoch(&self, usable: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.len());
        for (i, Part { range, share }) in self.parts.iter().enumerate() {
            let (size, share) = (range.len() as u64, *share as u64);
            let (begin, end) = (epoch * share, (epoch + 1) * share);
            for pass in begin / size..end.div_ceil(size) {
                let seed = [seed, i as u64 + 1, pass].map(u64::to_le_bytes);
                let mut rng = Xoshiro256PlusPlus::seed_from_u64(fnv1a(&seed.concat()));
                let mut all = usable[range.clone()].to_vec();
                shuffle(&mut all, &mut rng);
                let first = pass * size;
                let [from, to] = [begin.max(first), end.min(first + size)];
                order.extend(&all[(from - first) as usize..(to - first) as usize]);
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_its_shares_and_epochs_pass_through_each_corpus() {
        let usable: Vec<usize> = (0..25).filter(|i| i % 5 != 0).collect();
        let mixture = Mixture::new(&[5, 20], &[3.0, 1.0], &usable).unwrap();
        assert_eq!(mixture.len(), 20);
        let mut of_first = Vec::new();
        let mut of_second = Vec::new();
        for epoch in 0..16 {
            let order = mixture.epoch(&usable, 1, epoch);
            assert_eq!(order, mixture.epoch(&usable, 1, epoch));
            assert_ne!(order, mixture.epoch(&usable, 2, epoch));
            of_first.extend_from_slice(&order[..15]);
            of_second.extend_from_slice(&order[15..]);
        }
        for (row, size) in [(of_first, 4), (of_second, 16)] {
            let passes: Vec<Vec<usize>> = row.chunks(size).map(<[usize]>::to_vec).collect();
            for (n, pass) in passes.iter().enumerate() {
                let mut sorted = pass.clone();
                sorted.sort();
                sorted.dedup();
                assert_eq!(sorted.len(), size, "pass {n}: {pass:?}");
            }
            assert!(
                passes.iter().any(|pass| *pass != passes[0]),
                "shuffled once only"
            );
        }
    }

    #[test]
    fn weights_that_do_not_fit_are_named() {
        let refused = |sizes: &[usize], weights: &[f64], expected: &str| {
            let usable: Vec<usize> = (0..4).collect();
            let error = Mixture::new(sizes, weights, &usable)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused(
            &[4],
            &[1.0, 2.0],
            "`weights` are 2, but there are 1 corpora",
        );
        refused(&[2, 2], &[1.0, 0.0], "have 0; make it positive");
        refused(&[2, 2], &[f64::NAN, 1.0], "positive");
        refused(&[4, 2], &[1.0, 1.0], "corpus 2");
    }
}
