//! What every search must hold, over a model that is a table: many small random cases.

use std::sync::Arc;

use att_core::random;
use att_core::special::{BOS, EOS, N_SPECIAL, PAD, UNK};
use burn::tensor::{Device, Tensor, TensorData};

use super::*;

/// Scores that depend on the source and all tokens so far, by chance.
struct Toy {
    vocab: u32,
    src_len: usize,
    seed: u64,
    /// Of all steps, where they do not depend on the tokens.
    fixed: Option<Vec<f32>>,
    /// The columns that a step has scores of.
    ids: Option<Arc<[u32]>>,
}

/// The source and the tokens of each row.
type Rows = Vec<(u64, Vec<u32>)>;

impl Toy {
    fn new(vocab: u32, seed: u64) -> Self {
        Self {
            vocab,
            src_len: 3,
            seed,
            fixed: None,
            ids: None,
        }
    }

    fn numbers(&self, source: u64, tokens: &[u32], of: u64) -> impl Iterator<Item = f32> {
        let start = random::mix(random::mix(self.seed, source), of);
        let seed = tokens
            .iter()
            .fold(start, |seed, &token| random::mix(seed, u64::from(token)));
        (0..).map(move |i| (random::mix(seed, i) >> 40) as f32 / (1u64 << 24) as f32)
    }

    fn logits(&self, source: u64, tokens: &[u32]) -> Vec<f32> {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        let numbers = self.numbers(source, tokens, 0);
        let numbers = numbers.map(|x| 8.0 * x - 4.0);
        numbers.take(self.vocab as usize).collect()
    }

    fn log_probs(&self, source: u64, tokens: &[u32]) -> Vec<f64> {
        let logits = self.logits(source, tokens);
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        logits.iter().map(|&x| f64::from(x) - sum.ln()).collect()
    }

    /// Of the tokens and EOS.
    fn log_prob(&self, source: u64, tokens: &[u32]) -> f64 {
        let whole = [tokens, &[EOS]].concat();
        let of = |(t, &token): (usize, &u32)| self.log_probs(source, &whole[..t])[token as usize];
        whole.iter().enumerate().map(of).sum()
    }

    fn search(&self, requests: &[Request], config: &SearchConfig) -> Vec<Found> {
        config.validate().unwrap();
        let start = (0..requests.len() as u64).map(|i| (i, Vec::new()));
        let requests: Vec<Request> = requests
            .iter()
            .map(|request| Request {
                n_states: self.src_len,
                ..request.clone()
            })
            .collect();
        for request in &requests {
            request.validate(config).unwrap();
        }
        search(self, start.collect(), &requests, config)
    }

    fn one(&self, request: &Request, config: &SearchConfig) -> Vec<Hypothesis> {
        self.search(std::slice::from_ref(request), config)
            .remove(0)
            .hypotheses
    }
}

impl Stepper for Toy {
    type State = Rows;

    fn step(&self, tokens: &[u32], mut rows: Rows) -> Scored<Rows> {
        assert_eq!(tokens.len(), rows.len());
        for ((_, past), &token) in rows.iter_mut().zip(tokens) {
            if token != BOS {
                past.push(token);
            }
        }
        let mut logits = Vec::new();
        let mut weights = Vec::new();
        for (source, past) in &rows {
            let row = self.logits(*source, past);
            match &self.ids {
                Some(ids) => logits.extend(ids.iter().map(|&id| row[id as usize])),
                None => logits.extend(row),
            }
            let mut row: Vec<f32> = self.numbers(*source, past, 1).take(self.src_len).collect();
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|weight| *weight /= sum);
            weights.extend(row);
        }
        let device = Device::flex();
        let matrix = |values: Vec<f32>| {
            let shape = [rows.len(), values.len() / rows.len()];
            Tensor::from_data(TensorData::new(values, shape), &device)
        };
        Scored {
            logits: matrix(logits),
            ids: self.ids.clone().map(|ids| vec![ids]),
            weights: Some(matrix(weights)),
            state: rows.clone(),
        }
    }

    fn select(&self, rows: Rows, indices: &[usize], sources: Option<&[usize]>) -> Rows {
        if let Some(sources) = sources {
            let per_source = indices.len() / sources.len();
            assert_eq!(per_source * sources.len(), indices.len());
        }
        indices.iter().map(|&row| rows[row].clone()).collect()
    }

    fn join(&self, rows: Rows, more: Rows) -> Rows {
        [rows, more].concat()
    }
}

