use serde::Serialize;

use crate::alignment::heaviest;
use crate::{AttentionMap, END, coverage, entropy, sharpness};

/// What a corpus of attention maps looks like, in numbers; each is 0 where there is nothing to average.
///
/// Let `p[t]` be the weights of step t divided by their sum, `[src_len]`; steps that attend to nothing are
/// left out everywhere. `a[t] = argmax_s p[t][s]`, and the place of position i among n is
/// `x(i, n) = (i + 0.5) / n`. The step that puts out the end of the sentence ([`END`]) counts for entropy and
/// sharpness alone, and the column of the end counts as a source token in those two alone.
///
/// | number | formula | range |
/// | --- | --- | --- |
/// | `entropy` | mean over steps of `-sum_s p[t][s] ln p[t][s]` ([`entropy()`]) | 0 (one token) to ln src_len (flat) |
/// | `sharpness` | mean over steps of the greatest weight ([`sharpness()`]) | 0 to 1 |
/// | `under_attended` | share of source tokens with `c[s] < mean(c) / 2`, where `c[s] = sum_t weight[t][s]` ([`coverage()`]) | 0 to 1 |
/// | `over_attended` | share of source tokens with `c[s] > 2 mean(c)` | 0 to 1 |
/// | `monotonicity` | share of steps t > 1 with `a[t] >= a[t - 1]` | 0 to 1; 1 never goes back |
/// | `diagonality` | mean over steps of `1 - sum_s p[t][s] abs(x(s, src_len) - x(t, tgt_len))` | 0 to 1; 1 on the diagonal, about 2/3 where weights are flat |
/// | `repetition` | mean over steps t > 1 of `sum_s min(p[t][s], sum_(u < t) p[u][s])`, the coverage loss of See et al. 2017 (eq. 12) | 0 to 1; 0 looks at nothing twice |
///
/// ```
/// use att_inspect::{AttentionMap, NumbersSum};
///
/// let tokens = |text: &str| text.split(' ').map(String::from).collect();
/// let mut sum = NumbersSum::default();
/// sum.add(&AttentionMap::new(tokens("a b"), tokens("x y"), vec![1.0, 0.0, 0.0, 1.0])?);
/// let numbers = sum.numbers();
/// assert_eq!((numbers.monotonicity, numbers.diagonality, numbers.repetition), (1.0, 1.0, 0.0));
/// # Ok::<(), att_inspect::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct AttentionNumbers {
    /// How many maps there are.
    pub maps: usize,
    /// How many steps attended to anything.
    pub steps: usize,
    /// In nats.
    pub entropy: f64,
    /// Of the greatest weight.
    pub sharpness: f64,
    /// Source tokens with less than half of the mean coverage.
    pub under_attended: f64,
    /// Source tokens with more than twice the mean coverage.
    pub over_attended: f64,
    /// Of steps that do not go back.
    pub monotonicity: f64,
    /// Nearness to the diagonal.
    pub diagonality: f64,
    /// Attention to what was attended before.
    pub repetition: f64,
}

/// [`AttentionNumbers`] as they come in, map by map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NumbersSum {
    maps: usize,
    entropy: Mean,
    sharpness: Mean,
    under_attended: Mean,
    over_attended: Mean,
    monotonicity: Mean,
    diagonality: Mean,
    repetition: Mean,
}

/// A sum and how many it is of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Mean {
    sum: f64,
    n: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    fn value(self) -> f64 {
        self.sum / self.n.max(1) as f64
    }
}

impl NumbersSum {
    /// Adds a map.
    pub fn add(&mut self, map: &AttentionMap) {
        self.maps += 1;
        let attends = |row: &[f32]| row.iter().any(|weight| *weight > 0.0);
        let of_steps = entropy(map).into_iter().zip(sharpness(map));
        for ((entropy, sharpness), row) in of_steps.zip(map.rows()) {
            if attends(row) {
                self.entropy.add(entropy);
                self.sharpness.add(f64::from(sharpness));
            }
        }

        let n_src = before_end(map.src_tokens());
        let n_tgt = before_end(map.tgt_tokens());
        let covered = &coverage(map)[..n_src];
        let mean = covered.iter().sum::<f64>() / n_src.max(1) as f64;
        for &covered in covered {
            self.under_attended.add(f64::from(covered < mean / 2.0));
            self.over_attended.add(f64::from(covered > 2.0 * mean));
        }

        let place = |i: usize, n: usize| (i as f64 + 0.5) / n as f64;
        let mut last = None;
        let mut before = vec![0.0; n_src];
        for t in 0..n_tgt {
            let row = &map.row(t)[..n_src];
            if !attends(row) {
                continue;
            }
            let total: f64 = row.iter().copied().map(f64::from).sum();
            let p = || row.iter().map(|weight| f64::from(*weight) / total);
            if last.is_some() {
                let again = p().zip(&before).map(|(p, before)| p.min(*before));
                self.repetition.add(again.sum());
                self.monotonicity.add(f64::from(heaviest(row) >= last));
            }
            last = heaviest(row);
            let off = (0..)
                .zip(p())
                .map(|(s, p)| p * (place(s, n_src) - place(t, n_tgt)).abs());
            self.diagonality.add(1.0 - off.sum::<f64>());
            for (before, p) in before.iter_mut().zip(p()) {
                *before += p;
            }
        }
    }

