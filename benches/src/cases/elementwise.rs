//! Elementwise operations, and those that move rows.

use att_core::ops::{last_states, reverse_padded, tanh};
use att_layers::Dropout;
use burn::nn::DropoutConfig;
use burn::tensor::{Device, Tensor};

use crate::{Case, Variant, lengths, tensor};

/// batch, len, d.
const SHAPES: [[usize; 3]; 2] = [[64, 25, 512], [64, 8, 128]];

pub(super) fn cases() -> Vec<Case> {
    let of_shape = |shape: [usize; 3]| {
        [
            Case::new("tanh", &shape, move |device| tanhs(shape, device)),
            Case::new("dropout", &shape, move |device| dropouts(shape, device)),
            Case::new("last_states", &shape, move |device| last(shape, device)).marked("ragged"),
            Case::new("reverse_padded", &shape, move |device| {
                reverse(shape, device)
            })
            .marked("ragged"),
        ]
    };
    SHAPES.into_iter().flat_map(of_shape).collect()
}

fn tanhs(shape: [usize; 3], device: &Device) -> Vec<Variant> {
    Variant::pair(&tensor(shape, device), tanh::<3>, |x: Tensor<3>| x.tanh())
}

fn dropouts(shape: [usize; 3], device: &Device) -> Vec<Variant> {
    let x = tensor(shape, device);
    let (ours, burns) = (Dropout::new(0.1), DropoutConfig::new(0.1).init());
    vec![
        Variant::of("module", &x, move |x: Tensor<3>| ours.forward(x)),
        Variant::of("burn-nn", &x, move |x: Tensor<3>| burns.forward(x)),
    ]
}

fn last([batch, len, d]: [usize; 3], device: &Device) -> Vec<Variant> {
    let (x, lengths) = (tensor([batch, len, d], device), lengths(batch, len));
    vec![Variant::of("reference", &x, move |x: Tensor<3>| {
        last_states(x, &lengths)
    })]
}

fn reverse([batch, len, d]: [usize; 3], device: &Device) -> Vec<Variant> {
    let (x, lengths) = (tensor([batch, len, d], device), lengths(batch, len));
    vec![Variant::of("reference", &x, move |x: Tensor<3>| {
        reverse_padded(x, &lengths)
    })]
}
