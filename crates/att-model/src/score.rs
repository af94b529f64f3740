//! How probable given translations are.

use att_core::on_kernel_threads;
use att_data::{Batch, BatchLimit, Example, Pair};
use att_decoder::search::ScoreTerms;

use crate::translator::with_eos;
use crate::{Candidate, Translation, Translator};

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
    /// Pairs of like length share a batch, and up to rounding it makes no difference which. An ensemble's
    /// probabilities are mixed, and its attention is the mean, as in search; weights of heads are those of a
    /// model alone.
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
            let batches = self.as_members_read(batch, &indices, |index| pairs[index].clone());
            let forced =
                on_kernel_threads(|| self.together(&[]).force(&batches, self.head_weights));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeadWeights;
    use crate::forced::force;
    use crate::translator::test_support::{LUONG, members, search, translator, translator_of};
    use att_core::ops::Mixture;
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

    /// Models that read other tokens, the third other than the first two.
    #[test]
    fn an_ensemble_scores_what_it_finds_as_it_found_it() {
        let folder = tempfile::tempdir().unwrap();
        let lines = ["abcd", "", "dddcba", "xay"];
        for mixture in [Mixture::Average, Mixture::LogLinear] {
            for n in [2, 3] {
                let mut models = members(folder.path());
                models.truncate(n);
                let weights = &[5.0, 3.0, 2.0][..n];
                let ensemble = Translator::ensemble(models, weights, mixture).unwrap();
                let found = ensemble.translate(&lines, &search()).unwrap();
                let mut compared = 0;
                for (line, found) in lines.iter().zip(&found) {
                    for found in &found.candidates {
                        let pair = Pair::new(*line, found.text.as_str());
                        let scored = ensemble.score(&[pair]).remove(0).candidates.remove(0);
                        if scored.tokens != found.tokens {
                            continue; // a text that is cut otherwise, or an UNK
                        }
                        assert_close(&scored.token_log_probs, &found.token_log_probs);
                        let flat =
                            |candidate: &Candidate| candidate.weights.clone().unwrap().concat();
                        assert_close(&flat(&scored), &flat(found));
                        compared += 1;
                    }
                }
                assert!(compared >= lines.len(), "{compared}");
                let alone = translator(folder.path(), LUONG);
                let pair = [Pair::new("abcd", "dcba")];
                let [one, all] = [&alone, &ensemble].map(|from| from.score(&pair).remove(0));
                let [one, all] = [one, all].map(|found| found.candidates[0].log_prob);
                assert!((one - all).abs() > 1e-3, "{one} {all}");
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
