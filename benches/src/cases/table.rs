//! The table of token vectors.

use att_layers::{Embedding, EmbeddingConfig};
use burn::nn::EmbeddingConfig as BurnEmbeddingConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{Case, Variant};

/// batch, len, vocab, d_embed.
const SHAPES: [[usize; 4]; 2] = [[64, 25, 8000, 256], [64, 8, 43, 128]];

pub(super) fn cases() -> Vec<Case> {
    let case =
        |shape: [usize; 4]| Case::new("embedding", &shape, move |device| variants(shape, device));
    SHAPES.map(case).into()
}

fn variants([batch, len, vocab, d_embed]: [usize; 4], device: &Device) -> Vec<Variant> {
    let config = EmbeddingConfig {
        d_embed,
        dropout: 0.0,
        ..Default::default()
    };
    let ours = |device: &Device| config.init(vocab, device);
    let burns = |device: &Device| BurnEmbeddingConfig::new(vocab, d_embed).init(device);
    let ids: Vec<i32> = (0..batch * len).map(|i| (i * 7 % vocab) as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [batch, len]), device);
    let of = move |device: &Device| ids.clone().to_device(device);
    let also_of = of.clone();
    vec![
        Variant::of_module("module", ours, device, &(), move |ours: &Embedding, ()| {
            ours.forward(of(&ours.weight.device()))
        }),
        Variant::of_module(
            "burn-nn",
            burns,
            device,
            &(),
            move |burns: &burn::nn::Embedding, ()| burns.forward(also_of(&burns.weight.device())),
        ),
    ]
}
