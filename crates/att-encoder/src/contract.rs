//! What every encoder must hold: a new arm of [`EncoderConfig`] joins by [`EncoderConfig::all`].

use att_attention::TransformerConfig;
use att_core::{DeviceSpec, mask, random};
use att_layers::{ActivationKind, CellKind, LearnedPositionsConfig, NormPlace, PositionsConfig};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use crate::*;

/// Small variants of every kind.
fn configs() -> Vec<EncoderConfig> {
    let all = EncoderConfig::all().into_iter();
    all.flat_map(|config| match config {
        EncoderConfig::Recurrent(config) => recurrent(&config),
        EncoderConfig::Pyramidal(config) => pyramidal(&config),
        EncoderConfig::Convolutional(config) => convolutional(&config),
        EncoderConfig::Transformer(config) => transformer(&config),
    })
    .collect()
}

fn transformer(config: &TransformerConfig) -> Vec<EncoderConfig> {
    let variants = PositionsConfig::all().into_iter().zip([
        (NormPlace::Post, ActivationKind::Relu, None),
        (NormPlace::Pre, ActivationKind::Gelu, Some(1)),
        (NormPlace::Pre, ActivationKind::Swiglu, Some(2)),
    ]);
    variants
        .map(|(positions, (norm, activation, n_kv_heads))| {
            EncoderConfig::Transformer(TransformerConfig {
                d_model: 8,
                layers: 2,
                n_heads: 2,
                n_kv_heads,
                d_ff: 10,
                activation,
                norm,
                positions,
                dropout: 0.0,
                ..config.clone()
            })
        })
        .collect()
}

fn recurrent(config: &RecurrentEncoderConfig) -> Vec<EncoderConfig> {
    let mut configs = Vec::new();
    for cell in [CellKind::Lstm, CellKind::Gru] {
        for bidirectional in [false, true] {
            for (layers, residual, layer_norm) in [(1, false, false), (3, true, true)] {
                configs.push(EncoderConfig::Recurrent(RecurrentEncoderConfig {
                    cell,
                    d_hidden: 4,
                    layers,
                    bidirectional,
                    residual,
                    layer_norm,
                    ..config.clone()
                }));
            }
        }
    }
    // Wu et al. 2016.
    for join in [JoinKind::Concat, JoinKind::Sum] {
        configs.push(EncoderConfig::Recurrent(RecurrentEncoderConfig {
            d_hidden: 4,
            layers: 3,
            bidirectional_layers: 1,
            join,
            residual: true,
            residual_from: 2,
            ..config.clone()
        }));
    }
    configs
}

fn pyramidal(config: &PyramidalEncoderConfig) -> Vec<EncoderConfig> {
    let cells = [CellKind::Lstm, CellKind::Gru].into_iter();
    cells
        .flat_map(|cell| [1, 2, 3].map(|layers| (cell, layers)))
        .map(|(cell, layers)| {
            EncoderConfig::Pyramidal(PyramidalEncoderConfig {
                cell,
                d_hidden: 4,
                layers,
                ..config.clone()
            })
        })
        .collect()
}

fn convolutional(config: &ConvolutionalEncoderConfig) -> Vec<EncoderConfig> {
    let sizes = [(1, 3, 64), (2, 1, 64), (3, 5, 4)].into_iter();
    sizes
        .map(|(layers, width, max_len)| {
            EncoderConfig::Convolutional(ConvolutionalEncoderConfig {
                d_hidden: 4,
                layers,
                width,
                positions: LearnedPositionsConfig { max_len },
                ..config.clone()
            })
        })
        .collect()
}

fn tensor(shape: [usize; 3], device: &Device) -> Tensor<3> {
    let data = random::normal(shape.iter().product(), 1.0);
    Tensor::from_data(TensorData::new(data, shape), device)
}

fn close<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> bool {
    a.all_close(b, Some(1e-5), Some(1e-6))
}

