//! All that is measured of one sentence.

use att_data::{Batch, Example};
use att_model::{Seq2Seq, force};

use crate::chance::Chance;
use crate::erasure::{Erasures, mask};
use crate::gradients::{Attributions, Differentiable};
use crate::other_weights::other_weights;
use crate::ranking::order;
use crate::{BINS, FaithfulConfig, Ranking, kendall_tau_b};

/// A source and the target whose steps are looked at.
#[derive(Clone, Debug, Default)]
pub struct Sentence {
    /// Where it stands in its corpus: what is drawn for it follows from that.
    pub number: usize,
    /// The ids, EOS left out.
    pub example: Example,
    /// For each target token the source tokens that it truly comes from; empty where that is not known.
    pub true_sources: Vec<Vec<usize>>,
}

impl Sentence {
    /// Whether there is something to rank, and a step to rank it for: two source tokens and one target token at
    /// least.
    pub fn is_measurable(&self) -> bool {
        self.example.src.len() >= 2 && !self.example.tgt.is_empty()
    }
}

/// Sums over the steps of a sentence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    pub steps: f64,
    /// Steps whose true source is known.
    pub aligned_steps: f64,
    /// Of random rankings: that the first is a certain token, and that it is a true one.
    pub chance_of_top: f64,
    pub chance_of_true: f64,
    pub probability: f64,
    pub uniform_distance: f64,
    pub uniform_changed: f64,
    pub permuted_distance: f64,
    pub permuted_changed: f64,
    /// In the order of [`Ranking::ALL`].
    pub rankings: [RankingSums; Ranking::ALL.len()],
}

/// Those of one ranking.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RankingSums {
    /// For each of [`BINS`].
    pub comprehensiveness: [f64; BINS.len()],
    pub sufficiency: [f64; BINS.len()],
    /// Rank correlation with attention, and the steps that have one.
    pub tau: f64,
    pub tau_steps: f64,
    /// Steps whose first token is that of leave-one-out.
    pub is_top: f64,
    /// Steps whose first token is a true one.
    pub is_true: f64,
}

/// Measures a sentence that [is measurable](Sentence::is_measurable).
///
/// # Panics
///
/// If the model has no attention.
pub(crate) fn measure(
    model: &Seq2Seq,
    differentiable: &Differentiable,
    sentence: &Sentence,
    config: &FaithfulConfig,
) -> Sums {
    let example = &sentence.example;
    let (n, steps) = (example.src.len(), example.tgt.len());
    let states = (n + 1).div_ceil(model.encoder.tokens_per_state()); // with EOS
    let sizes = [steps, n, states];
    let chance = Chance::new(config.seed, sentence.number, sizes, config.permutations);
    let batch = Batch::new(std::slice::from_ref(example), &[0]);
    let weights = force(model, &batch, false).remove(0).weights;
    let weights = weights.expect("the model attends");

    let mut erasures = Erasures::new(model, example);
    let whole = mask(&[], n);
    let one = |s: usize| mask(&[s], n);
    erasures.look_at(std::iter::once(whole.clone()).chain((0..n).map(one)));
    let p = |t: usize| erasures.probability(&whole, t);
    let without = |t: usize, s: usize| erasures.probability(&one(s), t);
    let leave_one_out = |t: usize| -> Vec<f64> { (0..n).map(|s| p(t) - without(t, s)).collect() };
    let attributions = differentiable.attributions(example, config.integration_steps);
    let importances: Vec<[Vec<f64>; Ranking::ALL.len()]> = (0..steps)
        .map(|t| {
            Ranking::ALL.map(|ranking| {
                let Attributions {
                    at_input,
                    integrated,
                } = &attributions;
                let of = |numbers: &[f32]| numbers[..n].iter().copied().map(f64::from).collect();
                match ranking {
                    Ranking::Attention => of(&weights[t]),
                    Ranking::GradientInput => at_input[t].clone(),
                    Ranking::IntegratedGradients => integrated[t].clone(),
                    Ranking::LeaveOneOut => leave_one_out(t),
                    Ranking::Random => of(&chance.importance[t]),
                    Ranking::LeastAttended => {
                        weights[t][..n].iter().map(|&w| -f64::from(w)).collect()
                    }
                }
            })
        })
        .collect();
    let orders: Vec<_> = importances
        .iter()
        .zip(&chance.ties)
        .map(|(of_step, ties)| of_step.each_ref().map(|importance| order(importance, ties)))
        .collect();
    let firsts = orders.iter().flatten();
    let firsts = firsts.flat_map(|order| BINS.map(|bin| mask(&order[..erased(bin, n)], n)));
    let both: Vec<Vec<bool>> = firsts.flat_map(|first| [opposite(&first), first]).collect();
    erasures.look_at(both);

    let mut sums = Sums {
        steps: steps as f64,
        ..Sums::default()
    };
    for (t, (importance, orders)) in importances.iter().zip(&orders).enumerate() {
        let p = erasures.probability(&whole, t);
        sums.probability += p;
        sums.chance_of_top += 1.0 / n as f64;
        let true_sources = sentence.true_sources.get(t).map_or(&[][..], |s| s);
        if !true_sources.is_empty() {
            sums.aligned_steps += 1.0;
            sums.chance_of_true += true_sources.len() as f64 / n as f64;
        }
        let attention = &importance[Ranking::Attention as usize];
        let top = orders[Ranking::LeaveOneOut as usize][0];
        for ((of, importance), order) in sums.rankings.iter_mut().zip(importance).zip(orders) {
            for (i, bin) in BINS.into_iter().enumerate() {
                let first = mask(&order[..erased(bin, n)], n);
                of.comprehensiveness[i] += p - erasures.probability(&first, t);
                of.sufficiency[i] += p - erasures.probability(&opposite(&first), t);
            }
            if let Some(tau) = kendall_tau_b(attention, importance) {
                of.tau += tau;
                of.tau_steps += 1.0;
            }
            of.is_top += f64::from(order[0] == top);
            of.is_true += f64::from(true_sources.contains(&order[0]));
        }
    }
    for found in other_weights(model, example, &chance.orders) {
        sums.uniform_distance += found.uniform.distance;
        sums.uniform_changed += found.uniform.changed;
        sums.permuted_distance += found.permuted.distance;
        sums.permuted_changed += found.permuted.changed;
    }
    sums
}

/// How many of `n` tokens a share of them is, one at least.
fn erased(bin: f64, n: usize) -> usize {
    // A share such as 0.1 of 10 is no more than that for its rounding.
    ((bin * n as f64 - 1e-9).ceil() as usize).max(1)
}

fn opposite(mask: &[bool]) -> Vec<bool> {
    mask.iter().map(|erased| !erased).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_up() {
        let of = |n: usize| BINS.map(|bin| erased(bin, n));
        assert_eq!(of(2), [1, 1, 1, 1, 1]);
        assert_eq!(of(7), [1, 1, 1, 2, 4]);
        assert_eq!(of(10), [1, 1, 1, 2, 5]);
        assert_eq!(of(100), [1, 5, 10, 20, 50]);
    }
}
