//! What every decoder must hold: a new arm of [`DecoderConfig`] joins by [`DecoderConfig::all`].

use att_attention::{
    AttentionConfig, HistoryConfig, Intervention, ScorerConfig, TransformerConfig,
};
use att_core::{
    DeviceSpec, EncoderOutput, MemorySpec, RecurrentState, host_vec, mask, ops, random,
};
use att_layers::{
    ActivationKind, CellKind, EmbeddingConfig, LearnedPositionsConfig, NormPlace, PositionsConfig,
};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::*;

const VOCAB: usize = 9;
const LENGTHS: [usize; 3] = [5, 2, 3];
const SPEC: MemorySpec = MemorySpec {
    d_memory: 6,
    n_final_states: 2,
    d_final: 6,
    final_cells: true,
};

/// Small variants of every kind.
fn configs() -> Vec<DecoderConfig> {
    let mut configs = Vec::new();
    for cell in [CellKind::Lstm, CellKind::Gru] {
        // With one layer and input feeding the whole pass is one operation, with every scorer.
        for scorer in ScorerConfig::all() {
            configs.push(DecoderConfig::Luong(LuongConfig {
                recurrent: RecurrentStackConfig {
                    cell,
                    d_hidden: 6,
                    dropout: 0.0,
                    ..Default::default()
                },
                attention: AttentionConfig {
                    scorer,
                    ..Default::default()
                },
                input_feeding: true,
                dropout: 0.0,
                ..Default::default()
            }));
        }
        use AttentionLayer::{First, Last};
        for (bridge, combine, flag, layers, attention_layer) in [
            (BridgeConfig::Final, CombineKind::Concat, false, 1, Last),
            (BridgeConfig::Final, CombineKind::Concat, false, 2, Last),
            (BridgeConfig::Mean, CombineKind::Add, true, 2, Last),
            (BridgeConfig::Zeros, CombineKind::Concat, true, 2, Last),
            (BridgeConfig::Mean, CombineKind::Concat, false, 1, First),
            (BridgeConfig::Final, CombineKind::Concat, false, 3, First),
            (BridgeConfig::Zeros, CombineKind::Add, true, 2, First),
        ] {
            for config in DecoderConfig::all() {
                let stack = RecurrentStackConfig {
                    cell,
                    d_hidden: 6,
                    layers,
                    dropout: 0.0,
                    variational_dropout: false,
                    residual: flag,
                    residual_from: 1,
                };
                configs.push(match config {
                    DecoderConfig::Bahdanau(config) => DecoderConfig::Bahdanau(BahdanauConfig {
                        recurrent: stack,
                        attention_layer,
                        bridge,
                        combine,
                        dropout: 0.0,
                        ..config
                    }),
                    DecoderConfig::Luong(config) => DecoderConfig::Luong(LuongConfig {
                        recurrent: stack,
                        attention_layer,
                        bridge,
                        combine,
                        input_feeding: flag,
                        dropout: 0.0,
                        ..config
                    }),
                    DecoderConfig::ConditionalGru(config) => {
                        DecoderConfig::ConditionalGru(ConditionalGruConfig {
                            d_hidden: 6,
                            bridge,
                            dropout: 0.0,
                            ..config
                        })
                    }
                    DecoderConfig::Convolutional(config) => {
                        DecoderConfig::Convolutional(ConvolutionalDecoderConfig {
                            d_hidden: 6,
                            layers,
                            width: if flag { 2 } else { 3 },
                            positions: LearnedPositionsConfig { max_len: 3 },
                            dropout: 0.0,
                            ..config
                        })
                    }
                    DecoderConfig::Summary(config) => DecoderConfig::Summary(SummaryConfig {
                        recurrent: stack,
                        bridge,
                        feed_summary: flag,
                        dropout: 0.0,
                        ..config
                    }),
                    // Has none of these settings; its own follow below.
                    DecoderConfig::Transformer(_) => continue,
                });
            }
        }
    }
    configs.extend(attentions().into_iter().flat_map(with_attention));
    configs.extend(transformers());
    configs.extend(copying());
    configs
}

