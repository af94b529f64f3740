//! Recurrent layers over a sequence, fused against the reference from plain tensor operations:
//! the recurrence alone, `<lstm|gru>/<pass>/<fused|reference>/<device>/<shape>`, and with the
//! projection of its input, `<lstm|gru>_layer/..`.

use att_bench::{compare, devices, matrix, tensor};
use att_core::ops::Direction::Forward;
use att_core::ops::gru::{GruArguments, gru, gru_reference};
use att_core::ops::linear;
use att_core::ops::lstm::{LstmArguments, lstm, lstm_reference};
use burn::tensor::Tensor;
use criterion::{Criterion, criterion_group, criterion_main};

/// batch, len, d_hidden.
const RECURRENCES: [[usize; 3]; 2] = [[128, 8, 256], [64, 25, 512]];

/// batch, len, d_input, d_hidden.
const LAYERS: [[usize; 4]; 2] = [[64, 25, 256, 512], [64, 8, 128, 128]];

/// Projected input, recurrent weights, first hidden state, first cell state.
type Lstm = (Tensor<3>, Tensor<2>, Tensor<2>, Tensor<2>);

/// Projected input, recurrent weights, first hidden state, bias inside the reset gate.
type Gru = (Tensor<3>, Tensor<2>, Tensor<2>, Tensor<1>);

/// Input, and weight and bias of its projection.
type Projection = (Tensor<3>, Tensor<2>, Tensor<1>);

fn lstm_arguments((inputs, recurrent, hidden, cell): Lstm) -> LstmArguments {
    LstmArguments {
        inputs,
        recurrent,
        hidden,
        cell,
    }
}

fn gru_arguments((inputs, recurrent, hidden, bias): Gru) -> GruArguments {
    GruArguments {
        inputs,
        recurrent,
        bias,
        hidden,
    }
}

fn projected((input, weight, bias): Projection) -> Tensor<3> {
    linear(input, weight, Some(bias))
}

fn projected_reference((input, weight, bias): Projection) -> Tensor<3> {
    input.matmul(weight.unsqueeze()) + bias.unsqueeze()
}

fn recurrence(c: &mut Criterion) {
    for on in devices() {
        let device = &on.1;
        for shape in RECURRENCES {
            let [batch, len, d] = shape;
            let lengths = vec![len; batch];
            let arguments: Lstm = (
                tensor([batch, len, 4 * d], device),
                matrix(d, 4 * d, device),
                tensor([batch, d], device),
                tensor([batch, d], device),
            );
            compare(
                c,
                "lstm",
                &on,
                &shape,
                &arguments,
                |a: Lstm| lstm(lstm_arguments(a), Forward, &lengths).hidden,
                |a: Lstm| lstm_reference(lstm_arguments(a), Forward, &lengths).hidden,
            );
            let arguments: Gru = (
                tensor([batch, len, 3 * d], device),
                matrix(d, 3 * d, device),
                tensor([batch, d], device),
                tensor([d], device),
            );
            compare(
                c,
                "gru",
                &on,
                &shape,
                &arguments,
                |a: Gru| gru(gru_arguments(a), Forward, &lengths),
                |a: Gru| gru_reference(gru_arguments(a), Forward, &lengths),
            );
        }
    }
}

fn layer(c: &mut Criterion) {
    for on in devices() {
        let device = &on.1;
        for shape in LAYERS {
            let [batch, len, d_input, d] = shape;
            let lengths = vec![len; batch];
            let projection = |gates: usize| -> Projection {
                (
                    tensor([batch, len, d_input], device),
                    matrix(d_input, gates * d, device),
                    tensor([gates * d], device),
                )
            };
            let (hidden, cell) = (tensor([batch, d], device), tensor([batch, d], device));
            compare(
                c,
                "lstm_layer",
                &on,
                &shape,
                &(
                    projection(4),
                    matrix(d, 4 * d, device),
                    hidden.clone(),
                    cell,
                ),
                |(projection, w, h, cell): (Projection, Tensor<2>, Tensor<2>, Tensor<2>)| {
                    let arguments = lstm_arguments((projected(projection), w, h, cell));
                    lstm(arguments, Forward, &lengths).hidden
                },
                |(projection, w, h, cell)| {
                    let arguments = lstm_arguments((projected_reference(projection), w, h, cell));
                    lstm_reference(arguments, Forward, &lengths).hidden
                },
            );
            compare(
                c,
                "gru_layer",
                &on,
                &shape,
                &(
                    projection(3),
                    matrix(d, 3 * d, device),
                    hidden,
                    tensor([d], device),
                ),
                |(projection, w, h, bias): (Projection, Tensor<2>, Tensor<2>, Tensor<1>)| {
                    gru(
                        gru_arguments((projected(projection), w, h, bias)),
                        Forward,
                        &lengths,
                    )
                },
                |(projection, w, h, bias)| {
                    let arguments = gru_arguments((projected_reference(projection), w, h, bias));
                    gru_reference(arguments, Forward, &lengths)
                },
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = recurrence, layer
}
criterion_main!(benches);
