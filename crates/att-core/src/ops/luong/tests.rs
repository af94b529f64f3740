use super::*;
use crate::ops::test_support::{
    assert_close, assert_slopes, cpu_devices, devices, gradients, random_tensor,
};
use burn::tensor::Device;

struct Sizes {
    batch: usize,
    tgt_len: usize,
    src_len: usize,
    d_embed: usize,
    d_memory: usize,
    d_attn: usize,
    d_hidden: usize,
    d_out: usize,
}

impl Sizes {
    const fn new([batch, tgt_len, src_len]: [usize; 3], d: [usize; 5]) -> Self {
        let [d_embed, d_memory, d_attn, d_hidden, d_out] = d;
        Self {
            batch,
            tgt_len,
            src_len,
            d_embed,
            d_memory,
            d_attn,
            d_hidden,
            d_out,
        }
    }
}

const CASES: [(Sizes, &[usize], &[usize]); 3] = [
    (Sizes::new([1, 1, 1], [1, 1, 1, 1, 1]), &[1], &[1]),
    (
        Sizes::new([3, 4, 5], [2, 6, 7, 3, 4]),
        &[5, 0, 3],
        &[2, 4, 1],
    ),
    (
        Sizes::new([5, 6, 3], [7, 10, 33, 17, 35]),
        &[3, 2, 3, 1, 3],
        &[6, 6, 3, 1, 5],
    ),
];

/// What computes it.
#[derive(Clone, Copy)]
enum Way {
    Operation,
    /// From the fused operations of a step.
    Steps,
    Reference,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    lstm: bool,
    additive: bool,
    dropout: bool,
}

fn kinds() -> impl Iterator<Item = Kind> {
    let bit = |i: usize, at: usize| i >> at & 1 == 1;
    (0..8).map(move |i| Kind {
        lstm: bit(i, 0),
        additive: bit(i, 1),
        dropout: bit(i, 2),
    })
}

/// Those of all kinds; the last three are of an additive score.
fn arguments(sizes: &Sizes, kind: Kind, device: &Device) -> [Tensor<3>; 13] {
    let Sizes {
        batch,
        tgt_len,
        src_len,
        d_embed,
        d_memory,
        d_attn,
        d_hidden: d,
        d_out,
    } = *sizes;
    let gates = if kind.lstm { 4 } else { 3 };
    let last = if kind.lstm { batch } else { 1 };
    let d_key = if kind.additive { d_attn } else { d };
    [
        [batch, tgt_len, d_embed],
        [1, batch, d],
        [batch, src_len, d_key],
        [batch, src_len, d_memory],
        [1, d_embed + d_out, gates * d],
        [1, 1, gates * d],
        [1, d, gates * d],
        [1, last, d],
        [1, d + d_memory, d_out],
        [1, 1, d_out],
        [1, d, d_key],
        [1, 1, d_key],
        [1, 1, d_key],
    ]
    .map(|shape| random_tensor(shape, device))
}

fn run(
    arguments: [Tensor<3>; 13],
    kind: Kind,
    (src_lengths, tgt_lengths): (&[usize], &[usize]),
    by: Way,
) -> Tensor<3> {
    let [y, s, keys, memory, wi, bi, wr, last, wa, ba, wq, bq, v] = arguments;
    let (matrix, vector) = (
        |t: Tensor<3>| t.squeeze_dim::<2>(0),
        |t: Tensor<3>| t.squeeze_dims::<1>(&[0, 1]),
    );
    let [batch, tgt_len, _] = y.dims();
    let [_, _, d_out] = ba.dims();
    let dropout = kind.dropout.then(|| {
        crate::random::seed(5);
        let factors = crate::random::dropout_mask(batch * tgt_len * d_out, 0.3);
        let factors = burn::tensor::TensorData::new(factors, [batch, tgt_len, d_out]);
        Tensor::from_data(factors, &y.device())
    });
    // What a score does not use still gets a gradient in `gradients`: of zero.
    let unused = (wq.clone().sum() + bq.clone().sum() + v.clone().sum()) * 0.0;
    let inputs = LuongInputs {
        embedded: y,
        hidden: matrix(s),
        cell: kind.lstm.then(|| matrix(last.clone())),
        keys,
        memory,
        score: match kind.additive {
            false => LuongScore::Dot { scale: 0.8 },
            true => LuongScore::Additive {
                query_weight: matrix(wq),
                query_bias: vector(bq),
                v: vector(v),
            },
        },
        input_weight: matrix(wi),
        input_bias: vector(bi),
        recurrent_weight: matrix(wr),
        recurrent_bias: (!kind.lstm).then(|| vector(last)),
        attentional_weight: matrix(wa),
        attentional_bias: vector(ba),
        dropout,
    };
    let run = match by {
        Way::Operation => luong,
        Way::Steps => composed::luong_composed,
        Way::Reference => luong_reference,
    };
    let states = run(inputs, src_lengths, tgt_lengths);
    Tensor::cat(vec![states.attentional, states.weights], 2) + unused.unsqueeze()
}

