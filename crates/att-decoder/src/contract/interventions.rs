//! Steps that read with other weights than those that they compute.

use att_attention::Intervention;
use att_core::host_vec;

use super::*;

/// The weights of a step, as an intervention in each of its attentions.
fn given(memory: &DecoderMemory, step: &DecoderStep) -> DecoderMemory {
    let mut memory = memory.clone();
    let heads = match (&step.head_weights[..], &step.weights) {
        ([], Some(weights)) => vec![weights.clone().unsqueeze_dim(1)],
        (heads, _) => heads.to_vec(),
    };
    for (memory, weights) in memory.attention.iter_mut().zip(heads) {
        memory.intervention = Some(Intervention::Given(weights));
    }
    memory
}

/// Two rows a source, so that rows are told apart.
#[test]
fn an_intervention_changes_what_is_read() {
    each(|config, tie, device| {
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let memory = prepare(&decoder, &source);
        let start = decoder.initial_state(&source);
        let mut state = start.select(&[0, 0, 1, 1, 2, 2], device);
        for tokens in [[2, 2, 2, 2, 2, 2], [4, 5, 6, 7, 8, 4], [5, 5, 1, 6, 4, 8]] {
            let step = |memory: &DecoderMemory| {
                let tokens = Tensor::from_data(tokens, device);
                decoder.step(tokens, memory, state.clone())
            };
            let plain = step(&memory);
            if !config.has_attention() {
                let same = step(&memory.clone().with_intervention(Intervention::Uniform));
                assert_eq!(host_vec(same.logits), host_vec(plain.logits), "{config:?}");
                return;
            }
            let weights = plain.weights.clone().unwrap();
            let same = step(&given(&memory, &plain));
            let logits = finite(plain.logits.clone());
            assert!(close(finite(same.logits), logits.clone()), "{config:?}");
            assert!(close(same.weights.unwrap(), weights.clone()), "{config:?}");

            let uniform = step(&memory.clone().with_intervention(Intervention::Uniform));
            for (row, found) in host_vec(uniform.weights.unwrap()).chunks(5).enumerate() {
                let length = LENGTHS[row / 2];
                let expected = (0..5).map(|s| if s < length { 1.0 / length as f32 } else { 0.0 });
                let same = found
                    .iter()
                    .zip(expected)
                    .all(|(a, b)| (a - b).abs() < 1e-6);
                assert!(same, "{config:?}: {found:?}");
            }
            assert!(!close(finite(uniform.logits), logits.clone()), "{config:?}");

            // The first row alone looks elsewhere: at the last of its five states.
            let mut order = [[0i64, 1, 2, 3, 4]; 6];
            order[0] = [4, 3, 2, 1, 0];
            let order = Intervention::Permuted(Tensor::from_data(order, device));
            let permuted = step(&memory.clone().with_intervention(order.clone()));
            // Of several blocks or layers, what the bottom one reads changes the others' queries.
            let bottom = |step: &DecoderStep| match step.head_weights.first() {
                Some(heads) => host_vec(heads.clone()),
                None => host_vec(step.weights.clone().unwrap()),
            };
            let (found, weights) = (bottom(&permuted), bottom(&plain));
            for s in 0..5 {
                assert!((found[s] - weights[4 - s]).abs() < 1e-6, "{config:?}");
            }
            let rows = |tensor: Tensor<2>, start, n| finite(tensor).narrow(0, start, n);
            let (found, own) = (permuted.logits, plain.logits.clone());
            let others = (rows(found.clone(), 1, 5), rows(own.clone(), 1, 5));
            assert!(close(others.0, others.1), "{config:?}");
            let looked = weights[..5].iter().any(|weight| *weight > 0.0); // a head may have left
            let first = (rows(found.clone(), 0, 1), rows(own, 0, 1));
            assert!(!looked || !close(first.0, first.1), "{config:?}");

            // It goes along when sources leave.
            let left = memory
                .clone()
                .with_intervention(order)
                .select(&[2, 0], device);
            let kept = state.clone().select(&[4, 5, 0, 1], device);
            let chosen = [4, 5, 0, 1].map(|row: usize| tokens[row]);
            let left = decoder
                .step(Tensor::from_data(chosen, device), &left, kept)
                .logits;
            let expected = found.select(0, Tensor::from_data([4, 5, 0, 1], device));
            assert!(close(finite(left), finite(expected)), "{config:?}");
            state = plain.state;
        }
    });
}
