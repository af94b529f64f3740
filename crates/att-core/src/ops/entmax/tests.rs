use super::*;
use crate::mask::src_pad_mask;
use crate::ops::test_support::{
    assert_close, assert_slopes, cpu_devices, devices, gradients, random_tensor,
};
use burn::tensor::Device;

const ALPHAS: [Alpha; 2] = [Alpha::OneAndHalf, Alpha::Two];

/// batch, tgt_len, src_len, the lengths of the sources, and how far apart the scores are.
type Case = ([usize; 3], &'static [usize], f64);

const CASES: [Case; 5] = [
    ([1, 1, 1], &[1], 1.0),
    ([3, 2, 5], &[5, 0, 3], 1.0),
    ([2, 3, 64], &[64, 20], 0.1),
    ([2, 3, 64], &[64, 20], 10.0),
    ([4, 1, 201], &[201, 7, 100, 1], 3.0),
];

fn each(devices: Vec<Device>, test: impl Fn(Tensor<3>, Tensor<3, Bool>, Alpha)) {
    for device in devices {
        for (shape, lengths, scale) in CASES {
            for alpha in ALPHAS {
                crate::random::seed(5);
                let scores = random_tensor(shape, &device) * (scale / 0.3);
                let mask = src_pad_mask(lengths, shape[2], &device).unsqueeze_dim(1);
                test(scores, mask, alpha);
            }
        }
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

#[test]
fn kernels_equal_the_reference_with_gradients() {
    each(devices(), |scores, mask, alpha| {
        let fused = entmax(scores.clone(), mask.clone(), alpha);
        let plain = entmax_reference(scores.clone(), mask.clone(), alpha);
        assert_close(fused, plain, 2e-6);
        let fused = gradients([scores.clone()], |[s]| entmax(s, mask.clone(), alpha));
        let plain = gradients([scores], |[s]| entmax_reference(s, mask.clone(), alpha));
        assert_close(fused[0].clone(), plain[0].clone(), 2e-5);
    });
}

/// Of 1.5-entmax: sparsemax has kinks, which a difference may step over; see the next.
#[test]
fn gradients_equal_finite_differences() {
    each(cpu_devices(), |scores, mask, alpha| {
        if alpha == Alpha::OneAndHalf {
            assert_slopes([scores], |[s]| entmax(s, mask.clone(), alpha));
        }
    });
}

#[test]
fn gradients_of_sparsemax_equal_finite_differences_away_from_its_kinks() {
    for device in cpu_devices() {
        // tau is 0.3, 0.25 and, of one alone, -0.5: all further than the step from any score.
        let scores = [[[1.0, 0.6, -0.2], [0.5, 0.7, 0.55], [0.5, -3.0, -0.9]]];
        let mask = Tensor::from_data([[[false, false, false]]], &device);
        let scores = Tensor::from_data(scores, &device);
        assert_slopes([scores], |[s]| entmax(s, mask.clone(), Alpha::Two));
    }
}

#[test]
fn weights_sum_to_one_over_what_is_left() {
    each(cpu_devices(), |scores, mask, alpha| {
        let shape = scores.dims();
        let weights = numbers(entmax(scores, mask.clone(), alpha));
        let mask: Vec<bool> = mask.expand(shape).into_data().iter().collect();
        for (weights, mask) in weights.chunks(shape[2]).zip(mask.chunks(shape[2])) {
            let masked_whole = mask.iter().all(|masked| *masked);
            let sum: f32 = weights.iter().sum();
            assert!((sum - f32::from(!masked_whole)).abs() < 1e-5, "{sum}");
            let mut at_padding = weights.iter().zip(mask).filter(|(_, masked)| **masked);
            assert!(at_padding.all(|(weight, _)| *weight == 0.0));
        }
    });
}

/// Sparsemax of (1, 0.6, -0.2) has tau 0.3; 1.5-entmax of two equal scores is a half each, and of two
/// that are 2 apart the lesser gets nothing.
#[test]
fn small_cases_by_hand() {
    for device in devices() {
        let of = |scores: &[f32], alpha| {
            let scores = Tensor::<1>::from_data(scores, &device);
            let mask = scores.clone().is_nan();
            numbers(entmax(scores, mask, alpha))
        };
        let close = |found: Vec<f32>, expected: &[f32]| {
            let mut pairs = found.iter().zip(expected);
            assert!(pairs.all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        };
        close(of(&[1.0, 0.6, -0.2], Alpha::Two), &[0.7, 0.3, 0.0]);
        close(of(&[7.0, 7.0], Alpha::OneAndHalf), &[0.5, 0.5]);
        close(of(&[2.0, 0.0, -1.0], Alpha::OneAndHalf), &[1.0, 0.0, 0.0]);
        close(of(&[1e4, -1e4], Alpha::Two), &[1.0, 0.0]);
        close(of(&[1e4, -1e4], Alpha::OneAndHalf), &[1.0, 0.0]);
    }
}

#[test]
fn padding_is_not_read() {
    for device in cpu_devices() {
        for alpha in ALPHAS {
            let scores = Tensor::<2>::from_data([[0.1, f32::NAN], [f32::NAN, f32::NAN]], &device);
            let mask = src_pad_mask(&[1, 0], 2, &device);
            let tracked = scores.autodiff().require_grad();
            let weights = entmax(tracked.clone(), mask, alpha);
            assert_eq!(numbers(weights.clone()), [1.0, 0.0, 0.0, 0.0]);
            let gradient = tracked.grad(&weights.sum().backward()).unwrap();
            assert_eq!(numbers(gradient), [0.0; 4]);
        }
    }
}