/// Random choices of a test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = random::mix(self.0, 1);
        (self.0 % n as u64) as usize
    }

    fn tokens(&mut self, n: usize, vocab: u32) -> Vec<u32> {
        let ordinary = (vocab - N_SPECIAL) as usize;
        let token = |_| N_SPECIAL + self.below(ordinary) as u32;
        (0..n).map(token).collect()
    }
}

/// A search of any kind, but for sampling.
fn any_config(dice: &mut Dice) -> SearchConfig {
    let groups = 1 + dice.below(3);
    let beam_size = groups * (1 + dice.below(3));
    let pick = |dice: &mut Dice, some: f64| if dice.below(2) == 0 { some } else { 0.0 };
    SearchConfig {
        strategy: if groups > 1 {
            StrategyConfig::Diverse(DiverseConfig {
                groups,
                strength: dice.below(4) as f64,
            })
        } else {
            StrategyConfig::Beam {}
        },
        beam_size,
        n_best: 1 + dice.below(beam_size),
        length_penalty: LengthPenalty::Gnmt {
            alpha: pick(dice, 0.8),
        },
        coverage_penalty: pick(dice, 0.4),
        repetition_penalty: 1.0 + pick(dice, 0.5),
        no_repeat_ngram: dice.below(3),
        suppress_unk: dice.below(2) == 0,
        min_len: dice.below(4),
        min_len_ratio: pick(dice, 0.5),
        max_len: 4 + dice.below(6),
        ..Default::default()
    }
}

fn any_request(dice: &mut Dice, vocab: u32) -> Request {
    let n = dice.below(3);
    Request {
        src_len: 1 + dice.below(6),
        prefix: dice.tokens(n, vocab),
        seed: dice.below(1000) as u64,
        ..Default::default()
    }
}

#[test]
fn greedy_takes_the_best_token_each_time() {
    for seed in 0..20 {
        let toy = Toy::new(9, seed);
        let config = SearchConfig {
            beam_size: 1,
            max_len: 8,
            ..Default::default()
        };
        let found = toy.one(&Request::default(), &config).remove(0);
        let mut expected: Vec<u32> = Vec::new();
        while expected.len() < 8 {
            let log_probs = toy.log_probs(0, &expected);
            let choices = (0..9).filter(|id| ![PAD, BOS].contains(id));
            let best =
                choices.max_by(|&a, &b| log_probs[a as usize].total_cmp(&log_probs[b as usize]));
            match best.unwrap() {
                EOS => break,
                token => expected.push(token),
            }
        }
        assert_eq!(found.tokens, expected);
        assert!((found.log_prob - toy.log_prob(0, &expected)).abs() < 1e-5);
    }
}

#[test]
fn phrases_always_stand_in_the_target() {
    let mut dice = Dice(1);
    for case in 0..300 {
        let toy = Toy::new(9, case);
        let config = any_config(&mut dice);
        let requests: Vec<Request> = (0..3)
            .map(|_| {
                let n = dice.below(4);
                let lens: Vec<usize> = (0..n).map(|_| 1 + dice.below(3)).collect();
                let phrases = lens.into_iter().map(|len| dice.tokens(len, toy.vocab));
                let constraints = phrases.collect();
                Request {
                    constraints,
                    ..any_request(&mut dice, toy.vocab)
                }
            })
            .collect();
        for (request, found) in requests.iter().zip(toy.search(&requests, &config)) {
            assert!(!found.hypotheses.is_empty());
            let bounds = config.bounds_for(request.src_len);
            let most = bounds
                .max
                .max(request.prefix.len() + request.constraint_len());
            for found in found.hypotheses {
                let tokens = &found.tokens;
                assert!(tokens.starts_with(&request.prefix));
                assert!(tokens.len() <= most && tokens.len() >= bounds.min);
                assert!(
                    stand_apart(tokens, &request.constraints),
                    "{request:?} {tokens:?}"
                );
            }
        }
    }
}

