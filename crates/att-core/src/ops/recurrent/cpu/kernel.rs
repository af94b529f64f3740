//! All directions and shares, on slices.

use gemm::Parallelism;

use super::cell::CpuCell;
use super::gates::{
    InputWeights, SLOTS, bias_gradients, input_weight_gradient, row_bias_gradients,
};
use super::one_direction::{Ends, LayerWeights, OneDirection};
use super::plan::{Pieces, Plan};
use super::weights::Weights;
use super::{ARGUMENTS, Saved};
use crate::ops::gemm::{Mat, matmul};
use crate::ops::recurrent::sequences::Sequences;
use crate::ops::rows::row;
use crate::ops::steps::{gather_rows, scatter_rows};

/// The arguments of a direction by name.
pub(super) struct Arguments<'a> {
    pub(super) input: &'a [f32],
    pub(super) input_weight: &'a [f32],
    /// Of all rows, or of each.
    pub(super) input_bias: &'a [f32],
    pub(super) recurrent_weight: &'a [f32],
    pub(super) hidden: &'a [f32],
    /// Of an LSTM; else empty.
    pub(super) cell: &'a [f32],
    /// Of a GRU; else empty.
    pub(super) recurrent_bias: &'a [f32],
    sizes: Sizes,
}

/// Of a direction.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) d_input: usize,
    pub(super) d: usize,
}

impl<'a> Arguments<'a> {
    fn new<C: CpuCell>(tensors: &[&'a [f32]], sizes: Sizes) -> Self {
        let &[
            input,
            input_weight,
            input_bias,
            recurrent_weight,
            hidden,
            extra,
        ] = tensors
        else {
            panic!("{ARGUMENTS} arguments a direction");
        };
        let (cell, recurrent_bias): (&[f32], &[f32]) = match C::HAS_C {
            true => (extra, &[]),
            false => (&[], extra),
        };
        Self {
            input,
            input_weight,
            input_bias,
            recurrent_weight,
            hidden,
            cell,
            recurrent_bias,
            sizes,
        }
    }

    fn weights<C: CpuCell>(&self) -> [Mat<'a>; 2] {
        let Sizes { d_input, d } = self.sizes;
        let width = C::PARTS * d;
        [
            Mat::rows(self.input_weight, d_input, width, width),
            Mat::rows(self.recurrent_weight, d, width, width),
        ]
    }
}

fn all_arguments<'a, C: CpuCell>(tensors: &[&'a [f32]], sizes: Sizes) -> Vec<Arguments<'a>> {
    let directions = tensors.chunks_exact(ARGUMENTS);
    directions
        .map(|of| Arguments::new::<C>(of, sizes))
        .collect()
}

/// What the layers give out: h of all steps, `[batch, len, directions * d]`, then the last h and of
/// an LSTM c, `[batch, directions * d]`; and what the gradient needs of each direction and share.
pub(super) fn forward<C: CpuCell>(
    tensors: &[&[f32]],
    sequences: &Sequences,
    sizes: Sizes,
    keep: bool,
) -> (Vec<Vec<f32>>, Vec<Saved>) {
    let layers = all_arguments::<C>(tensors, sizes);
    let Sizes { d_input, d } = sizes;
    let (directions, batch) = (layers.len(), sequences.batch());
    let plan = Plan::new(sequences, (d_input + d) * C::PARTS * d);
    let lines = plan.lines();
    let weights = plan.each(layers.iter().collect(), |layer| {
        let [input, recurrent] = layer.weights::<C>();
        LayerWeights {
            input: InputWeights::new::<C>(input, lines),
            recurrent: Weights::new(recurrent, lines),
        }
    });

    let mut hidden = vec![0.0; batch * sequences.len * directions * d];
    let mut pieces = Pieces::new(&mut hidden, d);
    let mut jobs = Vec::new();
    for (k, &direction) in sequences.directions.iter().enumerate() {
        for steps in &plan.shares {
            let places = sequences.places(steps, direction);
            let hidden = pieces.take(places.iter().map(|place| place * directions + k));
            jobs.push((k, steps, places, hidden));
        }
    }
    let done = plan.each(jobs, |(k, steps, places, hidden)| {
        let share = OneDirection {
            steps,
            places: &places,
            sizes,
            within_step: plan.within_step,
        };
        (
            k,
            steps,
            share.forward::<C>(&layers[k], &weights[k], hidden, keep),
        )
    });

    let mut last_hidden = vec![0.0; batch * directions * d];
    let mut last_cell = vec![0.0; if C::HAS_C { last_hidden.len() } else { 0 }];
    let mut saved = Vec::with_capacity(done.len());
    for (k, steps, (of_share, ends)) in done {
        let rows: Vec<_> = steps.rows.iter().map(|row| row * directions + k).collect();
        scatter_rows(&rows, &ends.hidden, &mut last_hidden, d);
        if C::HAS_C {
            scatter_rows(&rows, &ends.cell, &mut last_cell, d);
        }
        saved.push(of_share);
    }
    let mut outputs = vec![hidden, last_hidden];
    outputs.extend(C::HAS_C.then_some(last_cell));
    (outputs, saved)
}

