use att_core::ops::{Mixture, mixed_log_probs};
use burn::tensor::Tensor;

use crate::search::{Scored, Stepper};

/// Several models of one target vocabulary, which search sees as one: each has its own state and its own
/// reading of the source, and all read the same target. The scores of a step are the
/// [mixture](mixed_log_probs) of their probabilities.
///
/// ```text
/// average:     p(y | x) = sum_m w[m] p[m](y | x)
/// log-linear:  p(y | x) ~ prod_m p[m](y | x)^w[m]
/// ```
#[derive(Clone, Debug)]
pub struct Ensemble<S> {
    members: Vec<S>,
    weights: Vec<f32>,
    mixture: Mixture,
    same_sources: bool,
}

impl<S: Stepper> Ensemble<S> {
    /// An ensemble of these members.
    ///
    /// - `weights`: of each member, above zero; scaled to a sum of 1
    /// - `same_sources`: whether all members have the same states for a source, so that attention can be
    ///   compared: the weights of a step are the mean of those members that attend; otherwise the first
    ///   member's
    ///
    /// # Panics
    ///
    /// If there is no member, or not one weight each.
    pub fn new(
        members: Vec<S>,
        weights: impl IntoIterator<Item = f64>,
        mixture: Mixture,
        same_sources: bool,
    ) -> Self {
        let weights: Vec<f64> = weights.into_iter().collect();
        assert!(!members.is_empty(), "an ensemble of nothing");
        assert_eq!(members.len(), weights.len(), "one weight a member");
        let sum: f64 = weights.iter().sum();
        let weights = weights.iter().map(|weight| (weight / sum) as f32).collect();
        Self {
            members,
            weights,
            mixture,
            same_sources,
        }
    }
}

impl<S> Ensemble<S> {
    /// Its members.
    pub fn members(&self) -> &[S] {
        &self.members
    }
}

impl<S: Stepper> Stepper for Ensemble<S> {
    /// Of each member.
    type State = Vec<S::State>;

    fn step(&self, tokens: &[u32], states: Self::State) -> Scored<Self::State> {
        let mut logits = Vec::with_capacity(states.len());
        let mut weights = Vec::new();
        let mut ids = None;
        let members = self.members.iter().zip(states);
        let states = members
            .map(|(member, state)| {
                let scored = member.step(tokens, state);
                logits.push(scored.logits);
                if self.same_sources || logits.len() == 1 {
                    weights.extend(scored.weights);
                }
                ids = scored.ids;
                scored.state
            })
            .collect();
        Scored {
            logits: match <[Tensor<2>; 1]>::try_from(logits) {
                Ok([alone]) => alone,
                Err(logits) => mixed_log_probs(logits, &self.weights, self.mixture),
            },
            ids,
            weights: mean(weights),
            state: states,
        }
    }

    fn select(
        &self,
        states: Self::State,
        rows: &[usize],
        sources: Option<&[usize]>,
    ) -> Self::State {
        let members = self.members.iter().zip(states);
        members
            .map(|(member, state)| member.select(state, rows, sources))
            .collect()
    }

    fn join(&self, states: Self::State, more: Self::State) -> Self::State {
        let members = self.members.iter().zip(states).zip(more);
        members
            .map(|((member, state), more)| member.join(state, more))
            .collect()
    }

    fn rows_take_time(&self) -> bool {
        self.members.iter().any(S::rows_take_time)
    }
}

/// None of nothing.
fn mean(weights: Vec<Tensor<2>>) -> Option<Tensor<2>> {
    let n = weights.len() as f64;
    let sum = weights.into_iter().reduce(|sum, weights| sum + weights);
    sum.map(|sum| sum / n)
}

#[cfg(test)]
mod tests {
    use att_core::host_vec;
    use burn::tensor::Device;

    use super::*;

    /// Has these probabilities after a row's number, which it counts up, whatever the tokens.
    struct Table {
        log_probs: [[f32; 3]; 2],
        weights: Option<[f32; 2]>,
    }

    impl Stepper for Table {
        type State = Vec<usize>;