/// Whether all phrases stand in the tokens without overlapping, in any order.
fn stand_apart(tokens: &[u32], phrases: &[Vec<u32>]) -> bool {
    fn place(free: &mut [bool], tokens: &[u32], phrases: &[Vec<u32>]) -> bool {
        let Some((phrase, rest)) = phrases.split_first() else {
            return true;
        };
        for start in 0..(tokens.len() + 1).saturating_sub(phrase.len()) {
            let range = start..start + phrase.len();
            if tokens[range.clone()] == phrase[..] && free[range.clone()].iter().all(|&free| free) {
                free[range.clone()].fill(false);
                if place(free, tokens, rest) {
                    return true;
                }
                free[range].fill(true);
            }
        }
        false
    }
    place(&mut vec![true; tokens.len()], tokens, phrases)
}

#[test]
fn a_wider_beam_finds_better_phrases_places() {
    // One phrase of two tokens: with all banks the beam looks for its best place.
    let (mut wide_total, mut narrow_total) = (0.0, 0.0);
    for seed in 0..40 {
        let toy = Toy::new(9, seed);
        let request = Request {
            constraints: vec![vec![5, 7]],
            ..Default::default()
        };
        let best = |beam_size| {
            let config = SearchConfig {
                beam_size,
                max_len: 6,
                ..Default::default()
            };
            toy.one(&request, &config)[0].score
        };
        narrow_total += best(2);
        wide_total += best(24);
    }
    assert!(
        wide_total > narrow_total + 1.0,
        "{wide_total} {narrow_total}"
    );
}

#[test]
fn what_comes_back_is_sorted_differs_and_keeps_to_the_rules() {
    let mut dice = Dice(2);
    for case in 0..300 {
        let toy = Toy::new(9, case);
        let mut config = any_config(&mut dice);
        if case % 3 == 0 {
            config.strategy = StrategyConfig::Sampling(SamplingConfig {
                top_k: dice.below(5),
                top_p: 0.2 + 0.2 * dice.below(5) as f64,
                ..Default::default()
            });
        }
        let request = any_request(&mut dice, toy.vocab);
        let found = toy.one(&request, &config);
        assert!(!found.is_empty() && found.len() <= config.n_best);
        assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
        let bounds = config.bounds_for(request.src_len);
        for (rank, one) in found.iter().enumerate() {
            assert!(found[..rank].iter().all(|other| other.tokens != one.tokens));
            let sum = one.log_prob + one.terms.sum();
            assert!((one.score - sum).abs() < 1e-9);
            assert!((one.log_prob - toy.log_prob(0, &one.tokens)).abs() < 1e-4);
            assert_eq!(one.token_log_probs.len(), one.tokens.len() + 1);
            let free = &one.tokens[request.prefix.len()..];
            assert!(one.tokens.starts_with(&request.prefix));
            assert!(![PAD, BOS, EOS].iter().any(|id| one.tokens.contains(id)));
            assert!(!(config.suppress_unk && free.contains(&UNK)));
            assert!(one.tokens.len() <= bounds.max.max(request.prefix.len()));
            let n = config.no_repeat_ngram;
            assert!(one.tokens.len() >= bounds.min);
            if n > 0 {
                let ngrams: Vec<&[u32]> = one.tokens.windows(n).collect();
                let first_free = (request.prefix.len() + 1).saturating_sub(n);
                for (i, ngram) in ngrams.iter().enumerate().skip(first_free) {
                    assert!(!ngrams[..i].contains(ngram), "{:?}", one.tokens);
                }
            }
        }
    }
}