/// The gradients of the arguments, given those of what the layers give out; that of an input that is
/// not `wanted` is empty.
pub(super) fn backward<C: CpuCell>(
    grads: &[Option<&[f32]>],
    tensors: &[&[f32]],
    mut saved: Vec<Saved>,
    sequences: &Sequences,
    sizes: Sizes,
    wanted: &[bool],
) -> Vec<Vec<f32>> {
    let layers = all_arguments::<C>(tensors, sizes);
    let Sizes { d_input, d } = sizes;
    let (directions, batch) = (layers.len(), sequences.batch());
    // As many shares as the forward pass had, whatever thread this is.
    let n_shares = saved.len() / directions;
    let plan = Plan::with_shares(sequences, n_shares, true);
    let lines = plan.lines();
    let wants_input = |k: usize| wanted[k * ARGUMENTS];
    let transposed = plan.each(layers.iter().collect(), |layer| {
        let [input, recurrent] = layer.weights::<C>();
        LayerWeights {
            input: InputWeights::transposed::<C>(input, lines),
            recurrent: Weights::transposed(recurrent.t(), lines),
        }
    });

    let mut d_inputs: Vec<_> = (0..directions)
        .map(|k| vec![0.0; usize::from(wants_input(k)) * batch * sequences.len * d_input])
        .collect();
    let mut jobs = Vec::new();
    for (k, (d_input_all, saved)) in d_inputs
        .iter_mut()
        .zip(saved.chunks_exact_mut(n_shares))
        .enumerate()
    {
        let mut pieces = wants_input(k).then(|| Pieces::new(d_input_all, d_input));
        for (steps, saved) in plan.shares.iter().zip(saved) {
            let places = sequences.places(steps, sequences.directions[k]);
            let d_input = pieces
                .as_mut()
                .map(|pieces| pieces.take(places.iter().copied()));
            jobs.push((k, steps, places, saved, d_input));
        }
    }
    let nothing = vec![0.0; d];
    let starts = plan.each(jobs, |(k, steps, places, saved, d_input)| {
        let share = OneDirection {
            steps,
            places: &places,
            sizes,
            within_step: plan.within_step,
        };
        let rows: Vec<_> = steps.rows.iter().map(|row| row * directions + k).collect();
        let last = |output: usize| match grads.get(output).copied().flatten() {
            Some(grad) => gather_rows(&rows, grad, d),
            None => vec![0.0; rows.len() * d],
        };
        let ends = Ends {
            hidden: last(1),
            cell: if C::HAS_C { last(2) } else { Vec::new() },
        };
        let up = |place: usize| match grads[0] {
            Some(grad) => row(grad, place * directions + k, d),
            None => &nothing,
        };
        share.backward::<C>(up, ends, saved, &transposed[k], d_input)
    });

    let finish = |(k, d_input): (usize, Vec<f32>)| {
        let of_direction = k * n_shares..(k + 1) * n_shares;
        let mut hidden = vec![0.0; batch * d];
        let mut cell = vec![0.0; if C::HAS_C { batch * d } else { 0 }];
        for (steps, start) in plan.shares.iter().zip(&starts[of_direction.clone()]) {
            scatter_rows(&steps.rows, &start.hidden, &mut hidden, d);
            if C::HAS_C {
                scatter_rows(&steps.rows, &start.cell, &mut cell, d);
            }
        }
        let saved = &saved[of_direction];
        let places = plan
            .shares
            .iter()
            .map(|steps| sequences.places(steps, sequences.directions[k]));
        let inputs = places.map(|places| gather_rows(&places, layers[k].input, sizes.d_input));
        let [input_weight, recurrent_weight] = weight_gradients::<C>(saved, inputs, sizes);
        let gates = saved.iter().map(|saved| &saved.gates[..]);
        let [input_bias, recurrent_bias] = if layers[k].input_bias.len() == C::PARTS * d {
            bias_gradients::<C>(gates, d)
        } else {
            row_bias_gradients::<C>(plan.shares.iter().zip(gates), batch, d)
        };
        [
            d_input,
            input_weight,
            input_bias,
            recurrent_weight,
            hidden,
            if C::HAS_C { cell } else { recurrent_bias },
        ]
    };
    let gradients = plan.each(d_inputs.into_iter().enumerate().collect(), finish);
    gradients.into_iter().flatten().collect()
}

/// Those of W_x and W, from the shares and the lines of their inputs.
fn weight_gradients<C: CpuCell>(
    saved: &[Saved],
    inputs: impl Iterator<Item = Vec<f32>>,
    Sizes { d_input, d }: Sizes,
) -> [Vec<f32>; 2] {
    let width = C::PARTS * d;
    let (mut by_input, mut recurrent) = (vec![0.0; d_input * width], vec![0.0; d * width]);
    for (index, (saved, x)) in saved.iter().zip(inputs).enumerate() {
        let lines = saved.hiddens.len() / d;
        let x = Mat::rows(&x, lines, d_input, d_input);
        input_weight_gradient::<C>(&mut by_input, index > 0, x, &saved.gates, d);
        matmul(
            &mut recurrent,
            width,
            index > 0,
            Mat::rows(&saved.hiddens, lines, d, d).t(),
            Mat::rows(&saved.gates, lines, width, SLOTS * d),
            Parallelism::Rayon(0),
        );
    }
    [by_input, recurrent]
}
