use std::fs;
use std::path::{Path, PathBuf};

use att_core::ops::WeightFormat;
use att_data::{Tokenizer, write_atomic};
use att_decoder::search::SearchConfig;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::weights::Header;
use crate::{Error, ModelConfig, Result, Seq2Seq, weights};

/// The version of the directory's format that this crate writes and reads.
pub const FORMAT_VERSION: u32 = 1;

const CONFIG: &str = "config.toml";
const SRC_TOKENIZER: &str = "src.tokenizer.json";
pub(crate) const TGT_TOKENIZER: &str = "tgt.tokenizer.json";
const WEIGHTS: &str = "model.safetensors";

/// All that decoding needs, in one directory:
///
/// | file | what |
/// | --- | --- |
/// | `config.toml` | format version, the model's configuration, how to search unless told |
/// | `src.tokenizer.json`, `tgt.tokenizer.json` | the tokenisers with their vocabularies |
/// | `model.safetensors` | the weights, in f32, bf16 or eight bits |
///
/// Each file is written whole or not at all.
#[derive(Clone, Debug)]
pub struct ModelDirectory {
    path: PathBuf,
    /// The model's configuration.
    pub model: ModelConfig,
    /// How to search unless told.
    pub search: SearchConfig,
    /// Text to source tokens.
    pub src_tokenizer: Tokenizer,
    /// Target tokens to text.
    pub tgt_tokenizer: Tokenizer,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    format_version: u32,
    search: SearchConfig,
    model: ModelConfig,
}

impl ModelDirectory {
    /// The names of its files.
    pub const FILES: [&str; 4] = [CONFIG, SRC_TOKENIZER, TGT_TOKENIZER, WEIGHTS];

