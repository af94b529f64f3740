//! What every search must hold, on small decoders of each kind.

use att_attention::{
    AttentionConfig, HistoryConfig, LocalMConfig, TransformerConfig, WindowConfig,
};
use att_core::{EncoderOutput, random, special::N_SPECIAL};
use att_encoder::{EncoderConfig, RecurrentEncoderConfig};
use att_layers::EmbeddingConfig;
use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};

use super::*;
use crate::{
    AnyDecoder, BahdanauConfig, ConditionalGruConfig, ConvolutionalDecoderConfig, DecoderConfig,
    LuongConfig, RecurrentStackConfig, TransformerDecoderConfig,
};

const D: usize = 6;

fn configs() -> Vec<DecoderConfig> {
    let recurrent = RecurrentStackConfig {
        d_hidden: 12,
        ..Default::default()
    };
    let remembering = AttentionConfig {
        history: HistoryConfig::Coverage(Default::default()),
        window: WindowConfig::LocalM(LocalMConfig {
            radius: 2,
            ratio: 0.5,
        }),
        ..Default::default()
    };
    vec![
        DecoderConfig::Bahdanau(BahdanauConfig {
            recurrent: recurrent.clone(),
            ..Default::default()
        }),
        DecoderConfig::Luong(LuongConfig {
            recurrent: recurrent.clone(),
            input_feeding: true,
            ..Default::default()
        }),
        DecoderConfig::Luong(LuongConfig {
            recurrent: recurrent.clone(),
            ..Default::default()
        }),
        // What attention remembers must follow the hypotheses.
        DecoderConfig::Luong(LuongConfig {
            recurrent,
            attention: remembering.clone(),
            ..Default::default()
        }),
        DecoderConfig::ConditionalGru(ConditionalGruConfig {
            d_hidden: 12,
            ..Default::default()
        }),
        DecoderConfig::Convolutional(ConvolutionalDecoderConfig {
            d_hidden: 12,
            layers: 2,
            attention: remembering,
            ..Default::default()
        }),
        DecoderConfig::Transformer(TransformerDecoderConfig {
            layers: TransformerConfig {
                d_model: 12,
                layers: 2,
                n_heads: 2,
                d_ff: 16,
                ..Default::default()
            },
            ..Default::default()
        }),
    ]
}

struct Sources {
    decoder: AnyDecoder,
    encoder: att_encoder::Encoder,
    embedded: Tensor<3>,
    lengths: Vec<usize>,
}

impl Sources {
    /// Weights are scaled up, so that untrained models have opinions.
    fn new(config: &DecoderConfig, vocab: usize, lengths: &[usize], device: &Device) -> Self {
        use burn::module::{Module, ModuleMapper, Param};
        struct Scale;
        impl ModuleMapper for Scale {
            fn map_float<const N: usize>(&mut self, param: Param<Tensor<N>>) -> Param<Tensor<N>> {
                param.map(|tensor| tensor * 2.5)
            }
        }
        random::seed(21);
        let encoder = EncoderConfig::Recurrent(RecurrentEncoderConfig {
            d_hidden: D,
            ..Default::default()
        });
        let embedding = EmbeddingConfig {
            d_embed: D,
            dropout: 0.0,
        }
        .init(vocab, device);
        let decoder = config
            .init(embedding, false, &encoder.memory_spec(), device)
            .map(&mut Scale);
        let shape = [lengths.len(), *lengths.iter().max().unwrap(), D];
        let embedded = random::normal(shape.iter().product(), 2.0);
        Self {
            decoder,
            encoder: encoder.init(D, device),
            embedded: Tensor::from_data(TensorData::new(embedded, shape), device),
            lengths: lengths.to_vec(),
        }
    }

    /// The sources of these indices as one batch.
    fn batch(&self, indices: &[usize]) -> (EncoderOutput, Vec<usize>) {
        let lengths: Vec<usize> = indices.iter().map(|&i| self.lengths[i]).collect();
        let longest = *lengths.iter().max().unwrap();
        let rows = indices
            .iter()
            .map(|&i| self.embedded.clone().narrow(0, i, 1))
            .collect();
        let embedded = Tensor::cat(rows, 0).narrow(1, 0, longest);
        (self.encoder.forward(embedded, &lengths), lengths)
    }