/// Every kind that can copy, doing so.
fn copying() -> Vec<DecoderConfig> {
    let coverage = toml::from_str("history = { kind = 'coverage' }").unwrap();
    let mut configs = with_attention(AttentionConfig::default());
    configs.extend(with_attention(coverage));
    configs.extend(transformers());
    for config in &mut configs {
        *match config {
            DecoderConfig::Bahdanau(config) => &mut config.copy,
            DecoderConfig::Luong(config) => &mut config.copy,
            DecoderConfig::ConditionalGru(config) => &mut config.copy,
            DecoderConfig::Convolutional(config) => &mut config.copy,
            DecoderConfig::Transformer(config) => &mut config.copy,
            DecoderConfig::Summary(_) => unreachable!("it has nothing to copy by"),
        } = true;
    }
    configs
}

/// What may be copied of [`source`]; of a decoder that copies. Two tokens are not in the vocabulary, of
/// which the first stands twice in the first source.
fn copy_ids(decoder: &AnyDecoder, device: &Device) -> Option<CopyIds> {
    let ids = [[4, 9, 10, 9, 3], [9, 3, 0, 0, 0], [5, 4, 3, 0, 0]];
    decoder.head().output.copy.as_ref().map(|_| CopyIds {
        ids: Tensor::from_data(ids, device),
        n_extra: 2,
    })
}

fn prepare(decoder: &AnyDecoder, source: &EncoderOutput) -> DecoderMemory {
    let ids = copy_ids(decoder, &source.memory.device());
    Copying { decoder, ids }.prepare(source)
}

/// Every kind that has a table `attention`, where it attends step by step and where all at once.
fn with_attention(attention: AttentionConfig) -> Vec<DecoderConfig> {
    let recurrent = |layers| RecurrentStackConfig {
        d_hidden: 6,
        layers,
        dropout: 0.0,
        ..Default::default()
    };
    let luong = |input_feeding, layers, attention_layer| {
        DecoderConfig::Luong(LuongConfig {
            recurrent: recurrent(layers),
            attention: attention.clone(),
            attention_layer,
            input_feeding,
            dropout: 0.0,
            ..Default::default()
        })
    };
    vec![
        luong(false, 1, AttentionLayer::Last),
        luong(true, 1, AttentionLayer::Last),
        luong(false, 2, AttentionLayer::First),
        DecoderConfig::Bahdanau(BahdanauConfig {
            recurrent: recurrent(1),
            attention: attention.clone(),
            dropout: 0.0,
            ..Default::default()
        }),
        DecoderConfig::ConditionalGru(ConditionalGruConfig {
            d_hidden: 6,
            attention: attention.clone(),
            dropout: 0.0,
            ..Default::default()
        }),
        DecoderConfig::Convolutional(ConvolutionalDecoderConfig {
            d_hidden: 6,
            layers: 2,
            attention,
            dropout: 0.0,
            ..Default::default()
        }),
    ]
}

/// Each normaliser, window and history at least once, some of them together.
fn attentions() -> Vec<AttentionConfig> {
    let texts = [
        "normaliser = { kind = 'softmax', temperature = 0.5 }",
        "scorer = { kind = 'dot' }\nnormaliser = { kind = 'sparsemax' }",
        "scorer = { kind = 'concat' }\nnormaliser = { kind = 'entmax15' }",
        "scorer = { kind = 'general' }\nwindow = { kind = 'local_m', radius = 1 }",
        "scorer = { kind = 'bilinear' }\nwindow = { kind = 'local_p', radius = 2 }",
        "normaliser = { kind = 'sparsemax' }\nwindow = { kind = 'chunked', size = 2 }",
        "scorer = { kind = 'location' }\nwindow = { kind = 'local_m', radius = 1, ratio = 1.5 }",
        "history = { kind = 'coverage' }\ncoverage_loss = 1.0",
        "history = { kind = 'location_sensitive', width = 3 }\nwindow = { kind = 'local_m', radius = 2 }",
        "normaliser = { kind = 'monotonic', offset = 0.2 }",
        "normaliser = { kind = 'mocha', chunk = 2, offset = 0.2 }\nhistory = { kind = 'coverage' }",
    ];
    let read = |text: &str| toml::from_str(text).expect(text);
    texts.map(read).into()
}

