use att_core::ops::{CrossEntropy, TokenTerms};
use att_core::special::UNK;
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, assert_shape};

use super::{Copies, CopyIds};

/// Raw scores over the extended vocabulary, `[n, vocab + n_extra]`: with s the `scores` of the
/// vocabulary, `[n, vocab]`, z the `gate`, `[n, 1]`, and m(w) the weight of a token's places in the source
///
/// ```text
/// P(w) = sigmoid(z) softmax(s)(w) + (1 - sigmoid(z)) m(w)
///      = sigmoid(z) / S (exp(s(w)) + m(w) exp(log S - z))        S = sum_v exp(s(v))
/// ```
///
/// of which the scores are the logarithm of what is in parentheses; that of an extra token that a
/// source does not have is minus infinity.
pub(crate) fn extended_scores(scores: Tensor<2>, gate: Tensor<2>, copies: Copies) -> Tensor<2> {
    let [n, vocab] = scores.dims();
    let Copies { weights, ids } = copies;
    let CopyIds { ids, n_extra } = ids;
    let [_, src_len] = weights.dims();
    assert_shape!(weights, [n, src_len]);
    assert_shape!(ids, [n, src_len]);
    let of_copying = log_sum_exp(scores.clone()) - gate;
    let device = (&scores.device(), scores.dtype());
    let masses = Tensor::<2>::zeros([n, vocab + n_extra], device);
    let add = IndexingUpdateOp::Add;
    let masses = masses.scatter(1, ids.clone(), weights.clone(), add);

    // Of the vocabulary only the tokens of the source change. Where one stands at several places, each
    // adds its share of the difference.
    let mass = masses.clone().gather(1, ids.clone());
    let is_extra = ids.clone().greater_equal_elem(vocab as i64);
    let ids = ids.mask_fill(is_extra.clone(), 0);
    let before = scores.clone().gather(1, ids.clone());
    let after = log_add_exp(before.clone(), log(mass.clone()) + of_copying.clone());
    let share = weights / mass.clamp_min(f32::MIN_POSITIVE);
    let difference = ((after - before) * share).mask_fill(is_extra, 0.0);
    let scores = scores.scatter(1, ids, difference, IndexingUpdateOp::Add);
    if n_extra == 0 {
        return scores;
    }
    let masses = masses.narrow(1, vocab, n_extra);
    let is_absent = masses.clone().lower_equal_elem(0.0);
    let extra = (log(masses) + of_copying).mask_fill(is_absent, f32::NEG_INFINITY);
    Tensor::cat(vec![scores, extra], 1)
}

/// A token of the extended vocabulary in the vocabulary itself.
pub(crate) fn known(id: u32, vocab: usize) -> u32 {
    if (id as usize) < vocab { id } else { UNK }
}

/// The loss of `gold` tokens of the extended vocabulary, with s, z and m as in [`extended_scores`]:
///
/// ```text
/// nll  = -mean_i log P_i(gold_i)
/// loss = (1 - smoothing) nll - smoothing mean_i mean_v log softmax(s_i)(v)
/// ```
///
/// Label smoothing is that of the vocabulary alone: neither gate nor attention are drawn to tokens that
/// are not right. An m below the least normal number of an f32 counts as that, so that no loss is infinite.
///
/// - `terms`: of the scores of the vocabulary, with the [`known`] ones for the gold tokens
pub(crate) fn extended_cross_entropy(
    terms: TokenTerms,
    gate: Tensor<2>,
    copies: Copies,
    gold: &[u32],
    vocab: usize,
    smoothing: f64,
) -> CrossEntropy {
    let Copies { weights, ids } = copies;
    let ([n, _], [_, src_len]) = (gate.dims(), weights.dims());
    assert_shape!(weights, [n, src_len]);
    let end = vocab + ids.n_extra;
    if let Some(id) = gold.iter().find(|&&id| id as usize >= end) {
        panic!("the gold token {id} is not one of the {end} of the extended vocabulary");
    }
    let gold: Vec<i64> = gold.iter().map(|&id| i64::from(id)).collect();
    let gold = Tensor::<1, Int>::from_data(gold.as_slice(), &gate.device()).unsqueeze_dim::<2>(1);

    // The vocabulary does not have the others: as good as the logarithm of nothing.
    let is_extra = gold.clone().greater_equal_elem(vocab as i64);
    let generated = terms.of_gold.unsqueeze_dim::<2>(1) + log_sigmoid(gate.clone());
    let generated = generated.mask_fill(is_extra, -1e9);
    let of_gold = ids.ids.equal(gold.expand([n, src_len]));
    let mass = (weights * of_gold.float()).sum_dim(1);
    let copied = log(mass) + log_sigmoid(-gate);
    let nll = -log_add_exp(generated, copied).mean();
    let loss = if smoothing > 0.0 {
        nll.clone() * (1.0 - smoothing) - terms.mean.mean() * smoothing
    } else {
        nll.clone()
    };
    CrossEntropy { loss, nll }
}

