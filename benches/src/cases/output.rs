//! Linear maps, and the output layer with its loss.

use att_core::ops::{cross_entropy, linear, linear_cross_entropy};
use burn::nn::LinearConfig;
use burn::tensor::{Device, Tensor};

use crate::{Case, Variant, matrix, tensor};

/// rows, d_input, d_output: a step of a batch, its projections at once, logits of a beam.
const LINEAR: [[usize; 3]; 4] = [
    [64, 512, 1536],
    [1600, 256, 1536],
    [5, 512, 8000],
    [512, 128, 384],
];

/// tokens, d_features, vocab: subwords, and phonemes.
const OUTPUT: [[usize; 3]; 2] = [[830, 512, 8000], [512, 256, 43]];

const SMOOTHING: f64 = 0.1;

pub(super) fn cases() -> Vec<Case> {
    let linears =
        LINEAR.map(|shape| Case::new("linear", &shape, move |device| linears(shape, device)));
    let outputs = OUTPUT.map(|shape| {
        Case::new("linear_cross_entropy", &shape, move |device| {
            losses(shape, device)
        })
    });
    linears.into_iter().chain(outputs).collect()
}

/// x, W and b.
type Map = (Tensor<2>, Tensor<2>, Tensor<1>);

fn map([rows, d_input, d_output]: [usize; 3], device: &Device) -> Map {
    (
        tensor([rows, d_input], device),
        matrix(d_input, d_output, device),
        tensor([d_output], device),
    )
}

fn plain((x, w, b): Map) -> Tensor<2> {
    x.matmul(w) + b.unsqueeze()
}

fn linears(shape: [usize; 3], device: &Device) -> Vec<Variant> {
    let [_, d_input, d_output] = shape;
    let arguments = map(shape, device);
    let burns = LinearConfig::new(d_input, d_output).init(device);
    let run = |burns: &burn::nn::Linear, x: Tensor<2>| burns.forward(x);
    let burns = Variant::of_module("burn-nn", &burns, device, &arguments.0, run);
    let mut variants = Variant::pair(&arguments, |(x, w, b): Map| linear(x, w, Some(b)), plain);
    variants.push(burns);
    variants
}

fn losses(shape: [usize; 3], device: &Device) -> Vec<Variant> {
    let [tokens, _, vocab] = shape;
    let gold: Vec<u32> = (0..tokens)
        .map(|token| (token * 7 % vocab) as u32)
        .collect();
    let also_gold = gold.clone();
    Variant::pair(
        &map(shape, device),
        move |(x, w, b): Map| linear_cross_entropy(x, w, Some(b), &gold, SMOOTHING).loss,
        move |arguments: Map| cross_entropy(plain(arguments), &also_gold, SMOOTHING).loss,
    )
}