/// Of a decoder that has such a table.
fn attention(config: &DecoderConfig) -> Option<&AttentionConfig> {
    match config {
        DecoderConfig::Bahdanau(config) => Some(&config.attention),
        DecoderConfig::Luong(config) => Some(&config.attention),
        DecoderConfig::ConditionalGru(config) => Some(&config.attention),
        DecoderConfig::Convolutional(config) => Some(&config.attention),
        DecoderConfig::Summary(_) | DecoderConfig::Transformer(_) => None,
    }
}

fn transformers() -> impl Iterator<Item = DecoderConfig> {
    let variants = PositionsConfig::all().into_iter().zip([
        (NormPlace::Post, ActivationKind::Relu, None, None),
        (NormPlace::Pre, ActivationKind::Gelu, Some(1), Some(0)),
        (NormPlace::Pre, ActivationKind::Swiglu, Some(2), None),
    ]);
    variants.map(|(positions, (norm, activation, n_kv_heads, head))| {
        DecoderConfig::Transformer(TransformerDecoderConfig {
            layers: TransformerConfig {
                d_model: 8,
                layers: 2,
                n_heads: 2,
                n_kv_heads,
                d_ff: 10,
                activation,
                norm,
                positions,
                dropout: 0.0,
                ..Default::default()
            },
            alignment: AlignmentConfig { layer: head, head },
            copy: false,
        })
    })
}

fn tensor<const N: usize>(shape: [usize; N], device: &Device) -> Tensor<N> {
    let data = random::normal(shape.iter().product(), 1.0);
    Tensor::from_data(TensorData::new(data, shape), device)
}

fn decoder(config: &DecoderConfig, tie: bool, device: &Device) -> AnyDecoder {
    random::seed(31);
    let d_features = match config {
        DecoderConfig::Transformer(config) => config.layers.d_model,
        _ => 512,
    };
    let embedding = EmbeddingConfig {
        // As large as the memory: a convolutional decoder's queries are of this size.
        d_embed: if tie { d_features } else { 6 },
        dropout: 0.0,
        ..Default::default()
    };
    config.init(embedding.init(VOCAB, device), tie, &SPEC, device)
}

fn source(device: &Device) -> EncoderOutput {
    random::seed(32);
    let src_pad_mask = mask::src_pad_mask(&LENGTHS, 5, device);
    let padding = src_pad_mask.clone().unsqueeze_dim::<3>(2).expand([3, 5, 6]);
    EncoderOutput {
        memory: tensor([3, 5, 6], device).mask_fill(padding, 0.0),
        src_pad_mask,
        final_states: (0..2)
            .map(|_| RecurrentState {
                hidden: tensor([3, 6], device),
                cell: Some(tensor([3, 6], device)),
            })
            .collect(),
    }
}

fn target(device: &Device) -> Tensor<2, Int> {
    Tensor::from_data([[2, 4, 5, 8], [2, 7, 4, 4], [2, 1, 6, 5]], device)
}

/// At all positions of a target of the whole [`source`].
fn features(decoder: &AnyDecoder, output: &DecoderOutput) -> Features {
    let ids = copy_ids(decoder, &output.features.device());
    all_features(output, ids.as_ref())
}

fn all_features(output: &DecoderOutput, copy_ids: Option<&CopyIds>) -> Features {
    let [batch, tgt_len, _] = output.features.dims();
    let positions: Vec<usize> = (0..batch * tgt_len).collect();
    output.at(&positions, copy_ids)
}

