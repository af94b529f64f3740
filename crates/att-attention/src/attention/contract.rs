use super::*;
use crate::{
    ChunkedConfig, LocalMConfig, LocalPConfig, LocationSensitiveConfig, MochaConfig,
    MonotonicConfig,
};
use att_core::{DeviceSpec, host_vec as values, mask::src_pad_mask, random};
use burn::tensor::TensorData;

const D: usize = 4;
const LENGTHS: [usize; 4] = [5, 2, 0, 1];
const STEPS: usize = 3;

/// Each kind with small settings, the rest at its default, and some together.
fn configs() -> Vec<AttentionConfig> {
    let base = AttentionConfig::default;
    let scorers = ScorerConfig::all().into_iter();
    let mut configs: Vec<_> = scorers
        .map(|scorer| AttentionConfig { scorer, ..base() })
        .collect();
    let normalisers: Vec<_> = NormaliserConfig::all()
        .into_iter()
        .map(without_noise)
        .collect();
    let windows = WindowConfig::all().into_iter().map(small_window);
    let windows: Vec<_> = windows.filter(|w| *w != WindowConfig::None {}).collect();
    let histories = HistoryConfig::all().into_iter().map(small_history);
    for history in histories {
        for normaliser in &normalisers {
            configs.push(AttentionConfig {
                normaliser: normaliser.clone(),
                history: history.clone(),
                ..base()
            });
        }
        for window in &windows {
            configs.push(AttentionConfig {
                window: window.clone(),
                history: history.clone(),
                ..base()
            });
        }
    }
    for (scorer, window) in ScorerConfig::all().into_iter().zip(windows.iter().cycle()) {
        configs.push(AttentionConfig {
            scorer,
            normaliser: NormaliserConfig::Entmax15(Default::default()),
            window: window.clone(),
            ..base()
        });
    }
    configs
}

/// Noise would differ from pass to pass.
fn without_noise(normaliser: NormaliserConfig) -> NormaliserConfig {
    match normaliser {
        NormaliserConfig::Monotonic(_) => NormaliserConfig::Monotonic(MonotonicConfig {
            noise: 0.0,
            offset: 0.3,
        }),
        NormaliserConfig::Mocha(_) => NormaliserConfig::Mocha(MochaConfig {
            noise: 0.0,
            offset: 0.3,
            chunk: 2,
            ..Default::default()
        }),
        other => other,
    }
}

fn small_window(window: WindowConfig) -> WindowConfig {
    match window {
        WindowConfig::None {} => WindowConfig::None {},
        WindowConfig::LocalM(_) => WindowConfig::LocalM(LocalMConfig {
            radius: 1,
            ratio: 1.5,
        }),
        WindowConfig::LocalP(_) => WindowConfig::LocalP(LocalPConfig {
            radius: 2,
            d_attn: 6,
        }),
        WindowConfig::Chunked(_) => WindowConfig::Chunked(ChunkedConfig {
            size: 2,
            ratio: 1.0,
        }),
    }
}

fn small_history(history: HistoryConfig) -> HistoryConfig {
    match history {
        HistoryConfig::LocationSensitive(_) => {
            HistoryConfig::LocationSensitive(LocationSensitiveConfig {
                filters: 2,
                width: 3,
                cumulative: true,
            })
        }
        other => other,
    }
}

fn tensor(shape: [usize; 3], device: &Device) -> Tensor<3> {
    let data = random::normal(shape.iter().product(), 1.0);
    Tensor::from_data(TensorData::new(data, shape), device)
}

/// Attention, a padded batch of sources and queries of three steps.
fn setup(config: &AttentionConfig, device: &Device) -> (Attention, EncoderOutput, Tensor<3>) {
    random::seed(11);
    let source = EncoderOutput {
        memory: tensor([4, 5, D], device),
        src_pad_mask: src_pad_mask(&LENGTHS, 5, device),
        final_states: Vec::new(),
    };
    let query = tensor([4, STEPS, D], device);
    (config.init(D, D, device), source, query)
}

/// On each backend, off the tape and on it, where monotonic kinds differ.
fn each(test: impl Fn(&AttentionConfig, &Device)) {
    for spec in [DeviceSpec::Flex, DeviceSpec::NdArray] {
        let device = spec.init().unwrap();
        for config in configs() {
            test(&config, &device);
            if config.normaliser.is_monotonic() {
                test(&config, &device.clone().autodiff());
            }
        }
    }
}

