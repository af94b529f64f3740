//! How sure a score is, and whether two systems differ: bootstrap and approximate randomisation.

mod numpy_random;

use std::fmt;

use crate::{Error, Result, Statistics};
use numpy_random::NumpyRandom;

/// How to draw corpora by chance; a seed gives the same ones each time, and sacreBLEU's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resampling {
    /// How many corpora are drawn, at least one. sacreBLEU's defaults: 1000 for the bootstrap,
    /// 10000 for approximate randomisation.
    pub samples: usize,
    /// The seed of NumPy's generator. Default: 12345, sacreBLEU's.
    pub seed: u64,
}

impl Resampling {
    /// 1000 samples, for the bootstrap.
    pub const BOOTSTRAP: Self = Self {
        samples: 1000,
        seed: 12345,
    };

    /// 10000 samples, for approximate randomisation.
    pub const RANDOMISATION: Self = Self {
        samples: 10_000,
        seed: 12345,
    };

    /// As the signature has it; `kind` is `bs` or `ar`.
    fn tag(self, kind: &str) -> String {
        format!("{kind}:{}|seed:{}", self.samples, self.seed)
    }
}

/// A 95 % confidence interval by the bootstrap. Its `Display` is sacreBLEU's: `μ = 27.30 ± 1.20`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// The mean score of the resampled corpora.
    pub mean: f64,
    /// Half the width of the interval that holds their middle 95 %.
    pub half_width: f64,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "μ = {:.2} ± {:.2}", self.mean, self.half_width)
    }
}

impl Confidence {
    /// That of a number that follows from sums over the items of a corpus, such as the mean of an error: items
    /// are drawn with replacement, `score` is of the sums of those drawn.
    ///
    /// - `rows`: what each item adds to the sums, as many numbers of each
    ///
    /// ```
    /// use att_eval::{Confidence, Resampling};
    ///
    /// // Errors and steps of three sentences.
    /// let rows = [[1.0, 4.0], [2.0, 8.0], [0.5, 2.0]];
    /// let mean = |sums: &[f64]| sums[0] / sums[1];
    /// let found = Confidence::bootstrap(&rows, mean, Resampling::BOOTSTRAP)?;
    /// assert_eq!((found.mean, found.half_width), (0.25, 0.0)); // all have the same share
    /// # Ok::<(), att_eval::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there are no items, or no samples are asked for.
    pub fn bootstrap<R: AsRef<[f64]>>(
        rows: &[R],
        score: impl Fn(&[f64]) -> f64,
        resampling: Resampling,
    ) -> Result<Self> {
        let width = rows.first().ok_or(Error::Empty)?.as_ref().len();
        let scores = bootstrap(rows.len(), resampling, |drawn| {
            let mut sums = vec![0.0; width];
            for item in drawn {
                for (sum, number) in sums.iter_mut().zip(rows[item].as_ref()) {
                    *sum += number;
                }
            }
            score(&sums)
        })?;
        Ok(Self::of(scores))
    }

    /// Of `n` sorted scores, those from place `n / 40` to place `n - n / 40 - 1` are the middle.
    fn of(mut scores: Vec<f64>) -> Self {
        scores.sort_by(f64::total_cmp);
        let cut = scores.len() / 40;
        let (lower, upper) = (scores[cut], scores[scores.len() - cut - 1]);
        Self {
            mean: mean(&scores),
            half_width: 0.5 * (upper - lower),
        }
    }
}

/// What a paired test says of two systems.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The baseline's score.
    pub baseline: f64,
    /// The system's score.
    pub system: f64,
    /// The system's confidence interval; the bootstrap alone gives one.
    pub confidence: Option<Confidence>,
    /// About how probable so great a difference would be by chance, were the systems the same.
    pub p_value: f64,
    /// What to report beside the scores, such as
    /// `nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0`.
    pub signature: String,
}