fn all_logits(decoder: &AnyDecoder, output: &DecoderOutput) -> Tensor<3> {
    let [batch, tgt_len, _] = output.features.dims();
    let logits = finite(decoder.logits(features(decoder, output)));
    let width = logits.dims()[1];
    logits.reshape([batch, tgt_len, width])
}

/// With a number for the tokens that cannot be: two infinities are not close.
fn finite(logits: Tensor<2>) -> Tensor<2> {
    logits.clamp_min(-1e3)
}

fn close<const N: usize>(a: Tensor<N>, b: Tensor<N>) -> bool {
    a.all_close(b, Some(1e-5), Some(1e-5))
}

fn each(test: impl Fn(&DecoderConfig, bool, &Device)) {
    for spec in [DeviceSpec::Flex, DeviceSpec::NdArray] {
        let device = spec.init().unwrap();
        for config in configs() {
            test(&config, false, &device);
        }
        for config in DecoderConfig::all() {
            test(&config, true, &device);
        }
    }
}

#[test]
fn cached_steps_equal_the_whole_pass() {
    each(|config, tie, device| {
        let (decoder, source, tgt) = (decoder(config, tie, device), source(device), target(device));
        let whole = decoder.forward(tgt.clone(), &[4; 3], &source);
        let logits = all_logits(&decoder, &whole);
        let memory = prepare(&decoder, &source);
        let mut state = decoder.initial_state(&source);
        for t in 0..4 {
            let tokens = tgt.clone().narrow(1, t, 1).squeeze_dim(1);
            let step = decoder.step(tokens, &memory, state);
            let expected = logits.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
            assert!(close(finite(step.logits), expected), "{config:?} step {t}");
            assert_eq!(step.weights.is_some(), whole.weights.is_some());
            if let (Some(step), Some(whole)) = (step.weights, &whole.weights) {
                let expected = whole.clone().narrow(1, t, 1).squeeze_dim::<2>(1);
                assert!(close(step, expected), "{config:?} step {t}");
            }
            assert_eq!(step.head_weights.len(), whole.head_weights.len());
            let has_heads = !step.head_weights.is_empty();
            assert_eq!(has_heads, config.has_head_weights(), "{config:?}");
            for (step, whole) in step.head_weights.into_iter().zip(&whole.head_weights) {
                let expected = whole.clone().narrow(2, t, 1).squeeze_dim::<3>(2);
                assert!(close(step, expected), "{config:?} step {t}");
            }
            state = step.state;
        }
    });
}

#[test]
fn the_cross_entropy_is_that_of_the_logits() {
    each(|config, tie, device| {
        let decoder = decoder(config, tie, device);
        let output = decoder.forward(target(device), &[4; 3], &source(device));
        let features = features(&decoder, &output);
        let mut gold = [4, 5, 8, 3, 7, 4, 4, 3, 1, 6, 5, 3];
        let copies = config.copies();
        if copies {
            (gold[1], gold[2], gold[5]) = (9, 10, 9);
        }
        // Who copies smooths the vocabulary alone.
        let smoothing = if copies { 0.0 } else { 0.1 };
        let expected = ops::cross_entropy(decoder.logits(features.clone()), &gold, smoothing);
        let found = decoder.cross_entropy(features, &gold, smoothing);
        assert!(close(found.loss, expected.loss), "{config:?}");
        assert!(close(found.nll, expected.nll), "{config:?}");
    });
}

#[test]
fn attention_is_exact() {
    each(|config, tie, device| {
        let output = decoder(config, tie, device).forward(target(device), &[4; 3], &source(device));
        assert_eq!(output.weights.is_some(), config.has_attention());
        let Some(weights) = output.weights else {
            return;
        };
        assert_eq!(weights.dims(), [3, 4, 5]);
        let weights: Vec<f32> = weights.into_data().iter().collect();
        for (row, weights) in weights.chunks(5).enumerate() {
            let length = LENGTHS[row / 4];
            let sum: f32 = weights.iter().sum();
            if attention(config).is_none_or(AttentionConfig::sums_to_one) {
                assert!((sum - 1.0).abs() < 1e-6, "{config:?}");
            } else {
                assert!(sum < 1.0 + 1e-6, "{config:?}");
            }
            assert!(weights[length..].iter().all(|&w| w == 0.0), "{config:?}");
        }
    });
}