fn close(a: Tensor<3>, b: Tensor<3>) -> bool {
    a.all_close(b, Some(1e-5), Some(1e-6))
}

#[test]
fn weights_sum_to_one_over_real_tokens_and_are_zero_on_padding() {
    each(|config, device| {
        let (attention, source, query) = setup(config, device);
        let out = attention.forward(query, &attention.prepare(&source));
        let weights = values(out.weights);
        for (row, weights) in weights.chunks(5).enumerate() {
            let length = LENGTHS[row / STEPS];
            let sum: f32 = weights.iter().sum();
            let expected = if length == 0 { 0.0 } else { 1.0 };
            if config.sums_to_one() {
                assert!((sum - expected).abs() < 1e-6, "{config:?}: {weights:?}");
            } else {
                assert!(sum < expected + 1e-6, "{config:?}: {weights:?}");
            }
            assert!(weights.iter().all(|&w| w >= 0.0), "{config:?}: {weights:?}");
            assert!(weights[length..].iter().all(|&w| w == 0.0), "{config:?}");
        }
        assert!(values(out.context).iter().all(|x| x.is_finite()));
    });
}

#[test]
fn the_context_is_the_weighted_sum_of_the_memory() {
    each(|config, device| {
        let (attention, source, query) = setup(config, device);
        let out = attention.forward(query, &attention.prepare(&source));
        assert!(
            close(out.context, out.weights.matmul(source.memory)),
            "{config:?}"
        );
    });
}

#[test]
fn neither_padding_nor_other_rows_matter() {
    each(|config, device| {
        let (attention, source, query) = setup(config, device);
        let batch = attention.forward(query.clone(), &attention.prepare(&source));
        for (row, length) in LENGTHS.into_iter().enumerate().filter(|(_, l)| *l > 0) {
            let alone = EncoderOutput {
                memory: source.memory.clone().narrow(0, row, 1).narrow(1, 0, length),
                src_pad_mask: src_pad_mask(&[length], length, device),
                final_states: Vec::new(),
            };
            let query = query.clone().narrow(0, row, 1);
            let out = attention.forward(query, &attention.prepare(&alone));
            let context = batch.context.clone().narrow(0, row, 1);
            assert!(close(out.context, context), "{config:?} row {row}");
        }
    });
}

#[test]
fn step_by_step_equals_the_whole_pass() {
    each(|config, device| {
        let (attention, source, query) = setup(config, device);
        let memory = attention.prepare(&source);
        let whole = attention.forward(query.clone(), &memory);
        let mut state = attention.initial_state(&source.src_pad_mask);
        for t in 0..STEPS {
            let step = attention.step(query.clone().narrow(1, t, 1), &memory, state);
            let weights = whole.weights.clone().narrow(1, t, 1);
            assert!(close(step.output.weights, weights), "{config:?} step {t}");
            let context = whole.context.clone().narrow(1, t, 1);
            assert!(close(step.output.context, context), "{config:?} step {t}");
            state = step.state;
        }
    });
}

/// Two rows a source, exchanged after the first step, end as the rows would have alone.
#[test]
fn the_rows_of_a_beam_have_states_of_their_own() {
    each(|config, device| {
        let (attention, source, query) = setup(config, device);
        let memory = attention.prepare(&source);
        let at = |t: usize| query.clone().narrow(1, t, 1);
        let start = || attention.initial_state(&source.src_pad_mask);
        let after = |t: usize| attention.step(at(t), &memory, start()).state;

        let beam = start().select(&[0, 0, 1, 1, 2, 2, 3, 3]);
        let both = Tensor::cat(vec![at(0), at(1)], 1);
        let state = attention.step(both, &memory, beam).state;
        let state = state.select(&[1, 0, 3, 2, 5, 4, 7, 6]);
        let both = Tensor::cat(vec![at(2), at(2)], 1);
        let output = attention.step(both, &memory, state).output;
        for (slot, first) in [(0, 1), (1, 0)] {
            let alone = attention.step(at(2), &memory, after(first)).output;
            let found = output.weights.clone().narrow(1, slot, 1);
            assert!(close(found, alone.weights), "{config:?}");
            let found = output.context.clone().narrow(1, slot, 1);
            assert!(close(found, alone.context), "{config:?}");
        }
    });
}

