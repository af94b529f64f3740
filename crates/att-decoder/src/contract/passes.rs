//! Whole passes: what steps, rows alone and short targets give too, and its losses.

use att_attention::AttentionConfig;
use att_core::ops;

use super::*;

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
