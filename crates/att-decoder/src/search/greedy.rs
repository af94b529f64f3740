use att_core::EncoderOutput;
use att_core::ops::top_log_probs;
use att_core::special::{BOS, EOS};
use burn::tensor::{Int, Tensor};

use super::{Hypothesis, SearchConfig, WeightRows, n_states};
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
    let n_states = n_states(source);
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

        let choices: Vec<_> = active
            .iter()
            .map(|&index| config.choice(len, config.max_len_for(lengths[index])))
            .collect();
        let best = top_log_probs(step.logits, 1, &choices);
        let weights = WeightRows::new(step.weights);

        let mut kept = Vec::with_capacity(active.len());
        for (row, &index) in active.iter().enumerate() {
            let hypothesis = &mut found[index];
            let next = best[row][0];
            hypothesis.log_prob += f64::from(next.log_prob);
            hypothesis.token_log_probs.push(next.log_prob);
            if let Some(weights) = weights.row(row, n_states[index]) {
                hypothesis.weights.get_or_insert_default().push(weights);
            }
            if next.token == EOS {
                let divisor = config.length_penalty.divisor(len + 1);
                hypothesis.score = hypothesis.log_prob / divisor;
            } else {
                hypothesis.tokens.push(next.token);
                kept.push(row);
            }
        }
        if kept.is_empty() {
            return found;
        }
        previous = kept
            .iter()
            .map(|&row| i64::from(best[row][0].token))
            .collect();
        state = step.state;
        if kept.len() < active.len() {
            active = kept.iter().map(|&row| active[row]).collect();
            memory = memory.select(&kept, &device);
            state = state.select(&kept, &device);
        }
    }
    unreachable!("every hypothesis ends at its greatest length")
}