/// The logarithm of numbers from 0 on; finite, also of nothing.
fn log(x: Tensor<2>) -> Tensor<2> {
    x.clamp_min(f32::MIN_POSITIVE).log()
}

/// `log (exp(a) + exp(b))` of finite numbers.
fn log_add_exp(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let max = a.clone().max_pair(b.clone()).detach();
    ((a - max.clone()).exp() + (b - max.clone()).exp()).log() + max
}

/// `log sum_v exp(x[v])`, `[n, 1]`.
fn log_sum_exp(x: Tensor<2>) -> Tensor<2> {
    let max = x.clone().max_dim(1).detach();
    (x - max.clone()).exp().sum_dim(1).log() + max
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::ops::linear_log_probs;
    use att_core::{DeviceSpec, random};
    use burn::tensor::{Device, TensorData, activation::softmax};

    const VOCAB: usize = 5;
    /// One token twice, one that the vocabulary lacks twice; the last two are padding of the second.
    const IDS: [[i64; 5]; 2] = [[4, 5, 6, 5, 4], [6, 3, 4, 0, 0]];
    const WEIGHTS: [[f32; 5]; 2] = [[0.1, 0.2, 0.4, 0.0, 0.3], [0.45, 0.05, 0.5, 0.0, 0.0]];
    const N_EXTRA: usize = 3;

    /// The loss, from scores.
    fn cross_entropy(
        scores: Tensor<2>,
        gate: Tensor<2>,
        copies: Copies,
        gold: &[u32],
        smoothing: f64,
    ) -> CrossEntropy {
        let known = gold.iter().map(|&id| known(id, VOCAB)).collect::<Vec<_>>();
        let eye = Tensor::eye(VOCAB, &scores.device());
        let terms = linear_log_probs(scores, eye, None, &known);
        extended_cross_entropy(terms, gate, copies, gold, VOCAB, smoothing)
    }

    struct Case {
        scores: Tensor<2>,
        gate: Tensor<2>,
        weights: Tensor<2>,
        ids: CopyIds,
    }

    impl Case {
        fn new(device: &Device) -> Self {
            random::seed(5);
            let scores = TensorData::new(random::normal(2 * VOCAB, 2.0), [2, VOCAB]);
            Self {
                scores: Tensor::from_data(scores, device),
                gate: Tensor::from_data([[0.7], [-1.2]], device),
                weights: Tensor::from_data(WEIGHTS, device),
                ids: CopyIds {
                    ids: Tensor::from_data(IDS, device),
                    n_extra: N_EXTRA,
                },
            }
        }

        fn copies(&self) -> Copies {
            Copies {
                weights: self.weights.clone(),
                ids: self.ids.clone(),
            }
        }

        /// P of the extended vocabulary, by its definition.
        fn expected(&self) -> Vec<Vec<f64>> {
            let numbers = |tensor: &Tensor<2>| tensor.to_data().iter::<f64>().collect::<Vec<_>>();
            let (scores, gate) = (numbers(&self.scores), numbers(&self.gate));
            let of_row = |row: usize| {
                let p_gen = 1.0 / (1.0 + (-gate[row]).exp());
                let scores = &scores[row * VOCAB..][..VOCAB];
                let sum: f64 = scores.iter().map(|s| s.exp()).sum();
                let mut p = vec![0.0; VOCAB + N_EXTRA];
                for (p, s) in p.iter_mut().zip(scores) {
                    *p = p_gen * s.exp() / sum;
                }
                for (id, weight) in IDS[row].iter().zip(WEIGHTS[row]) {
                    p[*id as usize] += (1.0 - p_gen) * f64::from(weight);
                }
                p
            };
            (0..2).map(of_row).collect()
        }
    }

    fn devices() -> [Device; 2] {
        [DeviceSpec::Flex, DeviceSpec::NdArray].map(|spec| spec.init().unwrap())
    }

    #[test]
    fn the_scores_are_those_of_the_mixture() {
        for device in devices() {
            let case = Case::new(&device);
            let scores = extended_scores(case.scores.clone(), case.gate.clone(), case.copies());
            let found: Vec<f64> = softmax(scores.clone(), 1).into_data().iter().collect();
            let expected = case.expected().concat();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
            }
            let scores: Vec<f32> = scores.into_data().iter().collect();
            for (score, expected) in scores.iter().zip(expected) {
                assert_eq!(*score == f32::NEG_INFINITY, expected == 0.0);
            }
        }
    }

    #[test]
    fn nothing_to_copy_leaves_the_vocabulary() {
        let device = Device::flex();
        let mut case = Case::new(&device);
        case.ids = CopyIds {
            ids: Tensor::from_data([[3; 5]; 2], &device),
            n_extra: 0,
        };
        let scores = extended_scores(case.scores.clone(), case.gate.clone(), case.copies());
        assert_eq!(scores.dims(), [2, VOCAB]);
        let changed = (scores - case.scores).into_data();
        for (i, change) in changed.iter::<f32>().enumerate() {
            assert_eq!(change > 0.0, i % VOCAB == 3, "EOS alone is copied");
        }
    }

    #[test]
    fn the_loss_is_that_of_the_mixture() {
        for device in devices() {
            let case = Case::new(&device);
            for gold in [[4, 3], [6, 6], [5, 1], [0, 4]] {
                for smoothing in [0.0, 0.1] {
                    let (scores, gate) = (case.scores.clone(), case.gate.clone());
                    let found = cross_entropy(scores, gate, case.copies(), &gold, smoothing);
                    let p = case.expected();
                    let nll = -(p[0][gold[0] as usize].ln() + p[1][gold[1] as usize].ln()) / 2.0;
                    let vocabulary = softmax(case.scores.clone(), 1).log().mean();
                    let uniform: f64 = vocabulary.into_scalar();
                    let loss = (1.0 - smoothing) * nll - smoothing * uniform;
                    let close = |found: Tensor<1>, expected: f64| {
                        let found: f64 = found.into_scalar();
                        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
                    };
                    close(found.nll, nll);
                    close(found.loss, loss);
                }
            }
        }
    }

    /// Differences of the loss, in each number that it depends on.
    #[test]
    fn the_gradients_are_the_slopes() {
        let device = Device::flex().autodiff();
        let case = Case::new(&device);
        let loss = |[scores, gate, weights]: [Tensor<2>; 3], gold: &[u32]| {
            let ids = case.ids.clone();
            cross_entropy(scores, gate, Copies { weights, ids }, gold, 0.1).loss
        };
        for gold in [[4, 3], [6, 6], [5, 1]] {
            let arguments = [&case.scores, &case.gate, &case.weights]
                .map(|tensor| tensor.clone().require_grad());
            let grads = loss(arguments.clone(), &gold).backward();
            for (at, argument) in arguments.iter().enumerate() {
                let gradient = argument.grad(&grads).expect("each has one").into_data();
                for (i, gradient) in gradient.iter::<f64>().enumerate() {
                    const H: f32 = 2e-3;
                    let moved = |by: f32| {
                        let mut arguments =
                            [&case.scores, &case.gate, &case.weights].map(Clone::clone);
                        let dims = arguments[at].dims();
                        let mut numbers: Vec<f32> = arguments[at].to_data().iter().collect();
                        numbers[i] += by;
                        let data = TensorData::new(numbers, dims);
                        arguments[at] = Tensor::from_data(data, &device);
                        loss(arguments, &gold).into_scalar::<f64>()
                    };
                    let slope = (moved(H) - moved(-H)) / f64::from(2.0 * H);
                    let allowed = 1e-2 * slope.abs().max(0.1);
                    assert!(
                        (gradient - slope).abs() < allowed,
                        "{gold:?}, argument {at}, element {i}: {gradient}, not {slope}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_ever_infinite_in_training() {
        let device = Device::flex().autodiff();
        let mut case = Case::new(&device);
        // The first token to copy has no weight at all, and the gates are shut on both sides.
        case.weights = Tensor::from_data([[1.0, 0.0, 0.0, 0.0, 0.0]; 2], &device);
        case.gate = Tensor::from_data([[200.0], [-200.0]], &device);
        case.scores = case.scores * 100.0;
        let arguments =
            [&case.scores, &case.gate, &case.weights].map(|tensor| tensor.clone().require_grad());
        let [scores, gate, weights] = arguments.clone();
        let ids = case.ids;
        let copies = Copies { weights, ids };
        let loss = cross_entropy(scores, gate, copies, &[5, 1], 0.1).loss;
        assert!(loss.clone().into_scalar::<f32>().is_finite());
        let grads = loss.backward();
        for argument in arguments {
            let gradient = argument.grad(&grads).unwrap().into_data();
            assert!(gradient.iter::<f32>().all(f32::is_finite));
        }
    }
}
