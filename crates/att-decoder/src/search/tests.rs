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
            ..Default::default()
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
    // Rounding adds up over the tokens.
    let allowed = 1e-5 * a.score.abs().max(1.0 + a.tokens.len() as f64);
    let (a_coverage, b_coverage) = (a.terms.coverage, b.terms.coverage);
    let (a_rest, b_rest) = (a.score - a_coverage, b.score - b_coverage);
    assert!((a_rest - b_rest).abs() < allowed, "{a_rest} {b_rest}");
    // Logarithms of weights that may be tiny.
    let allowed = 1e-3 * a_coverage.abs().max(1.0);
    assert!(
        (a_coverage - b_coverage).abs() < allowed,
        "{a_coverage} {b_coverage}"
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

/// Every kind of search, each of which gives `n_best` hypotheses at most.
fn searches(n_best: usize) -> Vec<SearchConfig> {
    let texts = [
        "beam_size = 4",
        "beam_size = 4\nlength_penalty = { kind = 'gnmt', alpha = 0.7 }\ncoverage_penalty = 0.3",
        "beam_size = 4\nstrategy = { kind = 'diverse', groups = 2, strength = 1.0 }",
        "beam_size = 4\nrepetition_penalty = 1.4\nno_repeat_ngram = 2\nsuppress_unk = true",
        "strategy = { kind = 'sampling', seed = 5 }",
        "strategy = { kind = 'sampling', temperature = 1.5, top_k = 5, top_p = 0.8 }\nrepetition_penalty = 1.2",
    ];
    let read = |text: &str| SearchConfig {
        n_best,
        max_len: 12,
        ..toml::from_str(text).expect(text)
    };
    texts.into_iter().map(read).collect()
}

/// A request for each source, each asking for something else; phrases only where they may be asked for.
fn requests(lengths: &[usize], phrases: bool) -> Vec<Request> {
    let of = |(index, &len): (usize, &usize)| {
        let src: Vec<u32> = (0..len).map(|t| (index * 7 + t) as u32).collect();
        let mut request = Request::new(&src);
        match index % 4 {
            1 => request.prefix = vec![5, 4],
            2 if phrases => request.constraints = vec![vec![6, 5], vec![8]],
            3 => request.allowed = Some(vec![4, 6, 7, UNK]),
            _ => {}
        }
        request
    };
    lengths.iter().enumerate().map(of).collect()
}

#[test]
fn batch_order_and_company_change_nothing() {
    let device = Device::flex();
    let lengths = [5, 1, 3, 8, 2, 7, 4, 8, 6];
    for decoder in configs() {
        let sources = Sources::new(&decoder, 11, &lengths, &device);
        let mut all = searches(3);
        all.push(config(1));
        for config in all {
            let requests = requests(&lengths, config.strategy.sampling().is_none());
            let found = |indices: &[usize]| {
                let (source, _) = sources.batch(indices);
                let requests = indices.iter().map(|&i| requests[i].clone()).collect();
                config.search_requests(&sources.decoder, &source, requests)
            };
            let alone: Vec<_> = (0..9).map(|i| found(&[i]).remove(0)).collect();
            let order = [8, 3, 1, 0, 5, 7, 2, 6, 4];
            for (found, index) in found(&order).iter().zip(order) {
                let (found, alone) = (&found.hypotheses, &alone[index].hypotheses);
                assert_eq!(found.len(), alone.len(), "{config:?}");
                assert!(!found.is_empty());
                for (a, b) in found.iter().zip(alone) {
                    assert_same(a, b);
                }
            }
        }
    }
}

/// Brings sources, at most `at_once` at a time.
struct Queue<'a> {
    sources: &'a Sources,
    stepper: &'a DecoderStepper<'a, AnyDecoder>,
    requests: &'a [Request],
    at_once: usize,
    waiting: Vec<usize>,
    come: Vec<usize>,
    /// What was found, in the order in which the sources came.
    found: Vec<Option<Found>>,
    /// Whether sources came while others were at a later step.
    joined: bool,
}

impl Observer for Queue<'_> {}

impl Feed<DecoderSteps> for Queue<'_> {
    fn arrivals(&mut self, room: usize) -> Option<Arrivals<DecoderSteps>> {
        let n = room.min(self.at_once).min(self.waiting.len());
        let come: Vec<usize> = self.waiting.drain(..n).collect();
        if come.is_empty() {
            return None;
        }
        self.joined |= self.found.iter().any(Option::is_none);
        self.found.resize(self.found.len() + n, None);
        let (source, lengths) = self.sources.batch(&come);
        let request = |(&index, n_states): (&usize, usize)| Request {
            n_states,
            ..self.requests[index].clone()
        };
        let requests = come.iter().zip(lengths).map(request).collect();
        self.come.extend(come);
        Some(Arrivals {
            start: self.stepper.start(&source),
            requests,
        })
    }

    fn found(&mut self, source: usize, found: Found) {
        self.found[source] = Some(found);
    }
}

