//! Small variants of every kind of decoder.

use att_attention::{AttentionConfig, ScorerConfig, TransformerConfig};
use att_layers::{ActivationKind, CellKind, LearnedPositionsConfig, NormPlace, PositionsConfig};

use super::*;

/// Small variants of every kind.
pub(super) fn configs() -> Vec<DecoderConfig> {
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
pub(super) fn copying() -> Vec<DecoderConfig> {
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
pub(super) fn attention(config: &DecoderConfig) -> Option<&AttentionConfig> {
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
