//! How probable given translations are.

use att_core::ops::{Choice, top_log_probs};
use att_core::{host_vec, on_kernel_threads};
use att_data::{Batch, BatchLimit, Example, Pair};
use att_decoder::Decoder;
use att_decoder::search::ScoreTerms;
use burn::tensor::Tensor;

use crate::translator::with_eos;
use crate::{Candidate, HeadWeights, Seq2Seq, Translation, Translator};

/// The greatest number of logits that exist at a time.
const MAX_LOGITS: usize = 1 << 24;

impl Translator {
    /// How probable each target is, given its source (forced decoding):
    ///
    /// ```text
    /// log_prob = sum_t log p(y_t | y_1 ... y_(t-1), x)        y_n = EOS
    /// ```
    ///
    /// One result a pair, in the order of the pairs, with the target as its only candidate and
    /// `log_prob` as its score. Tokens are the pieces of the text; what is unknown has the
    /// probability of UNK, unless the model copies and the source has it. An empty target is EOS alone.
    /// Pairs of like length share a batch, and up to rounding it makes no difference which. Of an ensemble
    /// the first model is asked.
    pub fn score(&self, pairs: &[Pair]) -> Vec<Translation> {
        let tokenizers = self.directory();
        let examples: Vec<Example> = pairs.iter().map(|pair| self.example(pair)).collect();
        let width = |index: usize| {
            let Example { src, tgt, .. } = &examples[index];
            src.len().max(tgt.len()) + 1 // with EOS
        };
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|&index| (width(index), index));
        let mut scored: Vec<Option<Translation>> = vec![None; pairs.len()];
        for indices in BatchLimit::of_rows(self.batch_size()).cut(&order, width) {
            let batch = Batch::new(&examples, &indices);
            let forced = on_kernel_threads(|| force(self.model(), &batch, self.head_weights));
            for (index, forced) in indices.into_iter().zip(forced) {
                let Pair { src, tgt } = &pairs[index];
                let log_prob = forced.token_log_probs.iter().copied().map(f64::from).sum();
                let candidate = Candidate {
                    text: tgt.clone(),
                    tokens: with_eos(tokenizers.tgt_tokenizer.tokens(tgt)),
                    score: log_prob,
                    log_prob,
                    token_log_probs: forced.token_log_probs,
                    terms: ScoreTerms::default(),
                    weights: forced.weights,
                    head_weights: forced.head_weights,
                };
                scored[index] = Some(Translation {
                    src_tokens: with_eos(tokenizers.src_tokenizer.tokens(src)),
                    candidates: vec![candidate],
                    tree: None,
                });
            }
        }
        scored.into_iter().flatten().collect()
    }
}

/// What a model says of a row's target: [`force`].
#[derive(Clone, Debug)]
pub struct Forced {
    /// The log-probability of each token, EOS the last, in nats.
    pub token_log_probs: Vec<f32>,
    /// For each of them the attention weights over the source's tokens, EOS included; none without attention.
    pub weights: Option<Vec<Vec<f32>>>,
    /// As those of a [`Candidate`]; empty unless asked for.
    pub head_weights: HeadWeights,
}

/// Runs over the known targets of a batch (forced decoding), a result a row; `heads` says whether the weights
/// of each layer and head are wanted.
///
/// # Panics
///
/// If the model copies and the batch has no `copy_ids`.
pub fn force(model: &Seq2Seq, batch: &Batch, heads: bool) -> Vec<Forced> {
    let output = model.forward(batch);
    let n = output.gold.len();
    let at_a_time = (MAX_LOGITS / model.tgt_vocab()).max(1);
    let mut log_probs = Vec::with_capacity(n);
    for start in (0..n).step_by(at_a_time) {
        let end = n.min(start + at_a_time);
        let features = output.features.narrow(start, end - start);
        let logits = model.decoder.logits(features);
        let choices: Vec<Choice> = output.gold[start..end]
            .iter()
            .map(|&id| Choice::Only(id))
            .collect();
        let found = top_log_probs(logits, 1, &choices);
        log_probs.extend(found.into_iter().map(|best| best[0].log_prob));
    }
    let mut log_probs = log_probs.into_iter();

    let weights = output.weights.map(host_rows);
    let layers: Vec<Vec<HostRows>> = if heads {
        output
            .head_weights
            .into_iter()
            .map(heads_of_layer)
            .collect()
    } else {
        Vec::new()
    };
    (0..batch.tgt.rows)
        .map(|row| {
            let tgt_len = batch.tgt.lengths[row] - 1; // without BOS
            let src_len = batch.src.lengths[row];
            let of_row = |weights: &HostRows| weights.of_row(model, row, tgt_len, src_len);
            let of_layer = |heads: &Vec<HostRows>| heads.iter().map(of_row).collect();
            Forced {
                token_log_probs: log_probs.by_ref().take(tgt_len).collect(),
                weights: weights.as_ref().map(of_row),
                head_weights: layers.iter().map(of_layer).collect(),
            }
        })
        .collect()
}

