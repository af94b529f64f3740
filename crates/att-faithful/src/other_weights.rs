//! What a model says of a step whose attention has other weights.

use att_attention::Intervention;
use att_core::host_vec;
use att_core::special::BOS;
use att_data::{Batch, Example};
use att_decoder::{Copying, Decoder, DecoderMemory, DecoderState};
use att_model::Seq2Seq;
use burn::tensor::{Int, Tensor, TensorData};

/// How far the distribution of the next token moves when a step reads the source with other weights.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    /// The total variation distance, `1/2 sum_v |p(v) - q(v)|`; of several others their median.
    pub distance: f64,
    /// The share of them with which another token is the most probable one.
    pub changed: f64,
}

/// A step with uniform and with permuted weights.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OtherWeights {
    pub uniform: Moved,
    pub permuted: Moved,
}

/// Each step of a target as it is given, EOS left out. The steps before it have their own weights.
///
/// - `orders`: for each step, orders of the memory's states
pub(crate) fn other_weights(
    model: &Seq2Seq,
    example: &Example,
    orders: &[Vec<Vec<usize>>],
) -> Vec<OtherWeights> {
    let batch = Batch::new(std::slice::from_ref(example), &[0]);
    let source = model.encode(&batch.src);
    let decoder = Copying {
        decoder: &model.decoder,
        ids: model.copy_ids(&batch),
    };
    let device = source.memory.device();
    let memory = decoder.prepare(&source);
    let mut state = decoder.initial_state(&source);
    let before = [BOS].into_iter().chain(example.tgt.iter().copied());
    let mut found = Vec::with_capacity(orders.len());
    for (token, orders) in before.zip(orders) {
        let step = |rows: usize, memory: &DecoderMemory, state: DecoderState| {
            let tokens = Tensor::<1, Int>::full([rows], i64::from(token), &device);
            decoder.step(tokens, memory, state)
        };
        let plain = step(1, &memory, state.clone());
        let uniform = memory.clone().with_intervention(Intervention::Uniform);
        let uniform = step(1, &uniform, state.clone());

        let flat: Vec<i64> = orders.iter().flatten().map(|&s| s as i64).collect();
        let shape = [orders.len(), flat.len() / orders.len()];
        let flat = Tensor::<2, Int>::from_data(TensorData::new(flat, shape), &device);
        let permuted = memory
            .clone()
            .with_intervention(Intervention::Permuted(flat));
        let beam = state.select(&vec![0; orders.len()], &device);
        let permuted = step(orders.len(), &permuted, beam);

        let p = &distributions(plain.logits)[0];
        found.push(OtherWeights {
            uniform: moved(p, &distributions(uniform.logits)),
            permuted: moved(p, &distributions(permuted.logits)),
        });
        state = plain.state;
    }
    found
}

fn moved(p: &[f64], others: &[Vec<f64>]) -> Moved {
    let distance = |q: &Vec<f64>| {
        let differences = p.iter().zip(q).map(|(p, q)| (p - q).abs());
        differences.sum::<f64>() / 2.0
    };
    let mut distances: Vec<f64> = others.iter().map(distance).collect();
    distances.sort_by(f64::total_cmp);
    let n = distances.len();
    let most_probable = |p: &[f64]| (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b]));
    let own = most_probable(p);
    let changed = others.iter().filter(|q| most_probable(q) != own).count();
    Moved {
        distance: (distances[(n - 1) / 2] + distances[n / 2]) / 2.0,
        changed: changed as f64 / n as f64,
    }
}

/// The softmax of each row.
fn distributions(logits: Tensor<2>) -> Vec<Vec<f64>> {
    let [_, n] = logits.dims();
    let softmax = |logits: &[f32]| -> Vec<f64> {
        let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exp = logits.iter().map(|&x| f64::from(x - greatest).exp());
        let exp: Vec<f64> = exp.collect();
        let sum: f64 = exp.iter().sum();
        exp.into_iter().map(|x| x / sum).collect()
    };
    host_vec(logits).chunks_exact(n).map(softmax).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_halves_of_differences_and_the_median_of_several() {
        let p = [0.5, 0.5, 0.0];
        let same = p.to_vec();
        let other = vec![0.0, 0.0, 1.0];
        let near = vec![0.25, 0.75, 0.0];
        let found = moved(&p, &[other.clone(), same.clone(), near.clone()]);
        assert_eq!(found.distance, 0.25);
        assert_eq!(found.changed, 1.0 / 3.0);
        assert_eq!(moved(&p, &[other, near]).distance, 0.625);
    }
}