#[test]
fn a_row_is_what_it_is_alone() {
    each(|config, tie, device| {
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let batch = all_logits(&decoder, &decoder.forward(target(device), &[4; 3], &source));
        for (row, len) in LENGTHS.into_iter().enumerate() {
            let index = || Tensor::<1, Int>::from_data([row as i64], device);
            let alone = EncoderOutput {
                memory: source.memory.clone().narrow(0, row, 1).narrow(1, 0, len),
                src_pad_mask: mask::src_pad_mask(&[len], len, device),
                final_states: source
                    .final_states
                    .iter()
                    .map(|state| state.clone().select(index()))
                    .collect(),
            };
            let tgt = target(device).narrow(0, row, 1);
            let output = decoder.forward(tgt, &[4], &alone);
            let ids = copy_ids(&decoder, device).map(|ids| CopyIds {
                ids: ids.ids.narrow(0, row, 1).narrow(1, 0, len),
                ..ids
            });
            let logits = finite(decoder.logits(all_features(&output, ids.as_ref())));
            let expected = batch.clone().narrow(0, row, 1).squeeze_dim(0);
            assert!(close(logits, expected), "{config:?} row {row}");
        }
    });
}

#[test]
fn short_targets_change_nothing_but_their_padding() {
    each(|config, tie, device| {
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let whole = decoder.forward(target(device), &[4; 3], &source).features;
        let lengths = [2, 4, 1];
        let ragged = decoder.forward(target(device), &lengths, &source).features;
        for (row, len) in lengths.into_iter().enumerate() {
            let real = |features: &Tensor<3>| features.clone().narrow(0, row, 1).narrow(1, 0, len);
            assert!(close(real(&whole), real(&ragged)), "{config:?} row {row}");
        }
    });
}

#[test]
fn the_rows_of_a_beam_share_their_source() {
    each(|config, tie, device| {
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let memory = prepare(&decoder, &source);
        let start = || decoder.initial_state(&source);
        let beam = start().select(&[0, 0, 1, 1, 2, 2], device);
        let tokens = Tensor::from_data([4, 5, 6, 7, 8, 4], device);
        let both = decoder.step(tokens, &memory, beam).logits;
        for (slot, tokens) in [[4, 6, 8], [5, 7, 4]].into_iter().enumerate() {
            let one = decoder.step(Tensor::from_data(tokens, device), &memory, start());
            let rows = [slot, slot + 2, slot + 4].map(|row| row as i64);
            let expected = both.clone().select(0, Tensor::from_data(rows, device));
            assert!(close(finite(one.logits), finite(expected)), "{config:?}");
        }
    });
}

