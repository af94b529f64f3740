use super::*;
use crate::ops::test_support::{assert_close, cpu_devices, devices, random_tensor, tolerance_on};
use crate::random;
use burn::tensor::{Device, TensorData};

#[derive(Clone, Copy, Debug)]
struct Case {
    /// W as the transpose of a `[vocab, d]` table.
    tied: bool,
    bias: bool,
    smoothing: f64,
    fused: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for tied in [false, true] {
        for bias in [false, true] {
            for smoothing in [0.0, 0.1] {
                cases.push(Case {
                    tied,
                    bias,
                    smoothing,
                    fused: true,
                });
            }
        }
    }
    cases
}

/// Tokens, features and vocabulary; the last is more than two chunks.
const SIZES: [[usize; 3]; 6] = [
    [1, 1, 1],
    [1, 5, 37],
    [4, 3, 1],
    [33, 16, 37],
    [130, 17, 64],
    [1100, 9, 53],
];

fn gold([n, _, vocab]: [usize; 3]) -> Vec<u32> {
    (0..n).map(|i| ((i * 7 + 3) % vocab) as u32).collect()
}

/// Features, `[d, vocab]` (or the table), and bias.
type Arguments = (Tensor<2>, Tensor<2>, Tensor<1>);

fn arguments([n, d, vocab]: [usize; 3], tied: bool, device: &Device) -> Arguments {
    random::seed(8);
    let features = random_tensor([n, d], device) * 5.0;
    let weight = random_tensor([d, vocab], device);
    let weight = if tied {
        weight.transpose() * 1.0
    } else {
        weight
    };
    (features, weight, random_tensor([vocab], device))
}

fn run((features, weight, bias): Arguments, gold: &[u32], case: Case) -> CrossEntropy {
    let weight = if case.tied {
        weight.transpose()
    } else {
        weight
    };
    let bias = case.bias.then_some(bias);
    if case.fused {
        return linear_cross_entropy(features, weight, bias, gold, case.smoothing);
    }
    let mut logits = features.matmul(weight);
    if let Some(bias) = bias {
        logits = logits + bias.unsqueeze();
    }
    cross_entropy(logits, gold, case.smoothing)
}

#[test]
fn fused_equals_reference_on_every_backend() {
    for device in devices() {
        for sizes in SIZES {
            for case in cases() {
                let arguments = arguments(sizes, case.tied, &device);
                let gold = gold(sizes);
                let fused = run(arguments.clone(), &gold, case);
                let plain = run(
                    arguments,
                    &gold,
                    Case {
                        fused: false,
                        ..case
                    },
                );
                assert_close(fused.loss, plain.loss, 1e-5);
                assert_close(fused.nll, plain.nll, 1e-5);
            }
        }
    }
}

#[test]
fn gradients_equal_those_of_the_reference() {
    // Of a loss that is weighed, and of the loss itself.
    for factor in [1.0, -2.5] {
        for device in devices() {
            for sizes in SIZES {
                for case in cases() {
                    let of = |case: Case| {
                        let (x, w, b) = arguments(sizes, case.tied, &device);
                        let x = x.autodiff().require_grad();
                        let (w, b) = (w.autodiff().require_grad(), b.autodiff().require_grad());
                        let out = run((x.clone(), w.clone(), b.clone()), &gold(sizes), case);
                        let loss = if factor == 1.0 {
                            out.loss
                        } else {
                            out.loss * factor
                        };
                        let grads = loss.backward();
                        (
                            x.grad(&grads).unwrap(),
                            w.grad(&grads).unwrap(),
                            b.grad(&grads),
                        )
                    };
                    let (fused, plain) = (
                        of(case),
                        of(Case {
                            fused: false,
                            ..case
                        }),
                    );
                    // Gradients are means over tokens: compared at the size of a token's.
                    let n = sizes[0] as f64;
                    assert_close(fused.0 * n, plain.0 * n, 1e-5);
                    assert_close(fused.1 * n, plain.1 * n, 2e-5 * n.sqrt() as f32);
                    if case.bias {
                        let (fused, plain) = (fused.2.unwrap(), plain.2.unwrap());
                        assert_close(fused * n, plain * n, 2e-5 * n.sqrt() as f32);
                    }
                }
            }
        }
    }
}