/// Weights `[batch, tgt_len, n_states]` on the host.
struct HostRows {
    weights: Vec<f32>,
    tgt_len: usize,
    n_states: usize,
}

fn host_rows(weights: Tensor<3>) -> HostRows {
    let [_, tgt_len, n_states] = weights.dims();
    HostRows {
        weights: host_vec(weights),
        tgt_len,
        n_states,
    }
}

/// A layer's weights `[batch, n_heads, tgt_len, n_states]`, head by head.
fn heads_of_layer(weights: Tensor<4>) -> Vec<HostRows> {
    let n_heads = weights.dims()[1];
    let head = |head| host_rows(weights.clone().narrow(1, head, 1).squeeze_dim(1));
    (0..n_heads).map(head).collect()
}

impl HostRows {
    /// The weights of a row of the batch over its source tokens, `[tgt_len][src_len]`.
    fn of_row(&self, model: &Seq2Seq, row: usize, tgt_len: usize, src_len: usize) -> Vec<Vec<f32>> {
        let rows = self.weights[row * self.tgt_len * self.n_states..].chunks_exact(self.n_states);
        let of_step = |weights| model.over_tokens(weights, src_len);
        rows.take(tgt_len).map(of_step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translator::test_support::translator_of;
    use att_decoder::search::{DiverseConfig, SamplingConfig, SearchConfig, StrategyConfig};

    /// Encoders and decoders.
    const MODELS: [[&str; 2]; 8] = [
        ["kind = 'recurrent'", "kind = 'luong', d_attentional = 5"],
        ["kind = 'recurrent'", "kind = 'bahdanau'"],
        ["kind = 'recurrent'", "kind = 'summary', d_output = 5"],
        ["kind = 'pyramidal', layers = 2", "kind = 'bahdanau'"],
        [
            "kind = 'recurrent'",
            "kind = 'luong', d_attentional = 5, copy = true",
        ],
        ["kind = 'recurrent'", "kind = 'bahdanau', copy = true"],
        ["kind = 'recurrent'", TRANSFORMER],
        ["kind = 'recurrent'", CONVOLUTIONAL],
    ];

    const TRANSFORMER: &str =
        "kind = 'transformer', d_model = 8, layers = 2, n_heads = 2, d_ff = 8";
    const CONVOLUTIONAL: &str = "kind = 'convolutional', d_hidden = 6, layers = 3";

    fn pairs() -> Vec<Pair> {
        let mut pairs: Vec<Pair> = [
            ("abc", "cba"),
            ("d", ""),
            ("", "ab"),
            ("ab", "dcbadcba"),
            ("abc", "x"),
            ("xyx", "yaxz"),
            ("aaaaaaaaaa", "b"),
            ("abc", "cba"),
        ]
        .map(|(src, tgt)| Pair::new(src, tgt))
        .into();
        // A batch of its own.
        pairs.insert(2, Pair::new("abcd".repeat(3000), "a"));
        pairs
    }

    #[test]
    fn neither_batch_size_nor_order_changes_a_result() {
        for [encoder, decoder] in MODELS {
            let folder = tempfile::tempdir().unwrap();
            let mut translator = translator_of(folder.path(), encoder, decoder);
            let pairs = pairs();
            let expected = translator.score(&pairs);
            assert_eq!(expected.len(), pairs.len());
            let check = |found: &Translation, expected: &Translation| {
                let (found, expected) = (&found.candidates[0], &expected.candidates[0]);
                assert_eq!(found.tokens, expected.tokens);
                assert_eq!(found.token_log_probs.len(), found.tokens.len());
                assert_close(&found.token_log_probs, &expected.token_log_probs);
            };
            for batch_size in [1, 2, 3] {
                translator = translator.with_batch_size(batch_size);
                let found = translator.score(&pairs);
                found.iter().zip(&expected).for_each(|(a, b)| check(a, b));
                let reversed: Vec<Pair> = pairs.iter().rev().cloned().collect();
                let found = translator.score(&reversed);
                found
                    .iter()
                    .rev()
                    .zip(&expected)
                    .for_each(|(a, b)| check(a, b));
            }
        }
    }

    #[test]
    fn what_search_finds_has_the_score_and_the_attention_that_search_gave_it() {
        for [encoder, decoder] in MODELS {
            let folder = tempfile::tempdir().unwrap();
            let translator = translator_of(folder.path(), encoder, decoder);
            let search = |strategy, size| SearchConfig {
                strategy,
                beam_size: size,
                n_best: size,
                max_len: 5,
                ..Default::default()
            };
            let groups = DiverseConfig {
                groups: 2,
                ..Default::default()
            };
            let sources = ["aßcd", "ba"].map(|line| translator.example(&Pair::new(line, "")));
            let sources_batch = Batch::new(&sources, &[0, 1]);
            let found = [
                search(StrategyConfig::Beam {}, 1),
                search(StrategyConfig::Beam {}, 3),
                search(StrategyConfig::Diverse(groups), 4),
                search(StrategyConfig::Sampling(SamplingConfig::default()), 3),
            ]
            .map(|search| translator.model().search(&sources_batch, &search));
            assert!(found[1].iter().all(|hypotheses| hypotheses.len() == 3));
            let found = found.iter().flat_map(|found| sources.iter().zip(found));
            for (source, hypotheses) in found {
                for hypothesis in hypotheses {
                    let example = Example {
                        tgt: hypothesis.tokens.clone(),
                        ..source.clone()
                    };
                    let forced =
                        force(translator.model(), &Batch::new(&[example], &[0]), false).remove(0);
                    assert_close(&forced.token_log_probs, &hypothesis.token_log_probs);
                    assert_eq!(forced.weights.is_some(), hypothesis.weights.is_some());
                    let weights = forced.weights.unwrap_or_default().concat();
                    let reported = hypothesis.weights.clone().unwrap_or_default().concat();
                    assert_close(&weights, &reported);
                }
            }
        }
    }

    /// A Transformer's row is the mean of its top layer, a convolutional decoder's that of its blocks.
    #[test]
    fn heads_are_there_when_asked_for_and_their_mean_is_the_row() {
        for (decoder, shape) in [(TRANSFORMER, [2, 2]), (CONVOLUTIONAL, [3, 1])] {
            let folder = tempfile::tempdir().unwrap();
            let translator = translator_of(folder.path(), "kind = 'recurrent'", decoder);
            let pairs = [Pair::new("abc", "cb"), Pair::new("d", "abca")];
            assert!(
                translator.score(&pairs)[0].candidates[0]
                    .head_weights
                    .is_empty()
            );
            let translator = translator.with_head_weights();
            for (pair, found) in pairs.iter().zip(translator.score(&pairs)) {
                let candidate = &found.candidates[0];
                let heads = &candidate.head_weights;
                assert_eq!([heads.len(), heads[0].len()], shape);
                let averaged: Vec<_> = match shape {
                    [_, 1] => heads.concat(),
                    _ => heads[1].clone(),
                };
                let n = averaged.len() as f32;
                for (t, row) in candidate.weights.as_ref().unwrap().iter().enumerate() {
                    let mean: Vec<f32> = (0..row.len())
                        .map(|s| averaged.iter().map(|head| head[t][s]).sum::<f32>() / n)
                        .collect();
                    assert_close(&mean, row);
                }
                let alone = translator.member_attention(&pair.src, candidate).remove(0);
                let flat = |heads: &HeadWeights| heads.concat().concat().concat();
                assert_close(&flat(&alone.unwrap().head_weights), &flat(heads));
            }
        }
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-5, "{a}, not {b}");
        }
    }
}
