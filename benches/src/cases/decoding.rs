//! One cached step of each kind of decoder: what search repeats.

use att_core::mask::src_pad_mask;
use att_core::{EncoderOutput, MemorySpec, RecurrentState};
use att_decoder::{Decoder, DecoderConfig};
use att_layers::EmbeddingConfig;
use burn::tensor::{Device, Int, Tensor};

use super::name;
use crate::{Case, Variant, lengths, tensor};

/// sources, beam, src_len, d: one beam, and a batch without.
const SHAPES: [[usize; 4]; 2] = [[1, 5, 25, 512], [64, 1, 25, 512]];
const VOCAB: usize = 8000;

pub(super) fn cases() -> Vec<Case> {
    let of_kind = |config: DecoderConfig| {
        let kind = name(&config);
        SHAPES.map(|shape| {
            let config = config.clone();
            Case::new(format!("decoder_step/{kind}"), &shape, move |device| {
                step(&config, shape, device)
            })
        })
    };
    DecoderConfig::all().into_iter().flat_map(of_kind).collect()
}

fn step(
    config: &DecoderConfig,
    [batch, beam, src_len, d]: [usize; 4],
    device: &Device,
) -> Vec<Variant> {
    let spec = MemorySpec {
        d_memory: d,
        n_final_states: 1,
        d_final: d,
        final_cells: true,
    };
    let embedding = EmbeddingConfig::default().init(VOCAB, device);
    let decoder = config.init(embedding, false, &spec, device);
    let source = EncoderOutput {
        memory: tensor([batch, src_len, d], device),
        src_pad_mask: src_pad_mask(&lengths(batch, src_len), src_len, device),
        final_states: vec![RecurrentState {
            hidden: tensor([batch, d], device),
            cell: Some(tensor([batch, d], device)),
        }],
    };
    let memory = decoder.prepare(&source);
    let rows: Vec<usize> = (0..batch * beam).map(|row| row / beam).collect();
    let state = decoder.initial_state(&source).select(&rows, device);
    let tokens = Tensor::<1, Int>::from_data(&vec![7i32; batch * beam][..], device);
    vec![Variant::forward_only(
        "module",
        &(tokens, state),
        move |(tokens, state)| decoder.step(tokens, &memory, state).logits,
    )]
}
