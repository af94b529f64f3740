use att_core::{Error as CoreError, random};
use att_data::{Example, Pair, Tokenizer};
use att_decoder::DecoderConfig;
use att_encoder::EncoderConfig;
use att_layers::EmbeddingConfig;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Seq2Seq};

/// The greatest number of weights: training takes sixteen bytes for each, so beyond it lies a
/// typing error.
pub const MAX_WEIGHTS: u64 = 1_000_000_000;

/// Configuration of a [`Seq2Seq`], all but the sizes of its vocabularies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Whether source and target share one table; they must share one vocabulary (Press and Wolf
    /// 2017, three-way with `tie_output`). False unless told.
    pub tie_embeddings: bool,
    /// Whether the output layer is the table of target tokens. False unless told.
    pub tie_output: bool,
    /// The table of source tokens; not read where `tie_embeddings`.
    pub src_embedding: EmbeddingConfig,
    /// The table of target tokens.
    pub tgt_embedding: EmbeddingConfig,
    /// The encoder.
    pub encoder: EncoderConfig,
    /// The decoder.
    pub decoder: DecoderConfig,
}

impl ModelConfig {
    /// Reads and validates a configuration.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has an unknown or ill-typed key, or settings do not fit.
    pub fn from_toml(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| Error::Toml {
            place: "model configuration".into(),
            message: error.to_string(),
        })?;
        config.validate()?;
        Ok(config)
    }

    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit each other; the error names the key.
    pub fn validate(&self) -> att_core::Result<()> {
        let within = |table: &'static str| move |error: CoreError| error.within(table);
        self.src_embedding
            .validate()
            .map_err(within("src_embedding"))?;
        self.tgt_embedding
            .validate()
            .map_err(within("tgt_embedding"))?;
        self.encoder.validate().map_err(within("encoder"))?;
        if self.decoder.copies() && self.encoder.tokens_per_state() > 1 {
            let reason = "a state of this encoder stands for several tokens, so no single one could be \
                          copied: use another encoder, or copy = false";
            return Err(CoreError::config("decoder.copy", reason));
        }
        self.decoder
            .validate(
                self.tgt_embedding.d_embed,
                self.tie_output,
                &self.encoder.memory_spec(),
            )
            .map_err(within("decoder"))
    }

    /// What only shows once the vocabularies are known.
    ///
    /// # Errors
    ///
    /// If tied tables differ in size, or the model would have more than [`MAX_WEIGHTS`] weights.
    pub fn validate_vocabularies(
        &self,
        src_vocab: usize,
        tgt_vocab: usize,
    ) -> att_core::Result<()> {
        if self.tie_embeddings && src_vocab != tgt_vocab {
            let reason = format!(
                "source and target need one vocabulary, but have {src_vocab} and {tgt_vocab} \
                 tokens: set shared = true in [tokenizer], or tie_embeddings = false"
            );
            return Err(CoreError::config("tie_embeddings", reason));
        }
        let weights = self.least_weights(src_vocab, tgt_vocab);
        if weights > MAX_WEIGHTS {
            let reason = format!(
                "these sizes make a model of more than {weights} weights, and the limit is \
                 {MAX_WEIGHTS}: lower d_hidden, d_model, layers or d_embed"
            );
            return Err(CoreError::config("model", reason));
        }
        Ok(())
    }

    /// A pair of texts as this model reads it.
    pub fn example(&self, pair: &Pair, src: &Tokenizer, tgt: &Tokenizer) -> Example {
        if self.decoder.copies() {
            pair.encode_copying(src, tgt)
        } else {
            pair.encode(src, tgt)
        }
    }

    /// A lower bound on the number of weights: tables and the greatest products.
    fn least_weights(&self, src_vocab: usize, tgt_vocab: usize) -> u64 {
        let table = |vocab: usize, d_embed: usize| vocab as u64 * d_embed as u64;
        let src_table = if self.tie_embeddings {
            0
        } else {
            table(src_vocab, self.src_embedding.d_embed)
        };
        src_table
            + table(tgt_vocab, self.tgt_embedding.d_embed)
            + self.encoder.least_weights()
            + self.decoder.least_weights()
    }

    /// A model with fresh weights from [`att_core::random`]: after `random::seed`, the same on
    /// every backend.
    ///
    /// # Errors
    ///
    /// If [`validate`](Self::validate) refuses, or tied tables differ in size.
    pub fn init(&self, src_vocab: usize, tgt_vocab: usize, device: &Device) -> Result<Seq2Seq> {
        self.validate()?;
        self.validate_vocabularies(src_vocab, tgt_vocab)?;
        let (src_embedding, d_src) = if self.tie_embeddings {
            (None, self.tgt_embedding.d_embed)
        } else {
            let embedding = self.src_embedding.init(src_vocab, device);
            (Some(embedding), self.src_embedding.d_embed)
        };
        let encoder = self.encoder.init(d_src, device);
        let tgt_embedding = self.tgt_embedding.init(tgt_vocab, device);
        let spec = self.encoder.memory_spec();
        let decoder = self
            .decoder
            .init(tgt_embedding, self.tie_output, &spec, device);
        Ok(Seq2Seq {
            src_embedding,
            encoder,
            decoder,
        })
    }

    /// A model with fresh weights and this seed; the thread's generator starts anew from it.
    ///
    /// # Errors
    ///
    /// As [`init`](Self::init).
    pub fn init_seeded(
        &self,
        src_vocab: usize,
        tgt_vocab: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Seq2Seq> {
        random::seed(seed);
        self.init(src_vocab, tgt_vocab, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, expected: &str) {
        let message = ModelConfig::from_toml(text).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn defaults_are_valid_and_survive_toml() {
        let config = ModelConfig::default();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(ModelConfig::from_toml(&text).unwrap(), config);
        assert_eq!(ModelConfig::from_toml("").unwrap(), config);
    }

    #[test]
    fn each_kind_survives_toml() {
        use att_decoder::{BahdanauConfig, BridgeConfig, DecoderConfig};
        use att_encoder::EncoderConfig;
        let mixed = DecoderConfig::Bahdanau(BahdanauConfig {
            bridge: BridgeConfig::Mean,
            ..Default::default()
        });
        for encoder in EncoderConfig::all() {
            for decoder in DecoderConfig::all().into_iter().chain([mixed.clone()]) {
                let config = ModelConfig {
                    encoder: encoder.clone(),
                    decoder,
                    ..Default::default()
                };
                let text = toml::to_string(&config).unwrap();
                let read: ModelConfig = toml::from_str(&text).unwrap();
                assert_eq!(read, config, "{text}");
            }
        }
    }

    #[test]
    fn unknown_keys_are_named_wherever_they_stand() {
        refused("tie_embedings = true", "tie_embedings");
        refused("[encoder]\nkind = 'recurrent'\nhidden = 5", "hidden");
        refused(
            "[decoder]\nkind = 'luong'\n[decoder.recurrent]\ndhidden = 5",
            "dhidden",
        );
        refused(
            "[decoder]\nkind = 'luong'\nattention = { scorer = { kind = 'dot', d_attn = 1 } }",
            "d_attn",
        );
        refused("[decoder]\nkind = 'bahdanaw'", "bahdanaw");
        refused("[encoder]\nkind = 'transformer'\nheads = 5", "heads");
        refused("[decoder]\nkind = 'transformer'\nheads = 5", "heads");
        refused(
            "[decoder]\nkind = 'transformer'\nalignment = { heads = 5 }",
            "heads",
        );
    }

    #[test]
    fn settings_that_do_not_fit_are_named_with_their_table() {
        refused(
            "[encoder]\nkind = 'recurrent'\nd_hidden = 0",
            "encoder.d_hidden: 0",
        );
        refused(
            "[encoder]\nkind = 'recurrent'\nd_hidden = 10000000",
            "encoder.d_hidden",
        );
        refused(
            "[decoder]\nkind = 'luong'\nrecurrent = { d_hidden = 100 }\nattention = { scorer = { kind = 'dot' } }",
            "decoder.attention.scorer.kind: ",
        );
        refused("tie_output = true", "decoder.d_attentional");
        refused("encoder = { kind = 'transformer' }", "decoder.bridge");
        refused(
            "decoder = { kind = 'transformer', d_model = 30 }",
            "decoder.n_heads",
        );
        refused(
            "tie_output = true\ndecoder = { kind = 'transformer', d_model = 64 }",
            "decoder.d_model",
        );
        refused(
            "decoder = { kind = 'transformer', alignment = { layer = 4 } }",
            "decoder.alignment.layer",
        );
    }

    #[test]
    fn what_cannot_copy_is_refused() {
        let pyramid = "encoder = { kind = 'pyramidal' }\ndecoder = { kind = 'luong', copy = true }";
        refused(pyramid, "decoder.copy: a state of this encoder");
        refused(
            "decoder = { kind = 'luong', copy = true, attention = { normaliser = { kind = 'monotonic' } } }",
            "decoder.copy: what is copied needs weights that sum to 1",
        );
        refused("decoder = { kind = 'summary', copy = true }", "copy");
    }

    #[test]
    fn absurd_sizes_are_refused_before_memory_is_asked_for() {
        let text = "[encoder]\nkind = 'recurrent'\nd_hidden = 60000\nlayers = 60000";
        let config = ModelConfig::from_toml(text).unwrap();
        let message = config
            .init(10, 10, &Device::flex())
            .unwrap_err()
            .to_string();
        assert!(message.contains("limit"), "{message}");
    }

    #[test]
    fn tied_tables_need_one_vocabulary() {
        let config = ModelConfig {
            tie_embeddings: true,
            ..Default::default()
        };
        let error = config.init(10, 11, &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("tie_embeddings"), "{error}");
    }
}
