//! What follows the product, as a CubeCL kernel.

use burn::backend::{TensorMetadata, ops::FloatTensorOps};
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};

use super::{LinearCrossEntropyOps, generic};
use crate::ops::cube::{
    UNITS, a_cube_each, dense, elem_type, empty_like, is_supported, max_of_units, row_of_cube,
    sum_of_units, written,
};

/// A cube has a row of the logits: it writes the row's losses and, with `with_gradient`, the
/// gradient of the mean loss in place of the logits.
#[cube(launch)]
#[allow(clippy::too_many_arguments)] // what is written above
fn rows<F: Float>(
    logits: &mut [F],
    bias: &[F],
    gold: &[i32],
    losses: &mut [F],
    nlls: &mut [F],
    vocab: usize,
    smoothing: f32,
    #[comptime] with_gradient: bool,
    #[define(F)] _dtype: ElemType,
) {
    let row = row_of_cube();
    if row >= gold.len() {
        terminate!();
    }
    let mut shared = Shared::<[f32]>::new_slice(UNITS);
    let (first, unit) = (row * vocab, UNIT_POS as usize);
    let gold = usize::cast_from(gold[row]);

    let mut greatest = f32::cast_from(logits[first]) + f32::cast_from(bias[0]);
    let mut v = unit;
    while v < vocab {
        let score = f32::cast_from(logits[first + v]) + f32::cast_from(bias[v]);
        greatest = max(greatest, score);
        v += UNITS;
    }
    let greatest = max_of_units(greatest, &mut shared);
    let mut exponentials = 0.0f32;
    let mut scores = 0.0f32;
    let mut v = unit;
    while v < vocab {
        let score = f32::cast_from(logits[first + v]) + f32::cast_from(bias[v]) - greatest;
        exponentials += score.exp();
        scores += score;
        v += UNITS;
    }
    let sum = sum_of_units(exponentials, &mut shared);
    let scores = sum_of_units(scores, &mut shared);

    if unit == 0 {
        let of_gold = f32::cast_from(logits[first + gold]) + f32::cast_from(bias[gold]) - greatest;
        let nll = sum.ln() - of_gold;
        let uniform = sum.ln() - scores / f32::cast_from(vocab as u32);
        losses[row] = F::cast_from((1.0f32 - smoothing) * nll + smoothing * uniform);
        nlls[row] = F::cast_from(nll);
    }
    if with_gradient {
        // The gold token's score has been read.
        sync_cube();
        let n = f32::cast_from(nlls.len() as u32);
        let share = smoothing / f32::cast_from(vocab as u32);
        let mut v = unit;
        while v < vocab {
            let score = f32::cast_from(logits[first + v]) + f32::cast_from(bias[v]) - greatest;
            let mut d = score.exp() / sum - share;
            if v == gold {
                d -= 1.0f32 - smoothing;
            }
            logits[first + v] = F::cast_from(d / n);
            v += UNITS;
        }
    }
}

/// loss and nll, and what the kernel leaves of the logits.
fn losses(
    features: CubeTensor,
    weight: CubeTensor,
    bias: CubeTensor,
    gold: &[u32],
    smoothing: f64,
    with_gradient: bool,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let (n, vocab) = (features.shape()[0], weight.shape()[1]);
    let logits = into_contiguous(CubeBackend::float_matmul(features, weight));
    let gold = generic::column::<CubeBackend>(gold, &logits);
    let (losses, nlls) = (empty_like(&logits, [n]), empty_like(&logits, [n]));
    let (count, dim) = a_cube_each(n);
    rows::launch(
        &logits.client,
        count,
        dim,
        written(&logits),
        dense(bias),
        dense(gold),
        written(&losses),
        written(&nlls),
        vocab,
        smoothing as f32,
        with_gradient,
        elem_type(&logits),
    );
    let mean = CubeBackend::float_mean;
    (mean(losses), mean(nlls), logits)
}

impl LinearCrossEntropyOps for CubeBackend {
    fn linear_cross_entropy(
        features: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        gold: &[u32],
        smoothing: f64,
    ) -> (CubeTensor, CubeTensor) {
        if !is_supported(features.dtype) {
            let log_probs = generic::log_probs::<Self>(features, weight, bias);
            return generic::losses::<Self>(log_probs, gold, smoothing);
        }
        let (loss, nll, _) = losses(features, weight, bias, gold, smoothing, false);
        (loss, nll)
    }

    fn linear_cross_entropy_forward(
        features: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        gold: &[u32],
        smoothing: f64,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        if !is_supported(features.dtype) {
            return generic::forward::<Self>(features, weight, bias, gold, smoothing);
        }
        let (loss, nll, d_logits) = losses(
            features.clone(),
            weight.clone(),
            bias,
            gold,
            smoothing,
            true,
        );
        let (d_features, d_weight, d_bias) = generic::gradients::<Self>(features, weight, d_logits);
        (loss, nll, d_features, d_weight, d_bias)
    }
}
