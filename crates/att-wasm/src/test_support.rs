//! A small model with random weights.

use std::path::Path;

use att_data::TokenizerConfig;
use att_decoder::search::SearchConfig;
use att_model::{ModelConfig, ModelDirectory};
use burn::tensor::Device;

/// Writes a model from letters and spaces to letters, with a beam of four.
pub(crate) fn model(directory: &Path) {
    let letters = TokenizerConfig::char().train(["ab cd"]).unwrap();
    let model = ModelConfig::from_toml(
        "src_embedding = { d_embed = 4 }\ntgt_embedding = { d_embed = 4 }\n\
         encoder = { kind = 'recurrent', d_hidden = 3 }\n\
         decoder = { kind = 'luong', d_attentional = 5, recurrent = { d_hidden = 6 } }",
    )
    .unwrap();
    let search = SearchConfig {
        beam_size: 4,
        max_len: 6,
        ..Default::default()
    };
    let directory =
        ModelDirectory::create(directory, model, search, letters.clone(), letters).unwrap();
    let model = directory.init(3, &Device::flex()).unwrap();
    directory.save_weights(&model).unwrap();
}