    fn search(&self, indices: &[usize], config: &SearchConfig) -> Vec<Vec<Hypothesis>> {
        let (source, lengths) = self.batch(indices);
        config.search(&self.decoder, &source, &lengths)
    }

    /// Natural logarithm of the probability of `tokens` and EOS, by the teacher-forced pass.
    fn log_prob(&self, index: usize, tokens: &[u32]) -> f64 {
        let (source, _) = self.batch(&[index]);
        let ids = |ids: Vec<u32>| ids.into_iter().map(i64::from).collect::<Vec<_>>();
        let input = ids([&[BOS], tokens].concat());
        let gold = ids([tokens, &[EOS]].concat());
        let input = Tensor::<1, Int>::from_data(input.as_slice(), &source.memory.device());
        let output = self
            .decoder
            .forward(input.unsqueeze(), &[tokens.len() + 1], &source);
        let positions: Vec<usize> = (0..gold.len()).collect();
        let log_probs = log_softmax(self.decoder.logits(output.at(&positions, None)), 1);
        let log_probs: Vec<f32> = log_probs.into_data().iter().collect();
        let vocab = self.decoder.vocab();
        let picked = gold
            .iter()
            .enumerate()
            .map(|(t, &id)| log_probs[t * vocab + id as usize]);
        picked.map(f64::from).sum()
    }
}

use att_core::special::{BOS, EOS, UNK};

fn assert_same(a: &Hypothesis, b: &Hypothesis) {
    assert_eq!(a.tokens, b.tokens);
    let allowed = 1e-5 * a.score.abs().max(1.0);
    assert!(
        (a.score - b.score).abs() < allowed,
        "{} {}",
        a.score,
        b.score
    );
    assert_eq!(a.weights.is_some(), b.weights.is_some());
    if let (Some(a), Some(b)) = (&a.weights, &b.weights) {
        assert_eq!(a.len(), b.len());
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
        assert!(a.iter().flatten().zip(b.iter().flatten()).all(close));
    }
}

fn config(beam_size: usize) -> SearchConfig {
    SearchConfig {
        beam_size,
        max_len: 12,
        ..Default::default()
    }
}

#[test]
fn batch_and_order_change_nothing() {
    let device = Device::flex();
    let lengths = [5, 1, 3, 8, 2, 7, 4, 8, 6];
    for decoder in configs() {
        let sources = Sources::new(&decoder, 11, &lengths, &device);
        for beam_size in [1, 4] {
            let config = SearchConfig {
                n_best: beam_size,
                ..config(beam_size)
            };
            let alone: Vec<_> = (0..9)
                .map(|i| sources.search(&[i], &config).remove(0))
                .collect();
            let order = [8, 3, 1, 0, 5, 7, 2, 6, 4];
            for (found, index) in sources.search(&order, &config).iter().zip(order) {
                assert_eq!(found.len(), alone[index].len());
                for (a, b) in found.iter().zip(&alone[index]) {
                    assert_same(a, b);
                }
            }
        }
    }
}

#[test]
fn a_beam_of_one_is_greedy() {
    let device = Device::flex();
    for decoder in configs() {
        let sources = Sources::new(&decoder, 11, &[5, 1, 3, 8], &device);
        for (min_len, max_len) in [(0, 12), (4, 6), (0, 1)] {
            let config = SearchConfig {
                min_len,
                max_len,
                ..config(1)
            };
            let (source, lengths) = sources.batch(&[0, 1, 2, 3]);
            let greedy = greedy_search(&sources.decoder, &source, &lengths, &config);
            let beam = beam_search(&sources.decoder, &source, &lengths, &config);
            for (greedy, beam) in greedy.iter().zip(&beam) {
                assert_same(greedy, &beam[0]);
                assert!((min_len..=max_len).contains(&greedy.tokens.len()));
            }
        }
    }
}

