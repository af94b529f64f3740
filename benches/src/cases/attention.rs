//! Attention over a padded batch of sources.

use att_attention::{Attention, AttentionConfig, ScorerConfig};
use att_core::EncoderOutput;
use att_core::mask::src_pad_mask;
use att_core::ops::additive_score::{additive_score, additive_score_reference};
use att_core::ops::attention_read::{attention_read, attention_read_reference};
use att_core::ops::dot_score::{dot_score, dot_score_reference};
use burn::tensor::{Bool, Device, Tensor};

use super::{READS, name};
use crate::{Case, Variant, lengths, tensor};

pub(super) fn cases() -> Vec<Case> {
    let reads = READS.into_iter().flat_map(|shape| {
        [
            Case::new("additive_score", &shape, move |device| {
                scores(shape, device)
            }),
            Case::new("additive_read", &shape, move |device| read(shape, device)),
            Case::new("dot_score", &shape, move |device| dots(shape, device)),
            Case::new("attention_read", &shape, move |device| {
                contexts(shape, device)
            }),
        ]
    });
    let modules = ScorerConfig::all().into_iter().flat_map(|scorer| {
        READS.into_iter().map(move |shape| {
            let scorer = scorer.clone();
            let op = format!("attention/{}", name(&scorer));
            Case::new(op, &shape, move |device| module(&scorer, shape, device))
        })
    });
    reads.chain(modules).collect()
}

fn mask([batch, _, src_len, _]: [usize; 4], device: &Device) -> Tensor<2, Bool> {
    src_pad_mask(&lengths(batch, src_len), src_len, device)
}

/// Queries, keys and v.
type Scores = (Tensor<3>, Tensor<3>, Tensor<1>);

fn score_arguments([batch, tgt_len, src_len, d]: [usize; 4], device: &Device) -> Scores {
    (
        tensor([batch, tgt_len, d], device),
        tensor([batch, src_len, d], device),
        tensor([d], device) * (1.0 / (d as f64).sqrt()),
    )
}

fn scores(shape: [usize; 4], device: &Device) -> Vec<Variant> {
    Variant::pair(
        &score_arguments(shape, device),
        |(q, k, v): Scores| additive_score(q, k, v),
        |(q, k, v): Scores| additive_score_reference(q, k, v),
    )
}

/// Scores, masked softmax and context; the projections done, and a memory of both directions of
/// an encoder: `2 d`.
fn read(shape: [usize; 4], device: &Device) -> Vec<Variant> {
    let [batch, _, src_len, d] = shape;
    let memory = tensor([batch, src_len, 2 * d], device);
    let arguments = (score_arguments(shape, device), memory);
    let mask = mask(shape, device);
    let also_mask = mask.clone();
    Variant::pair(
        &arguments,
        move |((query, keys, v), memory): (Scores, Tensor<3>)| {
            let mask = mask.clone().to_device(&memory.device());
            attention_read(additive_score(query, keys, v), memory, mask).context
        },
        move |((query, keys, v), memory): (Scores, Tensor<3>)| {
            let mask = also_mask.clone().to_device(&memory.device());
            attention_read_reference(additive_score_reference(query, keys, v), memory, mask).context
        },
    )
}

/// Scores of queries and keys.
fn dots([batch, tgt_len, src_len, d]: [usize; 4], device: &Device) -> Vec<Variant> {
    type Factors = (Tensor<3>, Tensor<3>);
    let arguments: Factors = (
        tensor([batch, tgt_len, d], device),
        tensor([batch, src_len, d], device),
    );
    Variant::pair(
        &arguments,
        |(query, keys): Factors| dot_score(query, keys, 1.0),
        |(query, keys): Factors| dot_score_reference(query, keys, 1.0),
    )
}

/// Masked softmax and context of known scores.
fn contexts(shape: [usize; 4], device: &Device) -> Vec<Variant> {
    type Factors = (Tensor<3>, Tensor<3>);
    let [batch, tgt_len, src_len, d] = shape;
    let arguments: Factors = (
        tensor([batch, tgt_len, src_len], device),
        tensor([batch, src_len, d], device),
    );
    let mask = mask(shape, device);
    let also_mask = mask.clone();
    Variant::pair(
        &arguments,
        move |(scores, values): Factors| {
            let mask = mask.clone().to_device(&values.device());
            attention_read(scores, values, mask).context
        },
        move |(scores, values): Factors| {
            let mask = also_mask.clone().to_device(&values.device());
            attention_read_reference(scores, values, mask).context
        },
    )
}

/// The module, which projects queries and memory.
fn module(
    scorer: &ScorerConfig,
    [batch, tgt_len, src_len, d]: [usize; 4],
    device: &Device,
) -> Vec<Variant> {
    let mut scorer = scorer.clone();
    match &mut scorer {
        ScorerConfig::Additive(additive) => additive.d_attn = d,
        ScorerConfig::Concat(concat) => concat.d_attn = d,
        _ => {}
    }
    let config = AttentionConfig {
        scorer,
        ..Default::default()
    };
    let init = |device: &Device| config.init(d, d, device);
    let arguments = (
        tensor([batch, tgt_len, d], device),
        tensor([batch, src_len, d], device),
    );
    let mask = mask([batch, tgt_len, src_len, d], device);
    let run = move |attention: &Attention, (query, memory): (Tensor<3>, Tensor<3>)| {
        let source = EncoderOutput {
            src_pad_mask: mask.clone().to_device(&memory.device()),
            memory,
            final_states: Vec::new(),
        };
        attention
            .forward(query, &attention.prepare(&source))
            .context
    };
    vec![Variant::of_module("module", init, device, &arguments, run)]
}