#[test]
fn allowed_tokens_have_the_scores_that_they_have_among_all() {
    let allowed = [vec![8, 3, 4], vec![3], vec![5, 3, 4]];
    each(|config, tie, device| {
        // What copies has no shortlist.
        if config.copies() {
            return;
        }
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let whole = decoder.prepare(&source);
        let memory = whole.clone().with_allowed(&decoder, &allowed);
        let state = || {
            let start = decoder.initial_state(&source);
            start.select(&[0, 0, 1, 1, 2, 2], device)
        };
        let tokens = || Tensor::from_data([4, 5, 6, 7, 8, 4], device);
        let all = decoder.step(tokens(), &whole, state()).logits;
        let found = decoder.step(tokens(), &memory, state()).logits;
        let ids: [i64; 4] = [3, 4, 5, 8];
        let columns = memory.columns.as_ref().unwrap().ids();
        assert!(columns.iter().copied().map(i64::from).eq(ids));
        let mut expected = host_vec(all.select(1, Tensor::from_data(ids, device)));
        for (row, scores) in expected.chunks_mut(4).enumerate() {
            for (score, id) in scores.iter_mut().zip(ids) {
                if !allowed[row / 2].contains(&(id as u32)) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        let same = |(a, b): (&f32, &f32)| a == b || (a - b).abs() < 1e-5;
        assert!(
            host_vec(found.clone()).iter().zip(&expected).all(same),
            "{config:?}"
        );

        let memory = memory.select(&[2, 0], device);
        let state = decoder.initial_state(&source).select(&[2, 2, 0, 0], device);
        let tokens = Tensor::from_data([8, 4, 4, 5], device);
        let left = decoder.step(tokens, &memory, state).logits;
        let rows = Tensor::from_data([4, 5, 0, 1], device);
        let expected = host_vec(found.select(0, rows));
        assert!(host_vec(left).iter().zip(&expected).all(same), "{config:?}");
    });
}

#[test]
fn no_step_sees_a_later_target() {
    each(|config, tie, device| {
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let before = decoder.forward(target(device), &[4; 3], &source).features;
        let changed = Tensor::from_data([[2, 4, 5, 1], [2, 7, 4, 8], [2, 1, 6, 4]], device);
        let after = decoder.forward(changed, &[4; 3], &source).features;
        let past = |features: Tensor<3>| features.narrow(1, 0, 3);
        assert!(
            close(past(before.clone()), past(after.clone())),
            "{config:?}"
        );
        assert!(!close(before, after), "the change itself is seen");
    });
}

/// How many tokens, up to its own, an output depends on.
fn sight(config: &DecoderConfig) -> usize {
    match config {
        DecoderConfig::Convolutional(config) if !is_stateful(&config.attention) => {
            config.layers * (config.width - 1) + 1
        }
        _ => usize::MAX,
    }
}

fn is_stateful(attention: &AttentionConfig) -> bool {
    attention.normaliser.is_monotonic() || attention.history != HistoryConfig::None {}
}

#[test]
fn no_gradient_reaches_a_later_target() {
    // Each step has a token of its own, so that the table's gradient tells the steps apart.
    const TOKENS: [i64; 5] = [2, 4, 5, 8, 1];
    for spec in [DeviceSpec::Flex, DeviceSpec::NdArray] {
        let device = spec.init().unwrap().autodiff();
        for config in configs() {
            let decoder = decoder(&config, false, &device);
            for t in 0..5 {
                let tgt = Tensor::<2, Int>::from_data([TOKENS; 3], &device);
                let output = decoder.forward(tgt, &[5; 3], &source(&device));
                let some = |of: &Tensor<3>| {
                    let of = of.clone().narrow(1, t, 1);
                    (of.clone() * tensor(of.dims(), &device)).sum()
                };
                let mut outputs = some(&output.features);
                if let Some(weights) = &output.weights {
                    outputs = outputs + some(weights);
                }
                let grads = outputs.backward();
                let table = decoder.embedding().weight.val().grad(&grads).unwrap();
                for (step, token) in TOKENS.into_iter().enumerate() {
                    let row = table.clone().narrow(0, token as usize, 1);
                    let size = row.abs().max().into_scalar::<f32>();
                    let seen = step <= t && t - step < sight(&config);
                    assert_eq!(size > 0.0, seen, "{config:?}: {size} at {step} of {t}");
                }
            }
        }
    }
}

#[test]
fn every_weight_gets_a_gradient() {
    use burn::module::{Module, ModuleVisitor, Param};
    struct Check<'a>(&'a burn::tensor::Gradients, Vec<String>);
    impl ModuleVisitor for Check<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.1.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.1.pop();
        }
        fn visit_float<const N: usize>(&mut self, param: &Param<Tensor<N>>) {
            let gradient = param.val().grad(self.0);
            let gradient = gradient.unwrap_or_else(|| panic!("{:?} has no gradient", self.1));
            let size = gradient.abs().max().into_scalar::<f32>();
            // The scorer's query bias and key of a softmax over one score may be zero; none here.
            assert!(size > 0.0 && size.is_finite(), "{:?}: {size}", self.1);
        }
    }
    let device = Device::flex().autodiff();
    for config in configs() {
        let decoder = decoder(&config, false, &device);
        let output = decoder.forward(target(&device), &[4; 3], &source(&device));
        let logits = all_logits(&decoder, &output);
        let mix = tensor(logits.dims(), &device);
        let grads = (logits * mix).sum().backward();
        decoder.visit(&mut Check(&grads, vec![format!("{config:?}")]));
    }
}

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