#[test]
fn the_formula_holds() {
    let p = [[0.5f32, 0.25, 0.25], [0.1, 0.8, 0.1]];
    for device in devices() {
        let features = Tensor::<2>::from_data(p, &device).log() + 3.0;
        let out = linear_cross_entropy(features, Tensor::eye(3, &device), None, &[0, 1], 0.1);
        let nll = -(0.5f32.ln() + 0.8f32.ln()) / 2.0;
        let uniform = -p.as_flattened().iter().map(|p| p.ln()).sum::<f32>() / 6.0;
        let tolerance = tolerance_on(&device, 1e-6);
        assert!((out.nll.into_scalar::<f32>() - nll).abs() < tolerance);
        let loss = 0.9 * nll + 0.1 * uniform;
        assert!((out.loss.into_scalar::<f32>() - loss).abs() < tolerance);
    }
}

#[test]
fn huge_scores_stay_finite() {
    for device in devices() {
        let device = device.autodiff();
        let features = Tensor::<2>::from_data([[1e4], [-1e4]], &device).require_grad();
        let weight = Tensor::from_data([[1.0, 0.0, -1.0]], &device).require_grad();
        let out = linear_cross_entropy(features.clone(), weight.clone(), None, &[0, 0], 0.1);
        // The first token is sure and right, the second sure and wrong by 2e4.
        assert!((out.nll.into_scalar::<f32>() - 1e4).abs() < 1e-2);
        let grads = out.loss.backward();
        for gradient in [features.grad(&grads), weight.grad(&grads)] {
            let gradient = gradient.unwrap().into_data();
            assert!(gradient.iter::<f32>().all(f32::is_finite));
        }
    }
}

#[test]
fn without_a_tape_the_loss_is_the_same() {
    for device in devices() {
        let sizes = [600, 8, 19];
        for case in cases() {
            let (x, w, b) = arguments(sizes, case.tied, &device);
            let plain = run((x.clone(), w.clone(), b.clone()), &gold(sizes), case);
            let x = x.autodiff().require_grad();
            let taped = run((x, w.autodiff(), b.autodiff()), &gold(sizes), case);
            assert_close(plain.loss, taped.loss.inner(), 1e-6);
            assert_close(plain.nll, taped.nll.inner(), 1e-6);
        }
    }
}

#[test]
fn the_generic_body_equals_the_kernel() {
    use burn::backend::Flex;
    let sizes = [6, 5, 11];
    let (x, w, b) = arguments(sizes, false, &cpu_devices()[0]);
    let x = x.try_into_primitive::<Flex>().expect("flex");
    let w = w.try_into_primitive::<Flex>().expect("flex");
    let b = b.try_into_primitive::<Flex>().expect("flex");
    let gold = gold(sizes);
    let (loss, nll, dx, dw, db) =
        generic::forward::<Flex>(x.clone(), w.clone(), b.clone(), &gold, 0.1);
    let kernel = Flex::linear_cross_entropy_forward(x, w, b, &gold, 0.1);
    fn same<const D: usize>(generic: FloatTensor<Flex>, kernel: FloatTensor<Flex>) {
        let generic = Tensor::<D>::from_primitive::<Flex>(generic);
        assert_close(generic, Tensor::from_primitive::<Flex>(kernel), 1e-5);
    }
    same::<1>(loss, kernel.0);
    same::<1>(nll, kernel.1);
    same::<2>(dx, kernel.2);
    same::<2>(dw, kernel.3);
    same::<1>(db, kernel.4);
}

fn small(gold: &[u32]) -> CrossEntropy {
    let device = &cpu_devices()[0];
    let features = Tensor::from_data(TensorData::new(vec![0.5f32; 2 * 3], [2, 3]), device);
    linear_cross_entropy(features, Tensor::ones([3, 4], device), None, gold, 0.0)
}

#[test]
#[should_panic(expected = "the gold token 4 is not one of the 4 of the vocabulary")]
fn a_gold_token_beyond_the_vocabulary_panics() {
    small(&[0, 4]);
}

#[test]
#[should_panic(expected = "one gold token a position")]
fn a_missing_gold_token_panics() {
    small(&[0]);
}

#[test]
#[should_panic(expected = "at least one token")]
fn no_token_panics() {
    let device = &cpu_devices()[0];
    let none = Tensor::from_data(TensorData::new(Vec::<f32>::new(), [0, 3]), device);
    linear_cross_entropy(none, Tensor::ones([3, 4], device), None, &[], 0.0);
}