#[test]
fn the_terms_are_their_formulas() {
    let mut dice = Dice(3);
    for case in 0..100 {
        let toy = Toy::new(9, case);
        let config = any_config(&mut dice);
        let request = any_request(&mut dice, toy.vocab);
        for found in toy.one(&request, &config) {
            let whole = [&found.tokens[..], &[EOS]].concat();
            let mut total = 0.0;
            for (t, &token) in whole.iter().enumerate() {
                let mut logits = toy.logits(0, &whole[..t]);
                for (id, logit) in logits.iter_mut().enumerate() {
                    let theta = config.repetition_penalty as f32;
                    // A prefix is forced, and its repetition counts all the same.
                    if whole[..t].contains(&(id as u32)) {
                        *logit = if *logit > 0.0 {
                            *logit / theta
                        } else {
                            *logit * theta
                        };
                    }
                }
                let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
                total += f64::from(logits[token as usize]) - sum.ln();
            }
            assert!((found.terms.repetition - (total - found.log_prob)).abs() < 1e-4);
            let divided = total / config.length_penalty.divisor(whole.len());
            assert!((found.terms.length - (divided - total)).abs() < 1e-4);
            let mut coverage = 0.0;
            for state in 0..toy.src_len {
                let rows = found.weights.as_ref().unwrap();
                let sum: f64 = rows.iter().map(|row| f64::from(row[state])).sum();
                coverage += config.coverage_penalty * sum.min(1.0).ln();
            }
            assert!((found.terms.coverage - coverage).abs() < 1e-4);
        }
    }
}

#[test]
fn no_narrower_beam_beats_one_that_holds_everything() {
    // Beams are not monotone in general (each may drop what a narrower one keeps); but none is better
    // than one that drops nothing.
    let mut dice = Dice(4);
    for case in 0..30 {
        let toy = Toy::new(6, case);
        let rules = SearchConfig {
            strategy: StrategyConfig::Beam {},
            n_best: 1,
            max_len: 3,
            min_len: 0,
            min_len_ratio: 0.0,
            ..any_config(&mut dice)
        };
        let best = |beam_size| {
            let config = SearchConfig {
                beam_size,
                ..rules.clone()
            };
            toy.one(&Request::default(), &config)[0].score
        };
        let all = best(128);
        for beam_size in 1..8 {
            assert!(best(beam_size) <= all + 1e-6);
        }
    }
}

/// Pearson's statistic of counts against probabilities.
fn chi_square(counts: &[f64], probs: &[f64]) -> f64 {
    let n: f64 = counts.iter().sum();
    let cell = |(count, prob): (&f64, &f64)| (count - n * prob).powi(2) / (n * prob);
    counts.iter().zip(probs).map(cell).sum()
}

#[test]
fn samples_are_as_frequent_as_they_are_probable() {
    let n = 4000;
    let requests: Vec<Request> = (0..n)
        .map(|i: u32| Request {
            src_len: 1,
            ..Request::new(&[i])
        })
        .collect();
    let toy = Toy {
        fixed: Some([0.0, 0.2, 0.0, 0.3, 0.1, 0.4].map(|p: f32| p.ln()).to_vec()),
        ..Toy::new(6, 0)
    };
    let config = SearchConfig {
        strategy: StrategyConfig::Sampling(SamplingConfig::default()),
        max_len: 2,
        ..Default::default()
    };
    // UNK, 4 and 5 may come, or EOS; after two tokens EOS is certain.
    let probs = [(UNK, 0.2), (4, 0.1), (5, 0.4)];
    let mut cells = vec![(vec![], 0.3)];
    for (first, p) in probs {
        cells.push((vec![first], p * 0.3));
        cells.extend(probs.map(|(second, q)| (vec![first, second], p * q)));
    }
    let mut counts = vec![0.0; cells.len()];
    for found in toy.search(&requests, &config) {
        let tokens = &found.hypotheses[0].tokens;
        let cell = cells.iter().position(|(cell, _)| cell == tokens).unwrap();
        counts[cell] += 1.0;
    }
    let probs: Vec<f64> = cells.into_iter().map(|(_, prob)| prob).collect();
    // 12 degrees of freedom: 32.9 is passed once in a thousand seeds; this seed is fixed.
    let statistic = chi_square(&counts, &probs);
    assert!(statistic < 32.9, "{statistic}: {counts:?}");

    // The samples of one source are independent too: pairs of the first tokens of two.
    let config = SearchConfig {
        n_best: 2,
        max_len: 1,
        ..config
    };
    let mut same = 0.0;
    for found in toy.search(&requests, &config) {
        same += if found.hypotheses.len() == 1 {
            1.0
        } else {
            0.0
        };
    }
    let expected = 0.3f64.powi(2) + 0.2f64.powi(2) + 0.1f64.powi(2) + 0.4f64.powi(2);
    let n = f64::from(n);
    let statistic = chi_square(&[same, n - same], &[expected, 1.0 - expected]);
    assert!(statistic < 10.8, "{statistic}: {same} of {n}");
}