/// Two rows a source, exchanged after the first step, go on as they would have alone.
#[test]
fn the_rows_of_a_beam_carry_their_states() {
    each(|config, tie, device| {
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let memory = prepare(&decoder, &source);
        let start = || decoder.initial_state(&source);
        let tokens = |of: &[i64]| Tensor::<1, Int>::from_data(of, device);
        let beam = start().select(&[0, 0, 1, 1, 2, 2], device);
        let state = decoder
            .step(tokens(&[4, 5, 6, 7, 8, 4]), &memory, beam)
            .state;
        let state = state.select(&[1, 0, 3, 2, 5, 4], device);
        let both = decoder.step(tokens(&[5, 5, 6, 6, 7, 7]), &memory, state);
        for (slot, first) in [[5, 7, 4], [4, 6, 8]].into_iter().enumerate() {
            let state = decoder.step(tokens(&first), &memory, start()).state;
            let one = decoder.step(tokens(&[5, 6, 7]), &memory, state);
            let rows = tokens(&[slot, slot + 2, slot + 4].map(|row| row as i64));
            let expected = both.logits.clone().select(0, rows);
            assert!(close(finite(one.logits), finite(expected)), "{config:?}");
        }
    });
}

/// In training: a step takes its masks from the state, which has one for all of them; a whole pass has those
/// that its first state would have.
#[test]
fn variational_dropout_has_one_mask_for_all_steps() {
    let device = Device::flex().autodiff();
    let recurrent = |layers, variational_dropout| RecurrentStackConfig {
        d_hidden: 6,
        layers,
        dropout: 0.5,
        variational_dropout,
        ..Default::default()
    };
    let luong = |layers, input_feeding, attention_layer, variational| {
        DecoderConfig::Luong(LuongConfig {
            recurrent: recurrent(layers, variational),
            input_feeding,
            attention_layer,
            dropout: 0.5,
            ..Default::default()
        })
    };
    let bahdanau = |variational| {
        DecoderConfig::Bahdanau(BahdanauConfig {
            recurrent: recurrent(2, variational),
            // That on the deep output does not enter the recurrence: its mask is not in the state.
            dropout: 0.0,
            ..Default::default()
        })
    };
    use AttentionLayer::{First, Last};
    let all = |variational| {
        [
            luong(1, true, Last, variational),
            luong(2, false, Last, variational),
            luong(3, true, First, variational),
            bahdanau(variational),
        ]
    };
    for (config, plain) in all(true).into_iter().zip(all(false)) {
        let (source, tgt) = (source(&device), target(&device));
        let whole = |config: &DecoderConfig| {
            let decoder = decoder(config, false, &device);
            random::seed(5);
            all_logits(&decoder, &decoder.forward(tgt.clone(), &[4; 3], &source))
        };
        let found = whole(&config);
        assert!(!close(found.clone(), whole(&plain)), "{config:?}");
        let decoder = decoder(&config, false, &device);
        let memory = prepare(&decoder, &source);
        random::seed(5);
        let mut state = decoder.initial_state(&source);
        for t in 0..4 {
            random::seed(t as u64); // nothing is drawn any more
            let tokens = tgt.clone().narrow(1, t, 1).squeeze_dim(1);
            let step = decoder.step(tokens, &memory, state);
            let expected = found.clone().narrow(1, t, 1).squeeze_dim(1);
            assert!(close(finite(step.logits), expected), "{config:?} {t}");
            state = step.state;
        }
    }
}

