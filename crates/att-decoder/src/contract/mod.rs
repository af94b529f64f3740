//! What every decoder must hold: a new arm of [`DecoderConfig`] joins by [`DecoderConfig::all`].

mod beams;
mod causality;
mod configs;
mod copies;
mod interventions;
mod passes;

use att_core::{DeviceSpec, EncoderOutput, MemorySpec, RecurrentState, mask, random};
use att_layers::EmbeddingConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::*;
use configs::{attention, configs, copying};

const VOCAB: usize = 9;
const LENGTHS: [usize; 3] = [5, 2, 3];
const SPEC: MemorySpec = MemorySpec {
    d_memory: 6,
    n_final_states: 2,
    d_final: 6,
    final_cells: true,
};

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