#[test]
fn the_score_is_the_probability_of_the_forced_target() {
    let device = Device::flex();
    for decoder in configs() {
        let sources = Sources::new(&decoder, 11, &[5, 1, 3], &device);
        let length_penalty = LengthPenalty::Gnmt { alpha: 0.7 };
        let config = SearchConfig {
            n_best: 3,
            length_penalty,
            ..config(3)
        };
        for (index, found) in sources.search(&[0, 1, 2], &config).iter().enumerate() {
            for hypothesis in found {
                let forced = sources.log_prob(index, &hypothesis.tokens);
                assert!((hypothesis.log_prob - forced).abs() < 1e-4);
                let sum: f32 = hypothesis.token_log_probs.iter().sum();
                assert!((f64::from(sum) - forced).abs() < 1e-4);
                let divisor = length_penalty.divisor(hypothesis.tokens.len() + 1);
                assert!((hypothesis.score - forced / divisor).abs() < 1e-4);
                for weights in hypothesis.weights.as_ref().unwrap() {
                    assert_eq!(weights.len(), sources.lengths[index]);
                    assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                }
            }
        }
    }
}

/// Every sequence of up to `max_len` tokens that a search may output.
fn all_sequences(vocab: u32, max_len: usize) -> Vec<Vec<u32>> {
    let tokens: Vec<u32> = std::iter::once(UNK).chain(N_SPECIAL..vocab).collect();
    let mut all = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..max_len {
        last = last
            .iter()
            .flat_map(|prefix| {
                tokens
                    .iter()
                    .map(move |&t| [prefix.as_slice(), &[t]].concat())
            })
            .collect();
        all.extend(last.clone());
    }
    all
}

#[test]
fn a_wide_beam_finds_the_best_of_all_sequences() {
    let device = Device::flex();
    let (vocab, max_len) = (6, 3);
    for decoder in configs() {
        let sources = Sources::new(&decoder, vocab, &[4, 2], &device);
        for length_penalty in [
            LengthPenalty::None,
            LengthPenalty::Gnmt { alpha: 1.0 },
            LengthPenalty::Power { alpha: 1.0 },
        ] {
            let config = SearchConfig {
                beam_size: 64,
                n_best: 5,
                length_penalty,
                max_len,
                ..Default::default()
            };
            for (index, found) in sources.search(&[0, 1], &config).iter().enumerate() {
                let mut all: Vec<(f64, Vec<u32>)> = all_sequences(vocab as u32, max_len)
                    .into_iter()
                    .map(|tokens| {
                        let log_prob = sources.log_prob(index, &tokens);
                        (log_prob / length_penalty.divisor(tokens.len() + 1), tokens)
                    })
                    .collect();
                all.sort_by(|a, b| b.0.total_cmp(&a.0));
                for (found, (score, tokens)) in found.iter().zip(&all) {
                    assert_eq!(&found.tokens, tokens);
                    assert!((found.score - score).abs() < 1e-4);
                }
                assert_eq!(found.len(), 5);
            }
        }
    }
}

#[test]
fn early_stopping_is_exact() {
    let device = Device::flex();
    for decoder in configs() {
        let sources = Sources::new(&decoder, 9, &[4, 2, 6], &device);
        for length_penalty in [LengthPenalty::None, LengthPenalty::Power { alpha: 1.0 }] {
            let one = SearchConfig {
                length_penalty,
                ..config(6)
            };
            // With n_best = beam_size nothing stops before the whole beam has ended.
            let all = SearchConfig {
                n_best: 6,
                ..one.clone()
            };
            for (one, all) in sources
                .search(&[0, 1, 2], &one)
                .iter()
                .zip(sources.search(&[0, 1, 2], &all))
            {
                assert_same(&one[0], &all[0]);
            }
        }
    }
}

#[test]
fn hypotheses_are_sorted_and_differ() {
    let device = Device::flex();
    for decoder in configs() {
        let sources = Sources::new(&decoder, 9, &[4, 2, 6], &device);
        for found in sources.search(
            &[0, 1, 2],
            &SearchConfig {
                n_best: 6,
                ..config(6)
            },
        ) {
            assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
            let mut tokens: Vec<_> = found.iter().map(|h| &h.tokens).collect();
            tokens.sort();
            tokens.dedup();
            assert_eq!(tokens.len(), found.len());
        }
    }
}