#[test]
fn other_seeds_give_other_samples_and_the_same_seed_the_same() {
    let toy = Toy::new(30, 0);
    let sample = |seed| {
        let config = SearchConfig {
            strategy: StrategyConfig::Sampling(SamplingConfig {
                seed,
                ..Default::default()
            }),
            n_best: 4,
            ..Default::default()
        };
        toy.one(&Request::default(), &config)
    };
    assert_eq!(sample(1), sample(1));
    assert_ne!(sample(1), sample(2));
}

#[test]
fn groups_avoid_each_others_tokens() {
    for seed in 0..20 {
        let toy = Toy::new(20, seed);
        let find = |groups, strength| {
            let config = SearchConfig {
                strategy: StrategyConfig::Diverse(DiverseConfig { groups, strength }),
                beam_size: 4,
                n_best: 4,
                min_len: 2,
                max_len: 6,
                ..Default::default()
            };
            toy.one(&Request::default(), &config)
        };
        // One group is a beam.
        let beam = SearchConfig {
            beam_size: 4,
            n_best: 4,
            min_len: 2,
            max_len: 6,
            ..Default::default()
        };
        assert_eq!(find(1, 0.5), toy.one(&Request::default(), &beam));
        // Groups that do not see each other find the same, which comes back once.
        assert_eq!(find(4, 0.0).len(), 1);
        let mut first: Vec<u32> = find(4, 100.0).iter().map(|one| one.tokens[0]).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 4);
    }
}

#[test]
fn a_group_chooses_by_probability_less_what_others_took() {
    // By hand: the second group would take the best token too, but for the penalty between the two.
    let toy = Toy {
        fixed: Some(vec![-9.0, -9.0, -9.0, -5.0, 1.0, 0.4]),
        ..Toy::new(6, 0)
    };
    let find = |strength| {
        let config = SearchConfig {
            strategy: StrategyConfig::Diverse(DiverseConfig {
                groups: 2,
                strength,
            }),
            beam_size: 2,
            n_best: 2,
            max_len: 1,
            ..Default::default()
        };
        let found = toy.one(&Request::default(), &config);
        found.into_iter().map(|one| one.tokens).collect::<Vec<_>>()
    };
    assert_eq!(find(0.5), [[4]]);
    assert_eq!(find(0.7), [[4], [5]]);
}

