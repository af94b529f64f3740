use att_core::ops::{Choice, best_tokens};
use att_core::{Error, Result, check, random};
use serde::{Deserialize, Serialize};

/// Draws each token by its probability, flattened or sharpened, and cut:
///
/// ```text
/// q(y) ~ exp(logit(y) / temperature)      over the top_k most probable tokens,
///                                         of these over the fewest whose q reach top_p
/// ```
///
/// top-k: Fan et al. 2018; top-p, the nucleus: Holtzman et al. 2020, eq. 2 and 3.
///
/// A sample depends on `seed`, the source's own seed ([`Request::seed`](super::Request::seed)), its
/// number among the samples of the source, and nothing else: not on the batch, its order or its company.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// Below 1 sharper than the model, above it flatter; 1 unless told.
    pub temperature: f64,
    /// How many tokens are drawn from at most; 0, as unless told, is all of them.
    pub top_k: usize,
    /// The probability that the tokens drawn from have together, at least; 1, as unless told, is all of
    /// them.
    pub top_p: f64,
    /// Which samples; 0 unless told.
    pub seed: u64,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
        }
    }
}

impl SamplingConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check::positive("temperature", self.temperature)?;
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            let reason = format!("{} is not a probability above 0, up to 1", self.top_p);
            return Err(Error::config("top_p", reason));
        }
        Ok(())
    }

    /// A number in `[0, 1)` for a step of a sample of a source.
    pub(super) fn uniform(&self, source: u64, sample: usize, step: usize) -> f64 {
        let bits = [source, sample as u64, step as u64]
            .into_iter()
            .fold(self.seed, random::mix);
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The column that `uniform` falls on, columns that `banned` names left out; none where none is
    /// left.
    ///
    /// The columns stand in their own order, not in that of their probabilities: a difference in rounding
    /// between two batches can't exchange them.
    pub(super) fn draw(&self, logits: &[f32], banned: &[u32], uniform: f64) -> Option<usize> {
        let mut columns: Vec<usize> = if self.top_k > 0 {
            let top_k = self.top_k.min(logits.len());
            let best = best_tokens(logits, top_k, Choice::Except(banned));
            best.iter().map(|found| found.token as usize).collect()
        } else {
            let all = 0..logits.len();
            all.filter(|&column| !banned.contains(&(column as u32)))
                .collect()
        };
        let max = columns
            .iter()
            .map(|&column| logits[column])
            .fold(f32::NEG_INFINITY, f32::max);
        let weight = |column: usize| {
            let weight = (f64::from(logits[column] - max) / self.temperature).exp();
            // What is not a number is never drawn.
            if weight > 0.0 { weight } else { 0.0 }
        };
        let sum = |columns: &[usize]| columns.iter().map(|&column| weight(column)).sum::<f64>();
        if self.top_p < 1.0 {
            columns.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            let enough = self.top_p * sum(&columns);
            let mut reached = 0.0;
            let nucleus = columns.iter().take_while(|&&column| {
                let goes_on = reached < enough;
                reached += weight(column);
                goes_on
            });
            let nucleus = nucleus.count().max(1);
            columns.truncate(nucleus);
        }
        columns.sort_unstable();
        let mut left = uniform * sum(&columns);
        let drawn = columns.iter().find(|&&column| {
            left -= weight(column);
            left < 0.0
        });
        // Where rounding leaves a rest, the last that can be drawn at all.
        let last = || columns.iter().rfind(|&&column| weight(column) > 0.0);
        drawn.or_else(last).or(columns.first()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each column is drawn, at evenly spread numbers.
    fn shares(config: SamplingConfig, logits: &[f32], banned: &[u32]) -> Vec<f64> {
        let n = 10_000;
        let mut shares = vec![0.0; logits.len()];
        for i in 0..n {
            let uniform = (f64::from(i) + 0.5) / f64::from(n);
            shares[config.draw(logits, banned, uniform).unwrap()] += 1.0 / f64::from(n);
        }
        shares
    }

    #[track_caller]
    fn assert_close(found: &[f64], expected: &[f64]) {
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-3, "{found:?}, not {expected:?}");
        }
    }

    #[test]
    fn what_is_drawn_is_tempered_and_cut() {
        let logits = [0.1f32, 0.4, 0.2, 0.3].map(f32::ln);
        let plain = SamplingConfig::default();
        assert_close(&shares(plain, &logits, &[]), &[0.1, 0.4, 0.2, 0.3]);
        assert_close(&shares(plain, &logits, &[1]), &[1. / 6., 0., 2. / 6., 0.5]);
        let top_k = SamplingConfig { top_k: 2, ..plain };
        assert_close(&shares(top_k, &logits, &[]), &[0.0, 4. / 7., 0.0, 3. / 7.]);
        let top_p = |top_p| SamplingConfig { top_p, ..plain };
        assert_close(&shares(top_p(0.3), &logits, &[]), &[0.0, 1.0, 0.0, 0.0]);
        let two = [0.0, 4. / 7., 0.0, 3. / 7.];
        assert_close(&shares(top_p(0.5), &logits, &[]), &two);
        let sharp = SamplingConfig {
            temperature: 0.5,
            ..plain
        };
        let squares = [1.0, 16.0, 4.0, 9.0].map(|square| square / 30.0);
        assert_close(&shares(sharp, &logits, &[]), &squares);
        // Of the two that top-k leaves, top-p of their own sum.
        let both = SamplingConfig {
            top_k: 2,
            top_p: 0.55,
            ..plain
        };
        assert_close(&shares(both, &logits, &[]), &[0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_no_number_is_not_drawn() {
        let plain = SamplingConfig::default();
        let logits = [f32::NAN, 0.0, f32::NEG_INFINITY];
        for uniform in [0.0, 0.5, 1.0 - f64::EPSILON] {
            assert_eq!(plain.draw(&logits, &[], uniform), Some(1));
        }
        assert_eq!(plain.draw(&[f32::NAN; 2], &[], 0.5), Some(0));
        assert_eq!(plain.draw(&logits, &[0, 1, 2], 0.5), None);
    }

    #[test]
    fn numbers_differ_by_seed_source_sample_and_step() {
        let seeded = |seed| SamplingConfig {
            seed,
            ..Default::default()
        };
        let mut numbers = Vec::new();
        for seed in 0..3 {
            for source in 0..3 {
                for sample in 0..3 {
                    for step in 0..3 {
                        numbers.push(seeded(seed).uniform(source, sample, step));
                    }
                }
            }
        }
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        assert_eq!(numbers.len(), 81);
    }
}