#[test]
fn sources_that_come_later_change_nothing() {
    let device = Device::flex();
    let lengths = [5, 1, 3, 8, 2, 7, 4, 8, 6];
    for decoder in configs() {
        let sources = Sources::new(&decoder, 11, &lengths, &device);
        let stepper = &DecoderStepper::new(&sources.decoder, device.clone());
        let mut all = searches(3);
        all.push(config(1));
        for config in all {
            let requests = &requests(&lengths, config.strategy.sampling().is_none());
            let (source, _) = sources.batch(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
            let together = config.search_requests(&sources.decoder, &source, requests.clone());
            for (places, at_once) in [(1, 1), (2, 2), (4, 3), (4, 1)] {
                let mut queue = Queue {
                    sources: &sources,
                    stepper,
                    requests,
                    at_once,
                    waiting: vec![4, 6, 2, 7, 5, 0, 1, 3, 8],
                    come: Vec::new(),
                    found: Vec::new(),
                    joined: false,
                };
                search_feed(stepper, places, &config, &mut queue);
                if at_once == 1 {
                    assert_eq!(queue.joined, places > 1);
                }
                for (index, found) in queue.come.into_iter().zip(queue.found) {
                    let (found, expected) =
                        (found.unwrap().hypotheses, &together[index].hypotheses);
                    assert_eq!(found.len(), expected.len(), "{config:?}");
                    let pairs = found.iter().zip(expected);
                    pairs.for_each(|(a, b)| assert_same(a, b));
                }
            }
        }
    }
}

/// The attention, the log-probabilities and the terms of what any strategy finds are those of the same
/// target forced.
#[test]
fn what_is_found_is_what_is_forced() {
    let device = Device::flex();
    let lengths = [5, 1, 3, 8];
    for decoder in configs() {
        let sources = Sources::new(&decoder, 11, &lengths, &device);
        for config in searches(3) {
            let asked = requests(&lengths, config.strategy.sampling().is_none());
            let (source, _) = sources.batch(&[0, 1, 2, 3]);
            let found = config.search_requests(&sources.decoder, &source, asked.clone());
            for (index, found) in found.into_iter().enumerate() {
                for hypothesis in found.hypotheses {
                    let (source, _) = sources.batch(&[index]);
                    let forced = Request {
                        prefix: hypothesis.tokens.clone(),
                        complete: true,
                        constraints: Vec::new(),
                        ..asked[index].clone()
                    };
                    let forced = config
                        .search_requests(&sources.decoder, &source, vec![forced])
                        .remove(0);
                    assert_eq!(forced.hypotheses.len(), 1);
                    assert_same(&hypothesis, &forced.hypotheses[0]);
                    let pairs = hypothesis
                        .token_log_probs
                        .iter()
                        .zip(&forced.hypotheses[0].token_log_probs);
                    for (a, b) in pairs {
                        assert!((a - b).abs() < 1e-4, "{a} {b} {config:?}");
                    }
                    if asked[index].allowed.is_none() {
                        let log_prob = sources.log_prob(index, &hypothesis.tokens);
                        assert!((hypothesis.log_prob - log_prob).abs() < 1e-4);
                    }
                    let sum = hypothesis.log_prob + hypothesis.terms.sum();
                    assert!((hypothesis.score - sum).abs() < 1e-9);
                }
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

/// A token, its log-probability and its weights.
type Told = (u32, f32, Option<Vec<f32>>);

/// Writes down what it is told, and calls off one source after its second step.
#[derive(Default)]
struct Notes {
    told: Vec<Vec<Told>>,
    steps: Vec<usize>,
    called_off: Option<usize>,
}

impl Observer for Notes {
    fn goes_on(&mut self, source: usize) -> bool {
        self.steps[source] += 1;
        self.called_off != Some(source) || self.steps[source] < 2
    }

    fn token(&mut self, source: usize, found: FoundToken) {
        let weights = found.weights.map(<[f32]>::to_vec);
        self.told[source].push((found.token, found.log_prob, weights));
    }
}

#[test]
fn tokens_are_told_as_they_are_found_and_a_source_can_be_called_off() {
    let device = Device::flex();
    let lengths = [5, 1, 3, 8];
    for decoder in configs() {
        let sources = Sources::new(&decoder, 11, &lengths, &device);
        let (source, _) = sources.batch(&[0, 1, 2, 3]);
        let stepper = DecoderStepper::new(&sources.decoder, device.clone());
        let requests = requests(&lengths, false);
        for (config, one) in [
            (config(1), true),
            (searches(1).remove(4), true),
            (config(2), false),
        ] {
            // So that none ends before its third step.
            let config = SearchConfig {
                min_len: 3,
                ..config
            };
            let found = |called_off| {
                let mut notes = Notes {
                    told: vec![Vec::new(); 4],
                    steps: vec![0; 4],
                    called_off,
                };
                let start = stepper.start(&source);
                let found = search_observed(&stepper, start, &requests, &config, &mut notes);
                (found, notes)
            };
            let alone = search(&stepper, stepper.start(&source), &requests, &config);
            let (all, notes) = found(None);
            assert_eq!(all, alone, "looking on changes nothing");
            for (found, told) in all.iter().zip(&notes.told) {
                let best = &found.hypotheses[0];
                let steps = best.tokens.iter().copied().chain([EOS]);
                let steps = steps.zip(best.token_log_probs.iter().copied());
                let weights = best.weights.clone().unwrap().into_iter().map(Some);
                let expected: Vec<_> = steps.zip(weights).map(|((t, p), w)| (t, p, w)).collect();
                assert_eq!(*told, if one { expected } else { Vec::new() });
            }
            let (rest, notes) = found(Some(0));
            assert_eq!(notes.steps[0], 2);
            for (rest, alone) in rest.iter().zip(&alone).skip(1) {
                assert_eq!(rest.hypotheses.len(), alone.hypotheses.len());
                let pairs = rest.hypotheses.iter().zip(&alone.hypotheses);
                pairs.for_each(|(a, b)| assert_same(a, b));
            }
            assert!(rest[0].hypotheses.len() <= alone[0].hypotheses.len());
        }
    }
}
