//! Small translators with random weights.

use std::path::Path;

use att_data::TokenizerConfig;
use att_decoder::search::SearchConfig;
use att_model::{ModelConfig, ModelDirectory, Translator};
use burn::tensor::Device;

pub(crate) const LUONG: &str = "kind = 'luong', d_attentional = 5, recurrent = { d_hidden = 6 }";
pub(crate) const SUMMARY: &str = "kind = 'summary', d_output = 5, recurrent = { d_hidden = 6 }";

/// From letters and spaces to letters, with a beam of four.
pub(crate) fn translator(folder: &Path, decoder: &str) -> Translator {
    let letters = TokenizerConfig::char().train(["ab cd"]).unwrap();
    let model = ModelConfig::from_toml(&format!(
        "src_embedding = {{ d_embed = 4 }}\ntgt_embedding = {{ d_embed = 4 }}\n\
         encoder = {{ kind = 'recurrent', d_hidden = 3 }}\n\
         decoder = {{ {decoder} }}"
    ))
    .unwrap();
    let search = SearchConfig {
        beam_size: 4,
        max_len: 6,
        ..Default::default()
    };
    let directory =
        ModelDirectory::create(folder, model, search, letters.clone(), letters).unwrap();
    let model = directory.init(3, &Device::flex()).unwrap();
    Translator::new(directory, model)
}