fn each(test: impl Fn([Tensor<3>; 13], Kind, (&[usize], &[usize]))) {
    for device in devices() {
        for (sizes, src, tgt) in &CASES {
            for kind in kinds() {
                crate::random::seed(3);
                test(arguments(sizes, kind, &device), kind, (src, tgt));
            }
        }
    }
}

#[test]
fn both_ways_equal_the_reference_on_every_backend() {
    each(|arguments, kind, lengths| {
        let expected = run(arguments.clone(), kind, lengths, Way::Reference);
        for by in [Way::Operation, Way::Steps] {
            let found = run(arguments.clone(), kind, lengths, by);
            assert_close(found, expected.clone(), 1e-5);
        }
    });
}

#[test]
fn gradients_equal_those_of_the_reference() {
    each(|arguments, kind, lengths| {
        let of = |by| gradients(arguments.clone(), |a| run(a, kind, lengths, by));
        let expected = of(Way::Reference);
        for by in [Way::Operation, Way::Steps] {
            for (found, expected) in of(by).into_iter().zip(&expected) {
                assert_close(found, expected.clone(), 3e-5);
            }
        }
    });
}

#[test]
fn gradients_equal_finite_differences() {
    let device = &cpu_devices()[0];
    let (sizes, src, tgt) = &CASES[1];
    for kind in kinds() {
        crate::random::seed(6);
        let arguments = arguments(sizes, kind, device);
        assert_slopes(arguments, |a| run(a, kind, (src, tgt), Way::Operation));
    }
}

#[test]
fn padding_of_sources_is_not_read() {
    for device in cpu_devices() {
        let (sizes, src, tgt) = &CASES[1];
        for kind in kinds() {
            crate::random::seed(7);
            let arguments = arguments(sizes, kind, &device);
            let mask = crate::mask::src_pad_mask(src, sizes.src_len, &device);
            let mut poisoned = arguments.clone();
            for at in [2, 3] {
                let mask = mask.clone().unsqueeze_dim::<3>(2);
                let mask = mask.expand(poisoned[at].shape());
                poisoned[at] = poisoned[at].clone().mask_fill(mask, f32::NAN);
            }
            let expected = run(arguments, kind, (src, tgt), Way::Operation);
            let found = run(poisoned.clone(), kind, (src, tgt), Way::Operation);
            assert_close(found, expected, 0.0);
            for gradient in gradients(poisoned, |a| run(a, kind, (src, tgt), Way::Operation)) {
                let finite = gradient.into_data().iter::<f32>().all(f32::is_finite);
                assert!(finite, "{kind:?}: padding reaches a gradient");
            }
        }
    }
}

#[test]
fn huge_scores_stay_finite() {
    for device in cpu_devices() {
        let (sizes, src, tgt) = &CASES[1];
        for kind in kinds() {
            crate::random::seed(8);
            let mut arguments = arguments(sizes, kind, &device);
            arguments[2] = arguments[2].clone() * 1e5;
            arguments[12] = arguments[12].clone() * 1e4;
            let all = gradients(arguments.clone(), |a| {
                run(a, kind, (src, tgt), Way::Operation)
            });
            for tensor in all
                .into_iter()
                .chain([run(arguments, kind, (src, tgt), Way::Operation)])
            {
                let finite = tensor.into_data().iter::<f32>().all(f32::is_finite);
                assert!(finite, "{kind:?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "luong: a tensor of")]
fn an_empty_batch_is_refused() {
    let device = &cpu_devices()[0];
    let kind = kinds().next().expect("there are kinds");
    let sizes = Sizes::new([1, 1, 1], [1, 1, 1, 1, 1]);
    let mut arguments = arguments(&sizes, kind, device);
    for at in [0, 2, 3] {
        arguments[at] = Tensor::zeros([0, 1, 1], device);
    }
    arguments[1] = Tensor::zeros([1, 0, 1], device);
    run(arguments, kind, (&[], &[]), Way::Operation);
}
