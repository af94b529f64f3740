//! Recurrent layers, with the projection of their input.

use att_core::ops::Direction::{Backward, Forward};
use att_core::ops::gru::{GruArguments, gru, gru_reference};
use att_core::ops::lstm::{LstmArguments, lstm, lstm_reference};
use att_core::ops::{bidirectional_gru, bidirectional_lstm};
use burn::nn::{GruConfig, LstmConfig};
use burn::tensor::{Device, Tensor};

use crate::{Arguments, Case, Variant, lengths, matrix, tensor};

/// batch, len, d_input, d_hidden, of both directions.
const BOTH: [[usize; 4]; 2] = [[64, 25, 256, 512], [128, 8, 256, 256]];

/// batch, len, d_input, d_hidden; the last is a step of a beam.
const LAYERS: [[usize; 4]; 3] = [[64, 25, 256, 512], [64, 8, 128, 128], [5, 1, 512, 512]];

pub(super) fn cases() -> Vec<Case> {
    let both = BOTH.into_iter().flat_map(|shape| {
        [
            Case::new("bidirectional_lstm", &shape, move |device| {
                both_lstms(shape, device)
            })
            .marked("ragged"),
            Case::new("bidirectional_gru", &shape, move |device| {
                both_grus(shape, device)
            })
            .marked("ragged"),
        ]
    });
    let layers = LAYERS.into_iter().flat_map(|shape| {
        let [batch, len, ..] = shape;
        let full = [
            Case::new("lstm_layer", &shape, move |device| {
                lstm_layers(shape, vec![len; batch], device)
            }),
            Case::new("gru_layer", &shape, move |device| {
                gru_layers(shape, vec![len; batch], device)
            }),
        ];
        let ragged = [
            Case::new("lstm_layer", &shape, move |device| {
                lstm_layers(shape, lengths(batch, len), device)
            })
            .marked("ragged"),
            Case::new("gru_layer", &shape, move |device| {
                gru_layers(shape, lengths(batch, len), device)
            })
            .marked("ragged"),
        ];
        full.into_iter()
            .chain(ragged.into_iter().filter(move |_| len > 1))
    });
    both.chain(layers).collect()
}

/// Input, and weight and bias of its projection.
type Projection = (Tensor<3>, Tensor<2>, Tensor<2>);

/// With the recurrent weights, the first hidden state, and the first cell state.
type Lstm = (Projection, Tensor<2>, Tensor<2>, Tensor<2>);

/// With the recurrent weights, the first hidden state, and the bias inside the reset gate.
type Gru = (Projection, Tensor<2>, Tensor<2>, Tensor<1>);

fn lstm_arguments(((input, input_weight, input_bias), w, hidden, cell): Lstm) -> LstmArguments {
    LstmArguments {
        input,
        input_weight,
        input_bias,
        recurrent_weight: w,
        hidden,
        cell,
    }
}

fn gru_arguments(((input, input_weight, input_bias), w, hidden, bias): Gru) -> GruArguments {
    GruArguments {
        input,
        input_weight,
        input_bias,
        recurrent_weight: w,
        recurrent_bias: bias,
        hidden,
    }
}

fn projection([batch, len, d_input, d]: [usize; 4], gates: usize, device: &Device) -> Projection {
    (
        tensor([batch, len, d_input], device),
        matrix(d_input, gates * d, device),
        tensor([1, gates * d], device),
    )
}

fn lstm_of(shape: [usize; 4], device: &Device) -> Lstm {
    let [batch, _, _, d] = shape;
    (
        projection(shape, 4, device),
        matrix(d, 4 * d, device),
        tensor([batch, d], device),
        tensor([batch, d], device),
    )
}

fn gru_of(shape: [usize; 4], device: &Device) -> Gru {
    let [batch, _, _, d] = shape;
    (
        projection(shape, 3, device),
        matrix(d, 3 * d, device),
        tensor([batch, d], device),
        tensor([d], device),
    )
}

/// A function of arguments and lengths, and its reference.
fn of_lengths<A: Arguments + 'static>(
    arguments: &A,
    lengths: Vec<usize>,
    fused: fn(A, &[usize]) -> Tensor<3>,
    reference: fn(A, &[usize]) -> Tensor<3>,
) -> Vec<Variant> {
    let of = |run: fn(A, &[usize]) -> Tensor<3>| {
        let lengths = lengths.clone();
        move |arguments: A| run(arguments, &lengths)
    };
    Variant::pair(arguments, of(fused), of(reference))
}

fn both_lstms(shape: [usize; 4], device: &Device) -> Vec<Variant> {
    of_lengths(
        &(lstm_of(shape, device), lstm_of(shape, device)),
        lengths(shape[0], shape[1]),
        |(f, b), lengths| bidirectional_lstm(lstm_arguments(f), lstm_arguments(b), lengths).hidden,
        |(f, b), lengths| {
            let f = lstm_reference(lstm_arguments(f), Forward, lengths).hidden;
            let b = lstm_reference(lstm_arguments(b), Backward, lengths).hidden;
            Tensor::cat(vec![f, b], 2)
        },
    )
}

fn both_grus(shape: [usize; 4], device: &Device) -> Vec<Variant> {
    of_lengths(
        &(gru_of(shape, device), gru_of(shape, device)),
        lengths(shape[0], shape[1]),
        |(f, b), lengths| bidirectional_gru(gru_arguments(f), gru_arguments(b), lengths).hidden,
        |(f, b), lengths| {
            let f = gru_reference(gru_arguments(f), Forward, lengths).hidden;
            let b = gru_reference(gru_arguments(b), Backward, lengths).hidden;
            Tensor::cat(vec![f, b], 2)
        },
    )
}

fn lstm_layers(shape: [usize; 4], lengths: Vec<usize>, device: &Device) -> Vec<Variant> {
    let [_, _, d_input, d] = shape;
    let layer = lstm_of(shape, device);
    let init = |device: &Device| LstmConfig::new(d_input, d, true).init(device);
    // It takes no lengths.
    let run = |burns: &burn::nn::Lstm, x| burns.forward(x, None).0;
    let burns = Variant::of_module("burn-nn", init, device, &layer.0.0, run);
    let mut variants = of_lengths(
        &layer,
        lengths,
        |layer, lengths| lstm(lstm_arguments(layer), Forward, lengths).hidden,
        |layer, lengths| lstm_reference(lstm_arguments(layer), Forward, lengths).hidden,
    );
    variants.push(burns);
    variants
}

fn gru_layers(shape: [usize; 4], lengths: Vec<usize>, device: &Device) -> Vec<Variant> {
    let [_, _, d_input, d] = shape;
    let layer = gru_of(shape, device);
    let init = |device: &Device| GruConfig::new(d_input, d, true).init(device);
    let run = |burns: &burn::nn::Gru, x| burns.forward(x, None);
    let burns = Variant::of_module("burn-nn", init, device, &layer.0.0, run);
    let mut variants = of_lengths(
        &layer,
        lengths,
        |layer, lengths| gru(gru_arguments(layer), Forward, lengths).hidden,
        |layer, lengths| gru_reference(gru_arguments(layer), Forward, lengths).hidden,
    );
    variants.push(burns);
    variants
}