        fn step(&self, tokens: &[u32], state: Vec<usize>) -> Scored<Vec<usize>> {
            assert_eq!(tokens.len(), state.len());
            let device = Device::flex();
            let rows: Vec<f32> = state.iter().flat_map(|&row| self.log_probs[row]).collect();
            let n = state.len();
            Scored {
                logits: Tensor::<1>::from_data(rows.as_slice(), &device).reshape([n, 3]),
                ids: None,
                weights: self.weights.map(|weights| {
                    Tensor::<2>::from_data([weights], &device).expand([n as i64, -1])
                }),
                state,
            }
        }

        fn select(
            &self,
            state: Vec<usize>,
            rows: &[usize],
            _sources: Option<&[usize]>,
        ) -> Vec<usize> {
            rows.iter().map(|&row| state[row]).collect()
        }

        fn join(&self, state: Vec<usize>, more: Vec<usize>) -> Vec<usize> {
            [state, more].concat()
        }
    }

    fn table(p: [[f32; 3]; 2], weights: Option<[f32; 2]>) -> Table {
        Table {
            log_probs: p.map(|row| row.map(f32::ln)),
            weights,
        }
    }

    fn members() -> Vec<Table> {
        vec![
            table([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], Some([1.0, 0.0])),
            table([[0.1, 0.1, 0.8], [0.3, 0.3, 0.4]], Some([0.5, 0.5])),
            table([[0.2, 0.2, 0.6], [1.0 / 3.0; 3]], None),
        ]
    }

    fn step(ensemble: &Ensemble<Table>) -> Scored<Vec<Vec<usize>>> {
        let start = vec![vec![0, 1]; ensemble.members.len()];
        let state = ensemble.select(start, &[1, 0, 1], None);
        ensemble.step(&[0; 3], state)
    }

    #[track_caller]
    fn assert_close(found: Option<Tensor<2>>, expected: &[f32]) {
        let found = host_vec(found.unwrap());
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }

    #[test]
    fn probabilities_are_mixed_with_their_weights() {
        let weights = [2.0, 1.0, 1.0];
        let average = Ensemble::new(members(), weights, Mixture::Average, false);
        let first = [0.325, 0.2, 0.475];
        let second = [
            0.05 + 0.075 + 1.0 / 12.0,
            0.475 + 1.0 / 12.0,
            0.15 + 1.0 / 12.0,
        ];
        let expected = [second, first, second].concat();
        assert_close(Some(step(&average).logits.exp()), &expected);

        let log_linear = Ensemble::new(members(), weights, Mixture::LogLinear, false);
        let product = |a: f32, b: f32, c: f32| (a * a * b * c).powf(0.25);
        let first = [
            product(0.5, 0.1, 0.2),
            product(0.25, 0.1, 0.2),
            product(0.25, 0.8, 0.6),
        ];
        let third = 1.0 / 3.0;
        let second = [
            product(0.1, 0.3, third),
            product(0.8, 0.3, third),
            product(0.1, 0.4, third),
        ];
        let expected = [second, first, second].concat();
        assert_close(Some(step(&log_linear).logits.exp()), &expected);
    }

    #[test]
    fn one_member_is_itself() {
        let alone = Ensemble::new(vec![members().remove(0)], [7.0], Mixture::Average, true);
        let expected = members()[0].log_probs;
        let expected = [expected[1], expected[0], expected[1]].concat();
        assert_eq!(host_vec(step(&alone).logits), expected);
    }

    #[test]
    fn attention_is_the_mean_where_sources_are_the_same() {
        let ensemble = |same| Ensemble::new(members(), [1.0; 3], Mixture::Average, same);
        assert_close(step(&ensemble(true)).weights, &[0.75, 0.25].repeat(3));
        assert_close(step(&ensemble(false)).weights, &[1.0, 0.0].repeat(3));
        let mut members = members();
        members.swap(0, 2);
        let without = Ensemble::new(members, [1.0; 3], Mixture::Average, false);
        assert!(step(&without).weights.is_none());
    }
}