#[test]
fn a_coverage_loss_is_there_where_it_is_asked_for() {
    each(|config, tie, device| {
        let output = decoder(config, tie, device).forward(target(device), &[4; 3], &source(device));
        let asked = attention(config).is_some_and(|attention| attention.coverage_loss > 0.0);
        assert_eq!(output.auxiliary_loss.is_some(), asked, "{config:?}");
        if let Some(loss) = output.auxiliary_loss {
            assert_eq!(loss.dims(), [3, 4]);
            let loss: Vec<f32> = loss.into_data().iter().collect();
            assert!(loss.iter().all(|loss| (0.0..=1.0 + 1e-6).contains(loss)));
            assert!(
                loss[3] > 0.0 && loss[0] == 0.0,
                "nothing is seen before the first step"
            );
        }
    });
}

#[test]
fn a_copied_token_is_read_as_unknown() {
    let device = Device::flex();
    for config in copying() {
        let (decoder, source) = (decoder(&config, false, &device), source(&device));
        let forward = |tokens: [i64; 3]| {
            let tgt = Tensor::<2, Int>::from_data([[2, 4, 5]; 3], &device);
            let last = Tensor::<1, Int>::from_data(tokens, &device).unsqueeze_dim(1);
            let tgt = Tensor::cat(vec![tgt, last], 1);
            all_logits(&decoder, &decoder.forward(tgt, &[4; 3], &source))
        };
        let unknown = forward([1, 1, 1]);
        assert!(close(forward([9, 10, 9]), unknown.clone()), "{config:?}");
        assert!(!close(forward([8, 8, 8]), unknown), "{config:?}");

        let memory = prepare(&decoder, &source);
        let step = |tokens: [i64; 3]| {
            let tokens = Tensor::from_data(tokens, &device);
            let state = decoder.initial_state(&source);
            finite(decoder.step(tokens, &memory, state).logits)
        };
        assert!(close(step([9, 10, 9]), step([1, 1, 1])), "{config:?}");
    }
}

#[test]
fn sources_that_have_left_take_their_copies_along() {
    let device = Device::flex();
    for config in copying() {
        let (decoder, source) = (decoder(&config, false, &device), source(&device));
        let memory = prepare(&decoder, &source);
        let state = || decoder.initial_state(&source);
        let tokens = |of: &[i64]| Tensor::<1, Int>::from_data(of, &device);
        let all = decoder.step(tokens(&[4, 5, 6]), &memory, state()).logits;
        let kept = memory.select(&[2, 1], &device);
        let state = state().select(&[2, 1], &device);
        let step = decoder.step(tokens(&[6, 5]), &kept, state).logits;
        let expected = all.select(0, tokens(&[2, 1]));
        assert!(close(finite(step), finite(expected)), "{config:?}");
    }
}

#[test]
#[should_panic(expected = "needs to know what")]
fn what_is_copied_must_be_known() {
    let device = Device::flex();
    let (decoder, source) = (decoder(&copying()[0], false, &device), source(&device));
    let (memory, state) = (decoder.prepare(&source), decoder.initial_state(&source));
    decoder.step(Tensor::from_data([4, 5, 6], &device), &memory, state);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let stack = RecurrentStackConfig {
        d_hidden: 5,
        ..Default::default()
    };
    let copy = DecoderConfig::Luong(LuongConfig {
        recurrent: stack,
        bridge: BridgeConfig::Copy,
        ..Default::default()
    });
    let message = copy.validate(4, false, &SPEC).unwrap_err().to_string();
    assert!(message.starts_with("bridge: "), "{message}");
    for config in DecoderConfig::all() {
        assert!(config.validate(4, false, &SPEC).is_ok());
        let message = config.validate(4, true, &SPEC).unwrap_err().to_string();
        assert!(message.contains("tie_output"), "{message}");
    }
}