/// A source that comes a step later, of another length, is read from its start, and the one that was there goes on.
#[test]
fn joined_sources_are_each_at_their_own_step() {
    each(|config, device| {
        let (attention, source, query) = setup(config, device);
        let whole = attention.forward(query.clone(), &attention.prepare(&source));
        let at = |row: usize, t: usize| query.clone().narrow(0, row, 1).narrow(1, t, 1);
        let start = |row: usize, src_len: usize| {
            let one = EncoderOutput {
                memory: source
                    .memory
                    .clone()
                    .narrow(0, row, 1)
                    .narrow(1, 0, src_len),
                src_pad_mask: src_pad_mask(&LENGTHS[row..=row], src_len, device),
                final_states: Vec::new(),
            };
            let state = attention.initial_state(&one.src_pad_mask);
            (attention.prepare(&one), state)
        };
        // The longer or the shorter one is there first; what is padding of both is cut off.
        for (first, src_len) in [(0, 5), (3, 2)] {
            let (memory, state) = start(first, 5);
            let state = attention.step(at(first, 0), &memory, state).state;
            let (more, its_state) = start(1, 2);
            let memory = memory.join(more, src_len);
            let mut state = state.join(its_state, src_len);
            for t in 0..2 {
                let both = Tensor::cat(vec![at(first, t + 1), at(1, t)], 0);
                let step = attention.step(both, &memory, state);
                for (slot, (row, t)) in [(first, t + 1), (1, t)].into_iter().enumerate() {
                    let of = |whole: &Tensor<3>| whole.clone().narrow(0, row, 1).narrow(1, t, 1);
                    let found = step.output.weights.clone().narrow(0, slot, 1);
                    let expected = of(&whole.weights).narrow(2, 0, src_len);
                    assert!(close(found, expected), "{config:?} {row} step {t}");
                    let found = step.output.context.clone().narrow(0, slot, 1);
                    assert!(
                        close(found, of(&whole.context)),
                        "{config:?} {row} step {t}"
                    );
                }
                state = step.state;
            }
        }
    });
}

#[test]
fn selected_sources_give_the_selected_rows() {
    each(|config, device| {
        let (attention, source, query) = setup(config, device);
        let order = Tensor::from_data([3, 0], device);
        let whole = attention.forward(query.clone(), &attention.prepare(&source));
        let some = attention.forward(
            query.select(0, order.clone()),
            &attention.prepare(&source).select(order.clone()),
        );
        assert!(
            close(some.context, whole.context.select(0, order)),
            "{config:?}"
        );
    });
}

#[test]
fn an_intervention_reads_with_other_weights() {
    each(|config, device| {
        let (attention, source, query) = setup(config, device);
        let plain = attention.prepare(&source);
        let with = |intervention| AttentionMemory {
            intervention: Some(intervention),
            ..plain.clone()
        };
        let mut state = attention.initial_state(&source.src_pad_mask);
        for t in 0..STEPS {
            let query = query.clone().narrow(1, t, 1);
            let step =
                |memory: &AttentionMemory| attention.step(query.clone(), memory, state.clone());
            let found = step(&plain);
            let weights = found.output.weights.clone();
            // Those that it has anyway change nothing.
            let same = step(&with(Intervention::Given(weights.clone())));
            assert!(close(same.output.weights, weights.clone()), "{config:?}");
            assert!(
                close(same.output.context, found.output.context),
                "{config:?}"
            );

            // Equal weights read the mean of the real states.
            let uniform = step(&with(Intervention::Uniform));
            let lengths = LENGTHS.map(|length| (length as f32).max(1.0));
            let lengths = Tensor::<1>::from_data(lengths, device).reshape([4, 1, 1]);
            let real = source.src_pad_mask.clone().bool_not().float();
            let real = source.memory.clone() * real.unsqueeze_dim(2);
            let mean = real.sum_dim(1) / lengths;
            assert!(close(uniform.output.context, mean), "{config:?}");
            let coverage = uniform.state.coverage.map(values);
            let remembered = state
                .coverage
                .clone()
                .map(|before| values(before + uniform.output.weights.clone().squeeze_dim(1)));
            assert_eq!(coverage, remembered, "{config:?}");

            // The first two exchanged, of those that have two; of the last, padding would come in.
            let order = Tensor::<2, Int>::from_data([[1i64, 0, 2, 3, 4]; 4], device);
            let found = values(step(&with(Intervention::Permuted(order))).output.weights);
            for (row, (found, weights)) in
                found.chunks(5).zip(values(weights).chunks(5)).enumerate()
            {
                assert!(found[LENGTHS[row]..].iter().all(|&weight| weight == 0.0));
                if LENGTHS[row] >= 2 {
                    assert!((found[0] - weights[1]).abs() < 1e-6, "{config:?}");
                    assert!((found[1] - weights[0]).abs() < 1e-6, "{config:?}");
                }
            }
            state = step(&plain).state;
        }
    });
}

