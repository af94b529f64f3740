use att_core::EncoderOutput;
use att_core::special::{BOS, EOS};
use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};

use super::{Hypothesis, SearchConfig};
use crate::Decoder;

/// Takes the most probable token at each step until EOS; ties go to the smaller id.
///
/// Finished sources leave the batch. At the greatest length EOS is forced, its probability
/// counted. `beam_size` and `n_best` are not read.
///
/// # Panics
///
/// If `lengths` does not name one length a source.
pub fn greedy_search(
    decoder: &impl Decoder,
    source: &EncoderOutput,
    lengths: &[usize],
    config: &SearchConfig,
) -> Vec<Hypothesis> {
    let [batch, _, _] = source.memory.dims();
    assert_eq!(lengths.len(), batch, "one length a source");
    let device = source.memory.device();
    let vocab = decoder.vocab();
    let mut found: Vec<Hypothesis> = lengths
        .iter()
        .map(|_| Hypothesis {
            tokens: Vec::new(),
            score: 0.0,
            log_prob: 0.0,
            token_log_probs: Vec::new(),
            weights: None,
        })
        .collect();
    let mut active: Vec<usize> = (0..batch).collect();
    let mut previous = vec![i64::from(BOS); batch];
    let mut memory = decoder.prepare(source);
    let mut state = decoder.initial_state(source);
    for len in 0.. {
        let tokens = Tensor::<1, Int>::from_data(previous.as_slice(), &device);
        let step = decoder.step(tokens, &memory, state);

        let forbidden: Vec<f32> = active
            .iter()
            .flat_map(|&index| {
                let max_len = config.max_len_for(lengths[index]);
                (0..vocab as u32).map(move |token| {
                    let allowed = config.allows(token, len, max_len);
                    if allowed { 0.0 } else { f32::NEG_INFINITY }
                })
            })
            .collect();
        let forbidden = TensorData::new(forbidden, [active.len(), vocab]);
        let log_probs = log_softmax(step.logits, 1) + Tensor::from_data(forbidden, &device);
        let (best, tokens) = log_probs.max_dim_with_indices(1);
        let best: Vec<f32> = best.into_data().iter().collect();
        let tokens: Vec<i64> = tokens.into_data().iter().collect();
        let weights = step.weights.map(|weights| {
            let [_, src_len] = weights.dims();
            (weights.into_data().iter().collect::<Vec<f32>>(), src_len)
        });

        let mut kept = Vec::with_capacity(active.len());
        for (row, &index) in active.iter().enumerate() {
            let hypothesis = &mut found[index];
            hypothesis.log_prob += f64::from(best[row]);
            hypothesis.token_log_probs.push(best[row]);
            if let Some((weights, src_len)) = &weights {
                let row = weights[row * src_len..][..lengths[index]].to_vec();
                hypothesis.weights.get_or_insert_default().push(row);
            }
            // Weights that are not numbers must not keep a hypothesis from ending.
            let over = len >= config.max_len_for(lengths[index]);
            if over || tokens[row] == i64::from(EOS) {
                let divisor = config.length_penalty.divisor(len + 1);
                hypothesis.score = hypothesis.log_prob / divisor;
            } else {
                hypothesis.tokens.push(tokens[row] as u32);
                kept.push(row);
            }
        }
        if kept.is_empty() {
            return found;
        }
        previous = kept.iter().map(|&row| tokens[row]).collect();
        state = step.state;
        if kept.len() < active.len() {
            active = kept.iter().map(|&row| active[row]).collect();
            memory = memory.select(&kept, &device);
            state = state.select(&kept, &device);
        }
    }
    unreachable!("every hypothesis ends at its greatest length")
}
