//! What several models find probable, as one.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData, assert_shape};

use super::log_sum_exp;
use super::simd::{exp, ln, vectorise};
use crate::{Error, Result, host_vec};

/// How probabilities of several models become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mixture {
    /// Their weighted mean: a token is probable where one model finds it so.
    #[default]
    Average,
    /// Their weighted geometric mean: a token is probable where no model finds it improbable.
    LogLinear,
}

impl Mixture {
    const ALL: [Self; 2] = [Self::Average, Self::LogLinear];
}

impl fmt::Display for Mixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Average => "average",
            Self::LogLinear => "log_linear",
        })
    }
}

impl FromStr for Mixture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL
            .into_iter()
            .find(|mixture| mixture.to_string() == name);
        found.ok_or_else(|| {
            Error::config(
                "mixture",
                format!("no mixture '{name}': average or log_linear"),
            )
        })
    }
}

/// The log-probabilities of a mixture of models, with `p[m] = softmax(logits[m])`:
///
/// ```text
/// average:     log sum_m w[m] p[m]
/// log-linear:  sum_m w[m] log p[m]        raw scores: their softmax is the mixture
/// ```
///
/// - `logits`: of each model, `[rows, vocab]`; minus infinity where a token can't be
/// - `weights`: one a model, above zero; with a sum of 1 an average is one of probabilities
/// - returns `[rows, vocab]`, on the device of the first
///
/// Computed on the host, as search needs it there.
///
/// # Panics
///
/// If there is no model, or not one weight each, or the shapes disagree.
pub fn mixed_log_probs(logits: Vec<Tensor<2>>, weights: &[f32], mixture: Mixture) -> Tensor<2> {
    assert!(!logits.is_empty(), "a mixture of no models");
    assert_eq!(logits.len(), weights.len(), "one weight a model");
    let ([rows, vocab], device) = (logits[0].dims(), logits[0].device());
    let mut models = Vec::with_capacity(logits.len());
    for logits in logits {
        assert_shape!(logits, [rows, vocab]);
        models.push(host_vec(logits));
    }
    let mut mixed = vec![0.0; rows * vocab];
    for (row, mixed) in mixed.chunks_mut(vocab.max(1)).enumerate() {
        let models: Vec<&[f32]> = models
            .iter()
            .map(|model| &model[row * vocab..][..vocab])
            .collect();
        vectorise(
            #[inline(always)]
            || match mixture {
                Mixture::Average => average(mixed, &models, weights),
                Mixture::LogLinear => log_linear(mixed, &models, weights),
            },
        );
    }
    Tensor::from_data(TensorData::new(mixed, [rows, vocab]), &device)
}

/// Around the greatest of the models' log-probabilities, so that none is too small.
#[inline(always)]
fn average(out: &mut [f32], models: &[&[f32]], weights: &[f32]) {
    let log_sums: Vec<f32> = models.iter().map(|logits| log_sum_exp(logits)).collect();
    out.fill(f32::NEG_INFINITY);
    for (logits, log_sum) in models.iter().zip(&log_sums) {
        for (out, x) in out.iter_mut().zip(*logits) {
            let log_prob = x - log_sum;
            *out = if log_prob > *out { log_prob } else { *out };
        }
    }
    let mut sums = vec![0.0; out.len()];
    for ((logits, log_sum), weight) in models.iter().zip(&log_sums).zip(weights) {
        for ((sum, max), x) in sums.iter_mut().zip(&*out).zip(*logits) {
            // Of a token that can't be the greatest is minus infinity.
            let max = f32::max(*max, f32::MIN);
            *sum += weight * exp(x - log_sum - max);
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out += ln(sum);
    }
}

#[inline(always)]
fn log_linear(out: &mut [f32], models: &[&[f32]], weights: &[f32]) {
    for (logits, weight) in models.iter().zip(weights) {
        let log_sum = log_sum_exp(logits);
        for (out, x) in out.iter_mut().zip(*logits) {
            *out += weight * (x - log_sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{cpu_devices, random_tensor};

    fn softmax(logits: &[f32]) -> Vec<f64> {
        let exp: Vec<f64> = logits.iter().map(|&x| f64::from(x).exp()).collect();
        let sum: f64 = exp.iter().sum();
        exp.into_iter().map(|x| x / sum).collect()
    }

    #[test]
    fn mixtures_are_those_of_the_equations() {
        for device in cpu_devices() {
            for vocab in [1, 7, 70] {
                crate::random::seed(5);
                let logits: Vec<Tensor<2>> = (0..3)
                    .map(|_| random_tensor([2, vocab], &device) * 9.0)
                    .collect();
                let rows: Vec<Vec<f32>> = logits.iter().cloned().map(host_vec).collect();
                let weights = [0.5, 0.3, 0.2];
                for mixture in Mixture::ALL {
                    let found = host_vec(mixed_log_probs(logits.clone(), &weights, mixture));
                    for (i, found) in found.into_iter().enumerate() {
                        let (row, token) = (i / vocab, i % vocab);
                        let p = rows.iter().zip(weights).map(|(logits, weight)| {
                            let p = softmax(&logits[row * vocab..][..vocab])[token];
                            (p, f64::from(weight))
                        });
                        let expected = match mixture {
                            Mixture::Average => p.map(|(p, w)| w * p).sum::<f64>().ln(),
                            Mixture::LogLinear => p.map(|(p, w)| w * p.ln()).sum::<f64>(),
                        };
                        let error = (f64::from(found) - expected).abs();
                        assert!(error < 1e-5 * expected.abs().max(1.0), "{mixture} {found}");
                    }
                }
            }
        }
    }

    #[test]
    fn of_equal_models_it_is_the_model() {
        crate::random::seed(6);
        let logits = random_tensor([3, 40], &cpu_devices()[0]) * 5.0;
        let rows = host_vec(logits.clone());
        for mixture in Mixture::ALL {
            let found = host_vec(mixed_log_probs(vec![logits.clone(); 2], &[0.5; 2], mixture));
            for (found, row) in found.chunks(40).zip(rows.chunks(40)) {
                let log_sum = log_sum_exp(row);
                let expected: Vec<f32> = row.iter().map(|x| x - log_sum).collect();
                assert_eq!(found, expected, "{mixture}");
            }
        }
    }

    #[test]
    fn what_cannot_be_stays_so_and_what_hardly_can_is_told() {
        let device = &cpu_devices()[0];
        let none = f32::NEG_INFINITY;
        let one = Tensor::from_data([[none, 0.0, -200.0]], device);
        let two = Tensor::from_data([[none, 0.0, none]], device);
        let models = vec![one, two];
        let found = host_vec(mixed_log_probs(models.clone(), &[0.5; 2], Mixture::Average));
        assert_eq!(found[..2], [none, 0.0]);
        assert!((found[2] - (-200.0 - 2f32.ln())).abs() < 1e-4);
        let found = host_vec(mixed_log_probs(models, &[0.5; 2], Mixture::LogLinear));
        assert_eq!(found, [none, 0.0, none]);
    }

    #[test]
    fn names_are_read_back() {
        for mixture in Mixture::ALL {
            assert_eq!(mixture.to_string().parse::<Mixture>().unwrap(), mixture);
        }
        let error = "mean".parse::<Mixture>().unwrap_err().to_string();
        assert!(
            error.contains("mean") && error.contains("log_linear"),
            "{error}"
        );
    }
}