impl Statistics<'_> {
    /// The confidence interval of the score: each sample has as many segments as the corpus, drawn
    /// with replacement (Koehn 2004, section 3), as sacreBLEU's `--confidence`.
    ///
    /// # Errors
    ///
    /// If no samples are asked for.
    pub fn confidence(&self, resampling: Resampling) -> Result<Confidence> {
        Ok(Confidence::of(self.bootstrap(resampling)?))
    }

    /// The signature of a score with its [`confidence`](Self::confidence).
    pub fn confidence_signature(&self, resampling: Resampling) -> String {
        self.signature_with(&resampling.tag("bs"))
    }

    /// The score of each sample.
    fn bootstrap(&self, resampling: Resampling) -> Result<Vec<f64>> {
        bootstrap(self.segments(), resampling, |drawn| {
            self.metric().score_of(&self.sums_of(drawn))
        })
    }

    fn check_pair(&self, baseline: &Statistics) -> Result<()> {
        if self.segments() == baseline.segments() {
            return Ok(());
        }
        Err(Error::UnequalCounts {
            hypotheses: self.segments(),
            what: "hypotheses of the baseline",
            others: baseline.segments(),
        })
    }
}

/// Paired bootstrap resampling (Koehn 2004), as sacreBLEU's `--paired-bs`.
///
/// Both systems are scored on the same samples. With `d` the absolute difference of the scores and
/// `d_i` that on sample `i`,
///
/// ```text
/// p = (#{i : d_i - mean(d_i) > d} + 1) / (#samples + 1)
/// ```
///
/// which is the shifted test of Riezler and Maxwell (2005), and not the share of samples that the
/// better system wins. Both statistics must be of the same metric and the same references.
///
/// # Errors
///
/// If the systems differ in the number of segments, or no samples are asked for.
pub fn paired_bootstrap(
    baseline: &Statistics,
    system: &Statistics,
    resampling: Resampling,
) -> Result<Comparison> {
    system.check_pair(baseline)?;
    let scores = system.bootstrap(resampling)?;
    let pairs = baseline.bootstrap(resampling)?.into_iter().zip(&scores);
    let differences: Vec<f64> = pairs.map(|(a, b)| (b - a).abs()).collect();
    let mean = mean(&differences);
    let shifted = differences.into_iter().map(|difference| difference - mean);
    let mut comparison = compare(baseline, system, shifted, resampling.tag("bs"));
    comparison.confidence = Some(Confidence::of(scores));
    Ok(comparison)
}

/// Paired approximate randomisation (Riezler and Maxwell 2005), as sacreBLEU's `--paired-ar`.
///
/// In each sample a coin decides for each segment whether the two systems swap their outputs. With
/// `d` the absolute difference of the scores and `d_i` that of the two mixed systems,
///
/// ```text
/// p = (#{i : d_i > d} + 1) / (#samples + 1)
/// ```
///
/// Both statistics must be of the same metric and the same references.
///
/// # Errors
///
/// If the systems differ in the number of segments, or no samples are asked for.
pub fn paired_randomisation(
    baseline: &Statistics,
    system: &Statistics,
    resampling: Resampling,
) -> Result<Comparison> {
    system.check_pair(baseline)?;
    let n = drawable(system.segments(), resampling)? as usize;
    let metric = system.metric();
    let mut random = NumpyRandom::new(resampling.seed);
    let mut coin = random.bits();
    let mut sample = || {
        let mut mixed = [vec![0.0; system.width()], vec![0.0; system.width()]];
        for i in 0..n {
            let rows = if coin() {
                [baseline.row(i), system.row(i)]
            } else {
                [system.row(i), baseline.row(i)]
            };
            for (sums, row) in mixed.iter_mut().zip(rows) {
                for (sum, number) in sums.iter_mut().zip(row) {
                    *sum += number;
                }
            }
        }
        let [a, b] = mixed.map(|sums| metric.score_of(&sums));
        (a - b).abs()
    };
    let differences: Vec<f64> = (0..resampling.samples).map(|_| sample()).collect();
    let differences = differences.into_iter();
    Ok(compare(baseline, system, differences, resampling.tag("ar")))
}