/// What a window leaves out is as if it were padding.
#[test]
fn a_window_is_a_mask() {
    each(|config, device| {
        if config.window == (WindowConfig::None {}) || !config.window.sums_to_one() {
            return;
        }
        let (attention, source, query) = setup(config, device);
        let memory = attention.prepare(&source);
        let mut state = attention.initial_state(&source.src_pad_mask);
        for t in 0..STEPS {
            let query = query.clone().narrow(1, t, 1);
            let slots = attention.window.as_ref().unwrap().slots(&WindowInput {
                query: &query,
                steps: &[t; LENGTHS.len()],
                ends: memory.ends.as_ref().unwrap(),
                src_len: 5,
            });
            let none = Tensor::<3>::zeros([4, 1, 5], device);
            let seen = slots.mask.bool_not().float();
            let seen = none.scatter(2, slots.indices, seen, IndexingUpdateOp::Add);
            let mask = source.src_pad_mask.clone();
            let masked = AttentionMemory {
                src_pad_mask: mask.bool_or(seen.squeeze_dim::<2>(1).equal_elem(0.0)),
                ..memory.clone()
            };
            let mut unbounded = attention.clone();
            unbounded.window = None;
            let expected = unbounded.step(query.clone(), &masked, state.clone());
            let found = attention.step(query, &memory, state);
            assert!(
                close(found.output.weights, expected.output.weights),
                "{config:?}"
            );
            state = found.state;
        }
    });
}

#[test]
fn gradients_equal_finite_differences() {
    for spec in [DeviceSpec::Flex, DeviceSpec::NdArray] {
        let tape = spec.init().unwrap().autodiff();
        for config in configs() {
            let (attention, source, query) = setup(&config, &tape);
            let mix = tensor([4, STEPS, D], &tape);
            let (memory, query) = (values(source.memory), values(query));
            let tracked = |data: &[f32], len: usize| {
                let data = TensorData::new(data.to_vec(), [4, len, D]);
                Tensor::<3>::from_data(data, &tape).require_grad()
            };
            let loss = |memory: Tensor<3>, query: Tensor<3>| {
                let source = EncoderOutput {
                    memory,
                    src_pad_mask: source.src_pad_mask.clone(),
                    final_states: Vec::new(),
                };
                let out = attention.forward(query, &attention.prepare(&source));
                (out.context * mix.clone()).sum()
            };
            let (m, q) = (tracked(&memory, 5), tracked(&query, STEPS));
            let grads = loss(m.clone(), q.clone()).backward();
            let d_memory = values(m.grad(&grads).unwrap());
            // A query that decides nothing but a threshold has none.
            let d_query = q.grad(&grads).map_or(vec![0.0; query.len()], values);

            let at = |memory: &[f32], query: &[f32]| {
                loss(tracked(memory, 5), tracked(query, STEPS)).into_scalar::<f32>()
            };
            let h = 3e-3;
            let moved = |numbers: &[f32], i: usize, by: f32| {
                let mut numbers = numbers.to_vec();
                numbers[i] += by;
                numbers
            };
            for i in (0..memory.len()).step_by(7) {
                let (up, down) = (moved(&memory, i, h), moved(&memory, i, -h));
                let slope = (at(&up, &query) - at(&down, &query)) / (2.0 * h);
                let found = d_memory[i];
                assert!(
                    (slope - found).abs() < 5e-3,
                    "{config:?} memory {i}: {slope} {found}"
                );
            }
            for i in (0..query.len()).step_by(5) {
                let (up, down) = (moved(&query, i, h), moved(&query, i, -h));
                let slope = (at(&memory, &up) - at(&memory, &down)) / (2.0 * h);
                let found = d_query[i];
                assert!(
                    (slope - found).abs() < 5e-3,
                    "{config:?} query {i}: {slope} {found}"
                );
            }
        }
    }
}