#[test]
fn a_vocabulary_of_its_own_is_all_that_a_source_has() {
    let mut dice = Dice(5);
    for case in 0..60 {
        let toy = Toy::new(12, case);
        let config = any_config(&mut dice);
        let requests: Vec<Request> = (0..3)
            .map(|_| {
                let n = 2 + dice.below(4);
                let allowed = Some(dice.tokens(n, 12));
                Request {
                    allowed,
                    ..any_request(&mut dice, 12)
                }
            })
            .collect();
        let masked = toy.search(&requests, &config);
        for (source, (request, found)) in requests.iter().zip(&masked).enumerate() {
            let mut allowed = request.allowed.clone().unwrap();
            allowed.extend(&request.prefix);
            for one in &found.hypotheses {
                assert!(one.tokens.iter().all(|token| allowed.contains(token)));
                let whole = [&one.tokens[..], &[EOS]].concat();
                for (t, &token) in whole.iter().enumerate() {
                    let logits = toy.logits(source as u64, &whole[..t]);
                    let within = (0..12).filter(|id| *id == EOS || allowed.contains(id));
                    let sum: f64 = within.map(|id| f64::from(logits[id as usize]).exp()).sum();
                    let expected = f64::from(logits[token as usize]) - sum.ln();
                    assert!((f64::from(one.token_log_probs[t]) - expected).abs() < 1e-4);
                }
            }
        }
        // A model that computes no other scores finds the same.
        let mut ids: Vec<u32> = vec![EOS];
        for request in &requests {
            ids.extend(request.allowed.iter().flatten());
            ids.extend(&request.prefix);
        }
        ids.sort_unstable();
        ids.dedup();
        let narrow = Toy {
            ids: Some(ids.into()),
            ..Toy::new(12, case)
        };
        assert_eq!(narrow.search(&requests, &config), masked);
    }
}

#[test]
fn the_tree_has_all_that_was_weighed() {
    let mut dice = Dice(6);
    for case in 0..100 {
        let toy = Toy::new(9, case);
        let config = any_config(&mut dice);
        let plain = any_request(&mut dice, toy.vocab);
        let request = Request {
            record: true,
            ..plain.clone()
        };
        let found = toy
            .search(std::slice::from_ref(&request), &config)
            .remove(0);
        assert_eq!(
            found.hypotheses,
            toy.one(&plain, &config),
            "a record changes nothing"
        );
        let nodes = found.tree.unwrap().nodes;
        let (groups, size) = config.groups();
        for (index, node) in nodes.iter().enumerate() {
            let parent = node.parent.map(|parent| {
                assert!(parent < index);
                &nodes[parent]
            });
            assert!(parent.is_none_or(|parent| parent.fate == Fate::Kept));
            assert_eq!(node.step, parent.map_or(0, |parent| parent.step) + 1);
            assert_eq!(node.fate == Fate::Ended, node.score.is_some());
            let step = nodes.iter().filter(|other| {
                (other.step, other.group) == (node.step, node.group) && other.fate != Fate::Pruned
            });
            assert!(step.count() <= size && node.group < groups);
        }
        for (rank, one) in found.hypotheses.iter().enumerate() {
            let mut node = nodes.iter().find(|node| node.rank == Some(rank)).unwrap();
            assert_eq!(node.score, Some(one.score));
            let mut tokens = Vec::new();
            while let Some(parent) = node.parent {
                node = &nodes[parent];
                tokens.insert(0, node.token);
            }
            assert_eq!(tokens, one.tokens);
        }
    }
}

#[test]
fn what_can_not_be_asked_for_is_refused() {
    let beam = SearchConfig::default();
    let sampling = SearchConfig {
        strategy: StrategyConfig::Sampling(SamplingConfig::default()),
        ..Default::default()
    };
    let refused = |request: Request, config: &SearchConfig, word: &str| {
        let message = request.validate(config).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    let phrase = |phrase: Vec<u32>| Request {
        constraints: vec![phrase],
        ..Default::default()
    };
    assert!(phrase(vec![5, UNK]).validate(&beam).is_ok());
    refused(phrase(vec![]), &beam, "no token");
    refused(phrase(vec![5, EOS]), &beam, "EOS");
    refused(phrase(vec![5]), &sampling, "sampled");
    let complete = Request {
        complete: true,
        ..phrase(vec![5])
    };
    refused(complete, &beam, "given");
    let prefix = Request {
        prefix: vec![BOS],
        ..Default::default()
    };
    refused(prefix, &beam, "prefix");
}
