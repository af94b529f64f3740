use super::*;
use crate::mask::src_pad_mask;
use crate::ops::test_support::{
    assert_close, assert_slopes, cpu_devices, gradients, random_tensor,
};
use burn::tensor::Device;

/// batch, tgt_len, src_len, d, and the lengths of the sources.
const CASES: [([usize; 4], &[usize]); 5] = [
    ([1, 1, 1, 1], &[1]),
    ([3, 1, 5, 2], &[5, 0, 3]),
    ([4, 3, 7, 33], &[7, 1, 0, 4]),
    ([2, 9, 3, 70], &[3, 2]),
    ([5, 6, 40, 17], &[13, 40, 1, 39, 16]),
];

fn arguments([batch, tgt_len, src_len, d]: [usize; 4], device: &Device) -> [Tensor<3>; 2] {
    [
        random_tensor([batch, tgt_len, src_len], device) * 5.0,
        random_tensor([batch, src_len, d], device),
    ]
}

/// Context and weights side by side.
fn run([scores, values]: [Tensor<3>; 2], mask: &Tensor<2, Bool>, fused: bool) -> Tensor<3> {
    let read = if fused {
        attention_read
    } else {
        attention_read_reference
    };
    let out = read(scores, values, mask.clone());
    Tensor::cat(vec![out.context, out.weights], 2)
}

fn each(test: impl Fn([Tensor<3>; 2], Tensor<2, Bool>)) {
    for device in cpu_devices() {
        for (sizes, lengths) in CASES {
            crate::random::seed(3);
            let arguments = arguments(sizes, &device);
            test(arguments, src_pad_mask(lengths, sizes[2], &device));
        }
    }
}

#[test]
fn fused_equals_reference_on_every_cpu_backend() {
    each(|arguments, mask| {
        let fused = run(arguments.clone(), &mask, true);
        assert_close(fused, run(arguments, &mask, false), 1e-5);
    });
}

#[test]
fn gradients_equal_those_of_the_reference() {
    each(|arguments, mask| {
        let fused = gradients(arguments.clone(), |a| run(a, &mask, true));
        let reference = gradients(arguments, |a| run(a, &mask, false));
        for (fused, reference) in fused.into_iter().zip(reference) {
            assert_close(fused, reference, 1e-5);
        }
    });
}

#[test]
fn gradients_equal_finite_differences() {
    for device in cpu_devices() {
        for (sizes, lengths) in &CASES[..3] {
            crate::random::seed(4);
            let mask = src_pad_mask(lengths, sizes[2], &device);
            assert_slopes(arguments(*sizes, &device), |a| run(a, &mask, true));
        }
    }
}

#[test]
fn each_output_has_a_gradient_of_its_own() {
    for device in cpu_devices() {
        crate::random::seed(5);
        let mask = src_pad_mask(&[4, 2], 4, &device);
        let arguments = arguments([2, 3, 4, 5], &device);
        for of_context in [true, false] {
            let part = |out: AttentionRead| match of_context {
                true => out.context,
                false => out.weights,
            };
            let of = |read: fn(_, _, _) -> _| {
                let [scores, values] = arguments.clone();
                let scores = scores.autodiff().require_grad();
                let out = part(read(scores.clone(), values.autodiff(), mask.clone()));
                let factors = Tensor::arange(0..out.shape().num_elements() as i64, &device);
                let factors = factors.float().reshape(out.shape()).autodiff();
                let grads = (out * factors).sum().backward();
                scores.grad(&grads).expect("tracked")
            };
            assert_close(of(attention_read), of(attention_read_reference), 1e-5);
        }
    }
}

#[test]
fn masks_may_have_holes() {
    for device in cpu_devices() {
        crate::random::seed(6);
        let (o, x) = (false, true);
        let mask = Tensor::from_data([[x, o, x, o, x], [o, o, o, x, o]], &device);
        for tgt_len in [1, 6] {
            let arguments = arguments([2, tgt_len, 5, 3], &device);
            let fused = run(arguments.clone(), &mask, true);
            assert_close(fused, run(arguments.clone(), &mask, false), 1e-5);
            let fused = gradients(arguments.clone(), |a| run(a, &mask, true));
            let reference = gradients(arguments, |a| run(a, &mask, false));
            for (fused, reference) in fused.into_iter().zip(reference) {
                assert_close(fused, reference, 1e-5);
            }
        }
    }
}

#[test]
fn padding_is_not_read() {
    for device in cpu_devices() {
        crate::random::seed(7);
        let mask = src_pad_mask(&[2, 0], 3, &device);
        for tgt_len in [1, 5] {
            let [scores, values] = arguments([2, tgt_len, 3, 4], &device);
            let poison = |tensor: Tensor<3>, mask: Tensor<3, Bool>| {
                let mask = mask.expand(tensor.shape());
                tensor.mask_fill(mask, f32::NAN)
            };
            let poisoned = [
                poison(scores.clone(), mask.clone().unsqueeze_dim(1)),
                poison(values.clone(), mask.clone().unsqueeze_dim(2)),
            ];
            let expected = run([scores, values], &mask, true);
            assert_close(run(poisoned.clone(), &mask, true), expected, 0.0);
            for gradient in gradients(poisoned, |a| run(a, &mask, true)) {
                let finite = gradient.into_data().iter::<f32>().all(f32::is_finite);
                assert!(finite, "padding reaches a gradient");
            }
        }
    }
}

#[test]
fn huge_scores_stay_finite() {
    for device in cpu_devices() {
        let scores = Tensor::from_data([[[1e4, -1e4, 9e3], [-1e4, -1e4, -1e4]]], &device);
        let values = Tensor::from_data([[[1.0], [2.0], [4.0]]], &device);
        let mask = src_pad_mask(&[3], 3, &device);
        let out = run([scores.clone(), values.clone()], &mask, true);
        let third = 1.0 / 3.0;
        let expected = [[[1.0, 1.0, 0.0, 0.0], [7.0 * third, third, third, third]]];
        assert_close(out, Tensor::from_data(expected, &device), 1e-6);
        for gradient in gradients([scores, values], |a| run(a, &mask, true)) {
            assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));
        }
    }
}

#[test]
#[should_panic(expected = "nothing to read")]
fn an_empty_batch_is_refused() {
    let device = &cpu_devices()[0];
    let mask = src_pad_mask(&[], 3, device);
    attention_read(
        Tensor::zeros([0, 2, 3], device),
        Tensor::zeros([0, 3, 4], device),
        mask,
    );
}