/// The score of each sample of so many segments, drawn with replacement.
fn bootstrap(
    segments: usize,
    resampling: Resampling,
    score: impl Fn(&mut dyn Iterator<Item = usize>) -> f64,
) -> Result<Vec<f64>> {
    let n = drawable(segments, resampling)?;
    let mut random = NumpyRandom::new(resampling.seed);
    let mut sample = || score(&mut (0..n).map(|_| random.below(n)));
    Ok((0..resampling.samples).map(|_| sample()).collect())
}

/// A number of segments, for drawing.
fn drawable(segments: usize, resampling: Resampling) -> Result<u32> {
    if resampling.samples == 0 {
        return Err(Error::NoSamples);
    }
    u32::try_from(segments).map_err(|_| Error::TooManySegments)
}

/// With the p-value of the statistics that chance gave.
fn compare(
    baseline: &Statistics,
    system: &Statistics,
    by_chance: impl ExactSizeIterator<Item = f64>,
    tag: String,
) -> Comparison {
    let (baseline_score, system_score) = (baseline.score(), system.score());
    let difference = (baseline_score - system_score).abs();
    let samples = by_chance.len();
    let greater = by_chance.filter(|&statistic| statistic > difference);
    Comparison {
        baseline: baseline_score,
        system: system_score,
        confidence: None,
        p_value: (greater.count() + 1) as f64 / (samples + 1) as f64,
        signature: system.signature_with(&tag),
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorRate, Metric};

    const FEW: Resampling = Resampling {
        samples: 200,
        seed: 1,
    };

    /// A system that has the words right but every `n`th.
    fn outputs(n: usize) -> Vec<String> {
        let output = |i: usize| format!("w{} v{i}", if i.is_multiple_of(n) { 0 } else { i });
        (1..=60).map(output).collect()
    }

    fn references() -> Vec<[String; 1]> {
        (1..=60).map(|i| [format!("w{i} v{i}")]).collect()
    }

    #[test]
    fn a_difference_that_is_great_is_significant_and_none_is_not() {
        let metric = ErrorRate::words();
        let statistics = |n| Statistics::new(&metric, &outputs(n), &references()).unwrap();
        let (bad, good) = (statistics(2), statistics(20));
        for test in [paired_bootstrap, paired_randomisation] {
            assert!(test(&bad, &good, FEW).unwrap().p_value < 0.01);
            let same = test(&bad, &bad, FEW).unwrap();
            let (least, p) = (1.0 / 201.0, same.p_value);
            // Nothing is greater than a difference of nothing.
            assert!((p - least).abs() < 1e-12, "{p}");
        }
    }

    #[test]
    fn the_interval_of_a_perfect_system_is_a_point_and_another_seed_another_interval() {
        let references = references();
        let perfect: Vec<_> = references.iter().map(|[text]| text).collect();
        for metric in Metric::ALL {
            let metric = metric.corpus_metric();
            let interval = |outputs: &[&String], seed| {
                let resampling = Resampling { seed, ..FEW };
                let statistics = Statistics::new(metric.as_ref(), outputs, &references).unwrap();
                statistics.confidence(resampling).unwrap()
            };
            assert!(interval(&perfect, 1).half_width < 1e-9);
            let outputs = outputs(3);
            let outputs: Vec<&String> = outputs.iter().collect();
            if metric.name() != "BLEU" {
                let drawn = interval(&outputs, 1);
                assert!(drawn.half_width > 0.1, "{}", metric.name());
                assert_eq!(drawn, interval(&outputs, 1));
                assert_ne!(drawn, interval(&outputs, 2));
            }
        }
    }

    #[test]
    fn what_cannot_be_drawn_or_compared_is_an_error() {
        let metric = ErrorRate::words();
        let one = Statistics::new(&metric, &["a"], &[["a"]]).unwrap();
        let two = Statistics::new(&metric, &["a", "b"], &[["a"], ["b"]]).unwrap();
        assert!(paired_bootstrap(&one, &two, FEW).is_err());
        assert!(paired_randomisation(&one, &two, FEW).is_err());
        let none = Resampling {
            samples: 0,
            seed: 1,
        };
        assert_eq!(one.confidence(none), Err(Error::NoSamples));
        assert!(paired_randomisation(&one, &one, none).is_err());
        assert_eq!(one.confidence(FEW).unwrap().half_width, 0.0);
    }
}
