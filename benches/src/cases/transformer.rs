//! What a Transformer's layers are made of: causal attention of several heads, and layer norm.

use att_core::mask::src_pad_mask;
use att_core::ops::layer_norm;
use att_core::ops::multi_head_read::{
    MultiHeadInputs, MultiHeadRead, multi_head_read, multi_head_read_reference,
};
use burn::tensor::{Device, Tensor, module};

use crate::{Case, Variant, lengths, tensor};

const N_HEADS: usize = 4;

/// batch, len, d: training on sentences, on longer texts, pronunciation.
const SHAPES: [[usize; 3]; 3] = [[64, 25, 256], [16, 100, 512], [64, 8, 128]];

pub(super) fn cases() -> Vec<Case> {
    let of_reads = SHAPES.map(|shape| {
        Case::new("multi_head_read", &shape, move |device| {
            reads(shape, device)
        })
        .marked("ragged")
    });
    let of_norms =
        SHAPES.map(|shape| Case::new("layer_norm", &shape, move |device| norms(shape, device)));
    of_reads.into_iter().chain(of_norms).collect()
}

fn reads(shape: [usize; 3], device: &Device) -> Vec<Variant> {
    let [batch, len, _] = shape;
    let mask = src_pad_mask(&lengths(batch, len), len, device);
    let of = |run: fn(MultiHeadInputs) -> MultiHeadRead| {
        let mask = mask.clone();
        move |(query, keys, values): (Tensor<3>, Tensor<3>, Tensor<3>)| {
            let inputs = MultiHeadInputs {
                query,
                keys,
                values,
                n_heads: N_HEADS,
                mask: Some(mask.clone()),
                causal: true,
                dropout: None,
            };
            run(inputs).context
        }
    };
    let arguments = (
        tensor(shape, device),
        tensor(shape, device),
        tensor(shape, device),
    );
    Variant::pair(
        &arguments,
        of(multi_head_read),
        of(multi_head_read_reference),
    )
}

fn norms(shape: [usize; 3], device: &Device) -> Vec<Variant> {
    let [_, _, d] = shape;
    let arguments = (
        tensor(shape, device),
        tensor([d], device),
        tensor([d], device),
    );
    type Inputs = (Tensor<3>, Tensor<1>, Tensor<1>);
    vec![
        Variant::of("fused", &arguments, |(x, gamma, beta): Inputs| {
            layer_norm(x, gamma, beta, 1e-5)
        }),
        Variant::of("burn-nn", &arguments, |(x, gamma, beta): Inputs| {
            module::layer_norm(x, gamma, Some(beta), 1e-5)
        }),
    ]
}
