//! Small models with random weights.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use att_data::TokenizerConfig;
use att_decoder::search::SearchConfig;
use att_model::{ModelConfig, ModelDirectory};
use burn::tensor::Device;
use tempfile::TempDir;

use crate::store::{Loaded, ModelStore};
use crate::{Loading, ModelSpec};

/// A model directory, from letters to letters, with random weights.
pub(crate) fn make_model(path: &Path, seed: u64) {
    make_model_with(
        path,
        seed,
        "kind = 'luong', d_attentional = 5",
        SearchConfig::default(),
    );
}

pub(crate) fn make_model_with(path: &Path, seed: u64, decoder: &str, search: SearchConfig) {
    let letters = TokenizerConfig::char().train(["abcd"]).unwrap();
    let model = ModelConfig::from_toml(&format!(
        "src_embedding = {{ d_embed = 4 }}\ntgt_embedding = {{ d_embed = 4 }}\n\
         encoder = {{ kind = 'recurrent', d_hidden = 3 }}\n\
         decoder = {{ {decoder}, recurrent = {{ d_hidden = 6 }} }}"
    ))
    .unwrap();
    let directory = ModelDirectory::create(path, model, search, letters.clone(), letters).unwrap();
    let model = directory.init(seed, &Device::flex()).unwrap();
    directory.save_weights(&model).unwrap();
}

pub(crate) fn copy_model(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in ModelDirectory::FILES {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

pub(crate) fn spec(name: &str, path: &Path) -> ModelSpec {
    ModelSpec {
        name: name.into(),
        paths: vec![path.into()],
        languages: None,
    }
}

pub(crate) fn loading() -> Loading {
    Loading {
        device: Device::flex(),
        weights: None,
    }
}

/// A model in memory, with the folder that it came from.
pub(crate) fn loaded() -> (TempDir, Arc<Loaded>) {
    let folder = tempfile::tempdir().unwrap();
    make_model(folder.path(), 1);
    let specs = vec![spec("letters", folder.path())];
    let store = ModelStore::open(specs, loading(), 8, None, Arc::default()).unwrap();
    let loaded = store.list().next().and_then(|model| model.loaded).unwrap();
    (folder, loaded)
}
