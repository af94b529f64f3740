use super::*;
use crate::mask::src_pad_mask;
use crate::ops::test_support::{
    assert_close, assert_slopes, cpu_devices, gradients, random_tensor,
};
use burn::tensor::Device;

/// batch, tgt_len, src_len, n_heads, n_kv_heads, d_head.
type Sizes = [usize; 6];

struct Case {
    sizes: Sizes,
    lengths: &'static [usize],
    causal: bool,
    dropout: bool,
}

const fn case(sizes: Sizes, lengths: &'static [usize], causal: bool, dropout: bool) -> Case {
    Case {
        sizes,
        lengths,
        causal,
        dropout,
    }
}

const CASES: [Case; 6] = [
    case([1, 1, 1, 1, 1, 1], &[1], true, false),
    case([3, 2, 5, 4, 2, 3], &[5, 0, 3], false, true),
    case([3, 6, 6, 4, 1, 8], &[6, 1, 4], true, true),
    case([4, 5, 7, 3, 3, 11], &[7, 1, 0, 4], false, false),
    case([2, 4, 9, 2, 2, 40], &[9, 6], true, false),
    case([2, 1, 9, 2, 2, 40], &[9, 9], true, false),
];

fn arguments(
    [batch, tgt_len, src_len, n_heads, n_kv_heads, d]: Sizes,
    device: &Device,
) -> [Tensor<3>; 3] {
    let kv = [batch, src_len, n_kv_heads * d];
    [
        random_tensor([batch, tgt_len, n_heads * d], device) * 3.0,
        random_tensor(kv, device) * 3.0,
        random_tensor(kv, device),
    ]
}

fn inputs([query, keys, values]: [Tensor<3>; 3], case: &Case) -> MultiHeadInputs {
    let [batch, tgt_len, src_len, n_heads, ..] = case.sizes;
    let device = query.device();
    crate::random::seed(8);
    let shape = [batch, n_heads, tgt_len, src_len];
    let factors = |factors| burn::tensor::TensorData::new(factors, shape);
    let dropout = crate::random::dropout_mask(shape.iter().product(), 0.4);
    MultiHeadInputs {
        query,
        keys,
        values,
        n_heads,
        mask: Some(src_pad_mask(case.lengths, src_len, &device)),
        causal: case.causal,
        dropout: case
            .dropout
            .then(|| Tensor::from_data(factors(dropout), &device)),
    }
}

/// Context and weights side by side, `[batch, tgt_len, n_heads * (d_head + src_len)]`.
fn both(out: MultiHeadRead) -> Tensor<3> {
    let [batch, n_heads, tgt_len, src_len] = out.weights.dims();
    let weights = out.weights.swap_dims(1, 2);
    let weights = weights.reshape([batch, tgt_len, n_heads * src_len]);
    Tensor::cat(vec![out.context, weights], 2)
}

fn run(arguments: [Tensor<3>; 3], case: &Case, fused: bool) -> Tensor<3> {
    let inputs = inputs(arguments, case);
    both(if fused {
        multi_head_read(inputs)
    } else {
        multi_head_read_reference(inputs)
    })
}

fn each(test: impl Fn(&Case, [Tensor<3>; 3])) {
    for device in cpu_devices() {
        for case in &CASES {
            crate::random::seed(3);
            test(case, arguments(case.sizes, &device));
        }
    }
}

#[test]
fn fused_equals_reference_on_every_cpu_backend() {
    each(|case, arguments| {
        let fused = run(arguments.clone(), case, true);
        assert_close(fused, run(arguments, case, false), 1e-5);
    });
}

#[test]
fn gradients_equal_those_of_the_reference() {
    each(|case, arguments| {
        let fused = gradients(arguments.clone(), |a| run(a, case, true));
        let reference = gradients(arguments, |a| run(a, case, false));
        for (fused, reference) in fused.into_iter().zip(reference) {
            assert_close(fused, reference, 1e-5);
        }
    });
}

#[test]
fn gradients_equal_finite_differences() {
    each(|case, arguments| assert_slopes(arguments, |a| run(a, case, true)));
}

#[test]
fn each_output_has_a_gradient_of_its_own() {
    each(|case, arguments| {
        let of = |fused: bool, context: bool| {
            let tracked = arguments
                .clone()
                .map(|tensor| tensor.autodiff().require_grad());
            let inputs = inputs(tracked.clone(), case);
            let out = if fused {
                multi_head_read(inputs)
            } else {
                multi_head_read_reference(inputs)
            };
            let loss = if context {
                out.context.powi_scalar(2).sum()
            } else {
                out.weights.powi_scalar(2).sum()
            };
            let grads = loss.backward();
            [0, 1].map(|i| tracked[i].grad(&grads).expect("tracked"))
        };
        for context in [true, false] {
            for (fused, reference) in of(true, context).into_iter().zip(of(false, context)) {
                assert_close(fused, reference, 1e-5);
            }
        }
    });
}

#[test]
fn masks_may_have_holes_also_where_a_query_stands() {
    for device in cpu_devices() {
        let (o, x) = (false, true);
        let mask = Tensor::from_data([[x, x, o, x, o], [o, x, o, o, x]], &device);
        for case in [
            case([2, 5, 5, 2, 2, 3], &[5, 5], true, false),
            case([2, 2, 5, 2, 1, 3], &[5, 5], true, true),
            case([2, 6, 5, 2, 2, 3], &[5, 5], false, true),
        ] {
            crate::random::seed(5);
            let arguments = arguments(case.sizes, &device);
            let run = |arguments: [Tensor<3>; 3], fused: bool| {
                let inputs = MultiHeadInputs {
                    mask: Some(mask.clone()),
                    ..inputs(arguments, &case)
                };
                both(if fused {
                    multi_head_read(inputs)
                } else {
                    multi_head_read_reference(inputs)
                })
            };
            let expected = run(arguments.clone(), false);
            assert_close(run(arguments.clone(), true), expected, 1e-5);
            let reference = gradients(arguments.clone(), |a| run(a, false));
            let fused = gradients(arguments, |a| run(a, true));
            for (fused, reference) in fused.into_iter().zip(reference) {
                assert_close(fused, reference, 1e-5);
            }
        }
    }
}

#[test]
fn padding_is_not_read() {
    for device in cpu_devices() {
        for tgt_len in [1, 5] {
            crate::random::seed(6);
            let case = case([2, tgt_len, 6, 2, 2, 3], &[4, 0], false, false);
            let [query, keys, values] = arguments(case.sizes, &device);
            let mask = src_pad_mask(case.lengths, 6, &device);
            let poison = |tensor: Tensor<3>| {
                let mask = mask.clone().unsqueeze_dim::<3>(2).expand(tensor.shape());
                tensor.mask_fill(mask, f32::NAN)
            };
            let poisoned = [query.clone(), poison(keys.clone()), poison(values.clone())];
            let expected = run([query, keys, values], &case, true);
            assert_close(run(poisoned.clone(), &case, true), expected, 0.0);
            for gradient in gradients(poisoned, |a| run(a, &case, true)) {
                let finite = gradient.into_data().iter::<f32>().all(f32::is_finite);
                assert!(finite, "padding reaches a gradient");
            }
        }
    }
}

#[test]
#[should_panic(expected = "heads do not fit")]
fn heads_that_do_not_divide_are_refused() {
    let device = &cpu_devices()[0];
    let case = case([1, 1, 1, 3, 2, 4], &[1], false, false);
    run(arguments(case.sizes, device), &case, true);
}