    /// Makes the directory and writes everything but the weights.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn create(
        path: impl Into<PathBuf>,
        model: ModelConfig,
        search: SearchConfig,
        src_tokenizer: Tokenizer,
        tgt_tokenizer: Tokenizer,
    ) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
        let config = ConfigFile {
            format_version: FORMAT_VERSION,
            search: search.clone(),
            model: model.clone(),
        };
        let config = toml::to_string(&config).expect("a configuration can be TOML");
        write_atomic(path.join(CONFIG), config.as_bytes())?;
        src_tokenizer.save(path.join(SRC_TOKENIZER))?;
        tgt_tokenizer.save(path.join(TGT_TOKENIZER))?;
        Ok(Self {
            path,
            model,
            search,
            src_tokenizer,
            tgt_tokenizer,
        })
    }

    /// Opens a directory without reading its weights.
    ///
    /// # Errors
    ///
    /// If a file is missing, damaged, or of another format version.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        for missing in Self::FILES {
            if !path.join(missing).is_file() {
                return Err(Error::NotAModel { path, missing });
            }
        }
        let config_path = path.join(CONFIG);
        let text = fs::read_to_string(&config_path).map_err(|source| Error::Read {
            path: config_path.clone(),
            source,
        })?;
        let toml_error = |error: toml::de::Error| Error::Toml {
            place: config_path.display().to_string(),
            message: error.to_string(),
        };
        // The version first: another one may have other keys.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let Version { format_version } = toml::from_str(&text).map_err(toml_error)?;
        if format_version != FORMAT_VERSION {
            return Err(Error::FormatVersion {
                path: config_path,
                found: format_version,
                expected: FORMAT_VERSION,
            });
        }
        let config: ConfigFile = toml::from_str(&text).map_err(toml_error)?;
        let refuse = |message: String| Error::Toml {
            place: config_path.display().to_string(),
            message,
        };
        let model = config.model.validate();
        model.map_err(|error| refuse(error.within("model").to_string()))?;
        let search = config.search.validate();
        search.map_err(|error| refuse(error.within("search").to_string()))?;
        let src_tokenizer = Tokenizer::load(path.join(SRC_TOKENIZER))?;
        let tgt_tokenizer = Tokenizer::load(path.join(TGT_TOKENIZER))?;
        if config.model.tie_embeddings && src_tokenizer != tgt_tokenizer {
            let reason = "model.tie_embeddings: the two tokenisers beside it differ";
            return Err(refuse(reason.into()));
        }
        Ok(Self {
            src_tokenizer,
            tgt_tokenizer,
            model: config.model,
            search: config.search,
            path,
        })
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A model with fresh weights and this seed, over the tokenisers' vocabularies.
    ///
    /// # Errors
    ///
    /// If the settings do not fit.
    pub fn init(&self, seed: u64, device: &Device) -> Result<Seq2Seq> {
        self.model.init_seeded(
            self.src_tokenizer.vocab_size(),
            self.tgt_tokenizer.vocab_size(),
            seed,
            device,
        )
    }

    /// Writes the weights.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; the old one is untouched then.
    pub fn save_weights(&self, model: &Seq2Seq) -> Result<()> {
        self.save_weights_as(model, WeightFormat::F32)
    }

    /// Writes the weights, the matrices in this format.
    ///
    /// # Errors
    ///
    /// As of [`save_weights`](Self::save_weights).
    pub fn save_weights_as(&self, model: &Seq2Seq, format: WeightFormat) -> Result<()> {
        let bytes = weights::to_bytes_as(model, format);
        Ok(write_atomic(self.path.join(WEIGHTS), &bytes)?)
    }

    /// What the matrices are stored in.
    ///
    /// # Errors
    ///
    /// If the file of weights cannot be read or is damaged.
    pub fn weight_format(&self) -> Result<WeightFormat> {
        Ok(Header::read(&self.path.join(WEIGHTS))?.format())
    }

    /// The size of the file of weights, in bytes.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn weights_len(&self) -> Result<u64> {
        let path = self.path.join(WEIGHTS);
        let found = fs::metadata(&path);
        Ok(found.map_err(|source| Error::Read { path, source })?.len())
    }

    /// About how many bytes a [`Translator`](crate::Translator) of it takes: its weights, as f32 and arranged for
    /// products in `format`, or else in the format that they are stored in. Reads no more of the file of weights than
    /// what it says of them before their numbers.
    ///
    /// # Errors
    ///
    /// As of [`weight_format`](Self::weight_format).
    pub fn loaded_size(&self, format: Option<WeightFormat>) -> Result<u64> {
        let header = Header::read(&self.path.join(WEIGHTS))?;
        Ok(header.loaded_size(format.unwrap_or_else(|| header.format())))
    }

    fn read_weights(&self) -> Result<Vec<u8>> {
        let path = self.path.join(WEIGHTS);
        fs::read(&path).map_err(|source| Error::Read { path, source })
    }

    /// The model with its weights.
    ///
    /// # Errors
    ///
    /// If the weights are missing, damaged, or another model's.
    pub fn load_weights(&self, device: &Device) -> Result<Seq2Seq> {
        Ok(self.load_weights_and_format(device)?.0)
    }

    /// The same, and what the matrices are stored in.
    pub(crate) fn load_weights_and_format(
        &self,
        device: &Device,
    ) -> Result<(Seq2Seq, WeightFormat)> {
        let bytes = self.read_weights()?;
        self.check_vocabularies(&bytes)?;
        let model = weights::from_bytes(self.init(0, device)?, &bytes);
        let model = model.map_err(|reason| Error::Weights {
            path: self.path.join(WEIGHTS),
            reason,
        })?;
        let header = Header::of(&bytes).expect("the model was read from it");
        Ok((model, header.format()))
    }

    /// A tokeniser that does not fit the tables gets an error of its own: it is easily swapped.
    fn check_vocabularies(&self, weights: &[u8]) -> Result<()> {
        let Ok(file) = safetensors::SafeTensors::deserialize(weights) else {
            return Ok(()); // reading the weights will say so
        };
        let rows = |part: &str| {
            let is_table =
                |name: &&str| name.starts_with(part) && name.ends_with("embedding.weight");
            let name = file.names().into_iter().find(is_table)?;
            file.tensor(name).ok()?.shape().first().copied()
        };
        let tokenizers = [
            ("target", TGT_TOKENIZER, &self.tgt_tokenizer, "decoder."),
            (
                "source",
                SRC_TOKENIZER,
                &self.src_tokenizer,
                "src_embedding",
            ),
        ];
        for (side, file, tokenizer, table) in tokenizers {
            let found = tokenizer.vocab_size();
            if let Some(expected) = rows(table).filter(|&expected| expected != found) {
                return Err(Error::Vocabulary {
                    path: self.path.join(file),
                    side,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_data::TokenizerConfig;

    fn tokenizer(text: &str) -> Tokenizer {
        TokenizerConfig::char().train([text]).unwrap()
    }

    fn create(path: &Path, seed: u64) -> ModelDirectory {
        let model = ModelConfig::from_toml(
            "src_embedding = { d_embed = 4 }\ntgt_embedding = { d_embed = 4 }\n\
             [encoder]\nkind = 'recurrent'\nd_hidden = 3\n\
             [decoder]\nkind = 'luong'\nd_attentional = 5\nrecurrent = { d_hidden = 6 }",
        )
        .unwrap();
        let directory = ModelDirectory::create(
            path,
            model,
            SearchConfig::default(),
            tokenizer("abc"),
            tokenizer("defg"),
        )
        .unwrap();
        let model = directory.init(seed, &Device::flex()).unwrap();
        directory.save_weights(&model).unwrap();
        directory
    }

    fn error(path: &Path) -> String {
        match ModelDirectory::open(path).and_then(|d| d.load_weights(&Device::flex())) {
            Ok(_) => panic!("{} loaded", path.display()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let saved = create(folder.path(), 5);
        let opened = ModelDirectory::open(folder.path()).unwrap();
        assert_eq!(opened.model, saved.model);
        assert_eq!(opened.src_tokenizer, saved.src_tokenizer);
        let device = Device::flex();
        let loaded = opened.load_weights(&device).unwrap();
        let same = weights::to_bytes(&saved.init(5, &device).unwrap());
        assert_eq!(weights::to_bytes(&loaded), same);
    }

    #[test]
    fn a_seed_gives_the_same_weights_and_another_other_ones() {
        let folder = tempfile::tempdir().unwrap();
        let directory = create(folder.path(), 5);
        let bytes = |seed| weights::to_bytes(&directory.init(seed, &Device::flex()).unwrap());
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn each_damage_gets_its_own_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        assert!(error(&path).contains("config.toml"));
        create(&path, 5);
        let other = folder.path().join("other");
        create(&other, 6);

        let file = |name: &str| path.join(name);
        let weights = fs::read(file(WEIGHTS)).unwrap();
        fs::write(file(WEIGHTS), &weights[..weights.len() / 2]).unwrap();
        assert!(error(&path).contains("model.safetensors"));
        fs::write(file(WEIGHTS), &weights).unwrap();

        tokenizer("abcdefgh").save(file(TGT_TOKENIZER)).unwrap();
        let message = error(&path);
        assert!(
            message.contains("tgt.tokenizer.json") && message.contains("12"),
            "{message}"
        );
        fs::copy(other.join(TGT_TOKENIZER), file(TGT_TOKENIZER)).unwrap();

        let config = fs::read_to_string(file(CONFIG)).unwrap();
        fs::write(
            file(CONFIG),
            config.replace("format_version = 1", "format_version = 99"),
        )
        .unwrap();
        assert!(error(&path).contains("99"));
        fs::write(
            file(CONFIG),
            config.replace("d_attentional", "d_atentional"),
        )
        .unwrap();
        let message = error(&path);
        assert!(
            message.contains("config.toml") && message.contains("d_atentional"),
            "{message}"
        );
        fs::write(file(CONFIG), config).unwrap();

        fs::remove_file(file(SRC_TOKENIZER)).unwrap();
        assert!(error(&path).contains("src.tokenizer.json"));
    }
}
