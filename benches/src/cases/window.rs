//! Windows over long sources: what a step of decoding and a pass of training cost as the source grows.

use att_attention::{AttentionConfig, ChunkedConfig, LocalMConfig, LocalPConfig, WindowConfig};
use att_core::EncoderOutput;
use att_core::mask::src_pad_mask;
use burn::tensor::{Device, Tensor};

use super::name;
use crate::{Case, Variant, tensor};

/// Source tokens.
const LENGTHS: [usize; 3] = [1024, 4096, 16384];
/// Of queries, keys and memory.
const D: usize = 256;
/// Sources of a step, and steps of a pass, whose queries are all known.
const BATCH: usize = 4;
const TGT_LEN: usize = 64;

pub(super) fn cases() -> Vec<Case> {
    let windows = WindowConfig::all().into_iter().map(|window| match window {
        WindowConfig::None {} => window,
        WindowConfig::LocalM(_) => WindowConfig::LocalM(LocalMConfig {
            radius: 32,
            ratio: LENGTHS[0] as f64 / TGT_LEN as f64,
        }),
        WindowConfig::LocalP(_) => WindowConfig::LocalP(LocalPConfig {
            radius: 32,
            d_attn: D,
        }),
        WindowConfig::Chunked(_) => WindowConfig::Chunked(ChunkedConfig {
            size: 64,
            ratio: LENGTHS[0] as f64 / TGT_LEN as f64,
        }),
    });
    let of_window = |window: WindowConfig| {
        LENGTHS.into_iter().flat_map(move |src_len| {
            let (for_step, for_pass) = (window.clone(), window.clone());
            let kind = name(&window);
            [
                Case::new(
                    format!("window_step/{kind}"),
                    &[BATCH, 1, src_len, D],
                    move |device| vec![step(&for_step, src_len, device)],
                ),
                Case::new(
                    format!("window_pass/{kind}"),
                    &[1, TGT_LEN, src_len, D],
                    move |device| vec![pass(&for_pass, src_len, device)],
                ),
            ]
        })
    };
    windows.flat_map(of_window).collect()
}

fn config(window: &WindowConfig) -> AttentionConfig {
    AttentionConfig {
        window: window.clone(),
        ..Default::default()
    }
}

fn source(memory: Tensor<3>) -> EncoderOutput {
    let [batch, src_len, _] = memory.dims();
    EncoderOutput {
        src_pad_mask: src_pad_mask(&vec![src_len; batch], src_len, &memory.device()),
        memory,
        final_states: Vec::new(),
    }
}

/// One step of a decoder, in the middle; the memory is prepared, as in search.
fn step(window: &WindowConfig, src_len: usize, device: &Device) -> Variant {
    let attention = config(window).init(D, D, device);
    let source = source(tensor([BATCH, src_len, D], device));
    let memory = attention.prepare(&source);
    let mut state = attention.initial_state(&source.src_pad_mask);
    state.steps.fill(TGT_LEN / 2);
    let query = tensor([BATCH, 1, D], device);
    Variant::forward_only("module", &query, move |query: Tensor<3>| {
        attention.step(query, &memory, state.clone()).output.context
    })
}

/// All steps of known queries, with the keys of the whole source, and the gradients.
fn pass(window: &WindowConfig, src_len: usize, device: &Device) -> Variant {
    let config = config(window);
    let init = move |device: &Device| config.init(D, D, device);
    let arguments = (
        tensor([1, TGT_LEN, D], device),
        tensor([1, src_len, D], device),
    );
    let run = |attention: &att_attention::Attention, (query, memory): (Tensor<3>, Tensor<3>)| {
        let prepared = attention.prepare(&source(memory));
        attention.forward(query, &prepared).context
    };
    Variant::of_module("module", init, device, &arguments, run)
}