    /// The means.
    pub fn numbers(&self) -> AttentionNumbers {
        AttentionNumbers {
            maps: self.maps,
            steps: self.entropy.n,
            entropy: self.entropy.value(),
            sharpness: self.sharpness.value(),
            under_attended: self.under_attended.value(),
            over_attended: self.over_attended.value(),
            monotonicity: self.monotonicity.value(),
            diagonality: self.diagonality.value(),
            repetition: self.repetition.value(),
        }
    }
}

/// How many tokens there are before the end of the sentence.
fn before_end(tokens: &[String]) -> usize {
    tokens.len() - usize::from(tokens.last().is_some_and(|token| token == END))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::map;

    fn numbers(maps: &[AttentionMap]) -> AttentionNumbers {
        let mut sum = NumbersSum::default();
        maps.iter().for_each(|map| sum.add(map));
        sum.numbers()
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
    }

    #[test]
    fn by_hand() {
        #[rustfmt::skip]
        let map = map("a|b|c|</s>", "x|y|z|</s>", &[
            1.0, 0.0, 0.0, 0.0,
            0.0, 0.0, 1.0, 0.0,
            0.5, 0.0, 0.0, 0.5, // of a, b and c it looks at a alone
            0.0, 0.0, 0.0, 1.0,
        ]);
        let found = numbers(&[map]);
        assert_eq!((found.maps, found.steps), (1, 4));
        assert_close(found.entropy, 2f64.ln() / 4.0);
        assert_close(found.sharpness, 3.5 / 4.0);
        // Coverage is 1.5, 0 and 1; half of the mean 2.5 / 3 is more than 0, and twice of it than 1.5.
        assert_close(found.under_attended, 1.0 / 3.0);
        assert_close(found.over_attended, 0.0);
        assert_close(found.monotonicity, 0.5);
        assert_close(found.diagonality, 1.0 - (0.0 + 1.0 / 3.0 + 2.0 / 3.0) / 3.0);
        assert_close(found.repetition, (0.0 + 1.0) / 2.0);
    }

    #[test]
    fn corpora_are_averaged_over_steps_and_tokens() {
        let sharp = map("a|b", "x|y", &[1.0, 0.0, 0.0, 1.0]);
        let flat = map("a|b|c|d|e", "x", &[0.2; 5]);
        let found = numbers(&[sharp, flat]);
        assert_close(found.entropy, 5f64.ln() / 3.0);
        assert_close(found.sharpness, 2.2 / 3.0);
        let off = (0.4 + 0.2 + 0.0 + 0.2 + 0.4) / 5.0;
        assert_close(found.diagonality, (2.0 + 1.0 - off) / 3.0);
        assert_close(found.monotonicity, 1.0);
    }

    #[test]
    fn over_attended_tokens_have_more_than_twice_the_mean() {
        let map = map("a|b|c", "x|y", &[1.0, 0.0, 0.0, 0.9, 0.1, 0.0]);
        let found = numbers(&[map]);
        assert_close(found.over_attended, 1.0 / 3.0);
        assert_close(found.under_attended, 2.0 / 3.0);
        assert_close(found.repetition, 0.9);
    }

    #[test]
    fn nothing_gives_zeros() {
        let empty = AttentionMap::new(vec![], vec!["x".into()], vec![]).unwrap();
        let zero = map("a|b", "x|y", &[0.0; 4]);
        let found = numbers(&[empty, zero]);
        assert_eq!(
            found,
            AttentionNumbers {
                maps: 2,
                ..Default::default()
            }
        );
        assert_eq!(numbers(&[]), AttentionNumbers::default());
    }
}