fn each(test: impl Fn(&EncoderConfig, &Device)) {
    for spec in [DeviceSpec::Flex, DeviceSpec::NdArray] {
        let device = spec.init().unwrap();
        for config in configs() {
            random::seed(5);
            test(&config, &device);
        }
    }
}

#[test]
fn real_states_do_not_depend_on_padding_or_on_other_rows() {
    each(|config, device| {
        let encoder = config.init(3, device);
        let input = tensor([3, 9, 3], device);
        let lengths = [9, 2, 1];
        let n_states = |len: usize| len.div_ceil(encoder.tokens_per_state());
        let batch = encoder.forward(input.clone(), &lengths);
        let unmasked = mask::lengths(batch.src_pad_mask.clone());
        assert_eq!(unmasked, lengths.map(n_states), "{config:?}");
        for (row, len) in lengths.into_iter().enumerate() {
            let alone = input.clone().narrow(0, row, 1).narrow(1, 0, len);
            let alone = encoder.forward(alone, &[len]);
            let memory = batch.memory.clone().narrow(0, row, 1);
            let (real, all) = (n_states(len), n_states(9));
            assert!(
                close(alone.memory, memory.clone().narrow(1, 0, real)),
                "{config:?}"
            );
            if real < all {
                let padding = memory.narrow(1, real, all - real).abs().max();
                assert_eq!(padding.into_scalar::<f32>(), 0.0, "{config:?}");
            }
            for (alone, batch) in alone.final_states.iter().zip(&batch.final_states) {
                let batch = batch.clone().select(Tensor::from_data([row], device));
                assert!(close(alone.hidden.clone(), batch.hidden), "{config:?}");
                if let (Some(alone), Some(batch)) = (&alone.cell, batch.cell) {
                    assert!(close(alone.clone(), batch), "{config:?}");
                }
            }
        }
    });
}

#[test]
fn the_sizes_are_those_promised() {
    each(|config, device| {
        let spec = config.memory_spec();
        let encoder = config.init(3, device);
        let output = encoder.forward(tensor([2, 4, 3], device), &[4, 3]);
        let n_states = 4_usize.div_ceil(encoder.tokens_per_state());
        assert_eq!(output.memory.dims(), [2, n_states, spec.d_memory]);
        assert_eq!(output.final_states.len(), spec.n_final_states);
        for state in output.final_states {
            assert_eq!(state.hidden.dims(), [2, spec.d_final]);
            assert_eq!(state.cell.is_some(), spec.final_cells);
        }
    });
}

#[test]
fn gradients_reach_every_weight_and_no_padding() {
    struct Check<'a>(&'a Gradients, &'a EncoderConfig);
    impl ModuleVisitor for Check<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0);
            let gradient = gradient.unwrap_or_else(|| panic!("{:?}", self.1));
            let size = gradient.abs().max().into_scalar::<f32>();
            assert!(size > 0.0 && size.is_finite(), "{:?}: {size}", self.1);
        }
    }
    each(|config, device| {
        let device = device.clone().autodiff();
        let encoder = config.init(3, &device);
        let input = tensor([2, 9, 3], &device).require_grad();
        let output = encoder.forward(input.clone(), &[9, 2]);
        let mix = tensor(output.memory.dims(), &device);
        let grads = (output.memory * mix).sum().backward();
        let d_input = input.grad(&grads).unwrap();
        let padding = d_input.clone().narrow(0, 1, 1).narrow(1, 2, 7);
        assert_eq!(padding.abs().max().into_scalar::<f32>(), 0.0, "{config:?}");
        assert!(d_input.abs().max().into_scalar::<f32>() > 0.0);
        encoder.visit(&mut Check(&grads, config));
    });
}

#[test]
fn defaults_are_valid() {
    for config in EncoderConfig::all() {
        assert!(config.validate().is_ok(), "{config:?}");
    }
}