#[test]
fn monotonic_attention_looks_at_one_state_and_never_back() {
    let device = DeviceSpec::Flex.init().unwrap();
    let config = AttentionConfig {
        normaliser: NormaliserConfig::Monotonic(Default::default()),
        scorer: ScorerConfig::Dot(Default::default()),
        ..Default::default()
    };
    let (attention, source, query) = setup(&config, &device);
    let weights = values(
        attention
            .forward(query * 3.0, &attention.prepare(&source))
            .weights,
    );
    let mut stops = 0;
    for row in weights.chunks(5 * STEPS) {
        let mut head = Some(0);
        for weights in row.chunks(5) {
            assert!(
                weights.iter().all(|w| [0.0, 1.0].contains(w)),
                "{weights:?}"
            );
            let stop = weights.iter().position(|w| *w == 1.0);
            assert!(stop.is_none() || stop >= head, "{row:?}");
            assert!(head.is_some() || stop.is_none(), "it has left the source");
            stops += usize::from(stop.is_some());
            head = stop;
        }
    }
    assert!(stops > 0, "no head stopped anywhere");
}

#[test]
fn the_coverage_loss_counts_what_is_seen_twice() {
    let device = DeviceSpec::Flex.init().unwrap();
    let config = AttentionConfig {
        coverage_loss: 0.5,
        ..Default::default()
    };
    let weights = [[
        [0.5, 0.5, 0.0],
        [1.0, 0.0, 0.0],
        [0.25, 0.0, 0.75],
        [0.0, 0.25, 0.75],
    ]];
    let weights = Tensor::from_data(weights, &device);
    let loss = |config: &AttentionConfig| config.init(D, D, &device).auxiliary_loss(&weights);
    assert_eq!(values(loss(&config).unwrap()), [0.0, 0.25, 0.125, 0.5]);
    assert!(loss(&AttentionConfig::default()).is_none());
}

#[test]
fn what_does_not_fit_is_refused_by_its_key() {
    let refused = |config: AttentionConfig, d_query: usize| {
        let error = config.validate(d_query, D).unwrap_err();
        error.to_string()
    };
    for scorer in [
        ScorerConfig::Dot(Default::default()),
        ScorerConfig::ScaledDot(Default::default()),
        ScorerConfig::Cosine(Default::default()),
    ] {
        let config = AttentionConfig {
            scorer: scorer.clone(),
            ..Default::default()
        };
        let reason = refused(config, 3);
        assert!(reason.contains('3') && reason.contains('4'), "{reason}");
        let config = AttentionConfig {
            history: HistoryConfig::Coverage(Default::default()),
            scorer,
            ..Default::default()
        };
        assert!(refused(config, D).starts_with("history.kind: "));
    }
    let monotonic = AttentionConfig {
        normaliser: NormaliserConfig::Monotonic(Default::default()),
        window: WindowConfig::LocalM(Default::default()),
        ..Default::default()
    };
    assert!(refused(monotonic, D).starts_with("window.kind: "));
    for (toml, key) in [
        (
            "normaliser = { kind = 'softmax', temperature = 0.0 }",
            "normaliser.temperature: ",
        ),
        (
            "normaliser = { kind = 'monotonic', noise = -1.0 }",
            "normaliser.noise: ",
        ),
        (
            "normaliser = { kind = 'mocha', chunk = 0 }",
            "normaliser.chunk: ",
        ),
        (
            "normaliser = { kind = 'mocha', scorer = { kind = 'concat', d_attn = 0 } }",
            "normaliser.scorer.d_attn: ",
        ),
        (
            "window = { kind = 'local_m', radius = 0 }",
            "window.radius: ",
        ),
        (
            "window = { kind = 'chunked', ratio = -1.0 }",
            "window.ratio: ",
        ),
        (
            "window = { kind = 'local_p', d_attn = 0 }",
            "window.d_attn: ",
        ),
        (
            "history = { kind = 'location_sensitive', width = 4 }",
            "history.width: ",
        ),
        (
            "scorer = { kind = 'cosine', temperature = 0.0 }",
            "scorer.temperature: ",
        ),
        (
            "scorer = { kind = 'location', max_src_len = 0 }",
            "scorer.max_src_len: ",
        ),
        ("coverage_loss = -1.0", "coverage_loss: "),
    ] {
        let reason = refused(toml::from_str(toml).unwrap(), D);
        assert!(reason.starts_with(key), "{toml}: {reason}");
    }
    for toml in [
        "window = { kind = 'none', radius = 3 }",
        "normaliser = { kind = 'sparsemax', temperature = 1.0 }",
        "history = { kind = 'coverag' }",
    ] {
        assert!(toml::from_str::<AttentionConfig>(toml).is_err(), "{toml}");
    }
}
