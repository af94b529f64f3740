//! Nothing of a later target reaches an output.

use att_attention::{AttentionConfig, HistoryConfig};

use super::*;

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
