use std::fs;
use std::path::Path;

use att_core::{Error as CoreError, Precision, check};
use att_data::{BatcherConfig, TokenizerConfig};
use att_decoder::search::{MAX_BEAM_SIZE, SearchConfig};
use att_eval::Metric;
use att_model::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::{Error, OptimizerConfig, Result, ScheduleConfig};

/// A whole experiment: everything but where the data lies. One TOML file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Of initial weights, dropout and the order of the data; 0 unless told.
    pub seed: u64,
    /// How text becomes tokens.
    pub tokenizer: TokenizersConfig,
    /// How examples become batches.
    pub batch: BatcherConfig,
    /// The model.
    pub model: ModelConfig,
    /// How it is trained.
    pub training: TrainingConfig,
    /// How it searches unless told; kept with the model.
    pub search: SearchConfig,
}

impl ExperimentConfig {
    /// Reads and validates an experiment.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has an unknown or ill-typed key, or settings do not fit.
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::parse(text, "experiment")
    }

    /// Reads and validates an experiment.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is not TOML, has an unknown or ill-typed key, or settings do
    /// not fit.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, place: &str) -> Result<Self> {
        let toml_error = |message: String| Error::Toml {
            place: place.into(),
            message,
        };
        let config: Self = toml::from_str(text).map_err(|error| toml_error(error.to_string()))?;
        config
            .validate()
            .map_err(|error| toml_error(error.to_string()))?;
        Ok(config)
    }

    /// # Errors
    ///
    /// If a value is out of its range, or sizes do not fit each other; the error names the key.
    pub fn validate(&self) -> Result<()> {
        let within = |table: &'static str| move |error: CoreError| error.within(table);
        if self.model.tie_embeddings && !self.tokenizer.shared {
            let reason = "source and target need one vocabulary: set tokenizer.shared = true";
            return Err(CoreError::config("model.tie_embeddings", reason).into());
        }
        let TokenizersConfig { src, tgt, .. } = &self.tokenizer;
        src.validate().map_err(Error::within("tokenizer.src"))?;
        tgt.validate().map_err(Error::within("tokenizer.tgt"))?;
        self.batch.validate().map_err(Error::within("batch"))?;
        self.model.validate().map_err(within("model"))?;
        self.training.validate().map_err(within("training"))?;
        self.search.validate().map_err(within("search"))?;
        if !self.model.decoder.has_attention() {
            let fits = self.search.validate_without_attention();
            fits.map_err(within("search"))?;
        }
        Ok(())
    }
}

/// How text becomes tokens, on either side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizersConfig {
    /// Whether both sides share one tokeniser, trained by the settings of `src` on both (those of `tgt` are not read); false
    /// unless told.
    pub shared: bool,
    /// Of the source; whitespace unless told.
    pub src: TokenizerConfig,
    /// Of the target; whitespace unless told.
    pub tgt: TokenizerConfig,
}

impl Default for TokenizersConfig {
    fn default() -> Self {
        Self {
            shared: false,
            src: TokenizerConfig::whitespace(),
            tgt: TokenizerConfig::whitespace(),
        }
    }
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// What makes steps of gradients.
    pub optimizer: OptimizerConfig,
    /// The learning rate over time.
    pub schedule: ScheduleConfig,
    /// What the factors of matrix products are rounded to on CPU: `"f32"`, as unless told, or
    /// `"bf16"`, which is much faster on processors with AMX. Weights, sums and gradients stay f32.
    pub precision: Precision,
    /// Share of the target probability spread over the vocabulary (Szegedy et al. 2016); 0.1
    /// unless told.
    pub label_smoothing: f64,
    /// The greatest norm of the gradient over all weights (Pascanu et al. 2013); 0 is no limit; 1
    /// unless told.
    pub clip_norm: f64,
    /// Passes over the data at most; 20 unless told.
    pub max_epochs: usize,
    /// Steps at most; 0, as unless told, is no limit.
    pub max_steps: usize,
    /// Minutes at most; 0, as unless told, is no limit. The run ends after the step that passes
    /// it, so a run under this limit is not repeatable to the byte.
    pub max_minutes: f64,
    /// Steps between validations; 0, as unless told, is once an epoch.
    pub valid_every: usize,
    /// How validation scores the model's output, by the name of a [`Metric`]: `"wer"`, `"per"`,
    /// `"exact_match"`, `"bleu"`, `"chrf"`, `"chrf++"`, `"ter"`, `"cer"`, `"rouge1"`, `"rouge2"` or
    /// `"rougeL"`; BLEU unless told.
    #[serde(with = "metric_name")]
    pub metric: Metric,
    /// The beam of validation; 1 (greedy) unless told.
    pub valid_beam_size: usize,
    /// Validations without a better score before the run ends early; 0, as unless told, is never.
    pub patience: usize,
    /// Steps between progress reports; 50 unless told.
    pub log_every: usize,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            precision: Precision::F32,
            label_smoothing: 0.1,
            clip_norm: 1.0,
            max_epochs: 20,
            max_steps: 0,
            max_minutes: 0.0,
            valid_every: 0,
            metric: Metric::Bleu,
            valid_beam_size: 1,
            patience: 0,
            log_every: 50,
        }
    }
}

impl TrainingConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> att_core::Result<()> {
        self.optimizer
            .validate()
            .map_err(|error| error.within("optimizer"))?;
        self.schedule
            .validate()
            .map_err(|error| error.within("schedule"))?;
        check::probability("label_smoothing", self.label_smoothing)?;
        check::size("max_epochs", self.max_epochs)?;
        if !(1..=MAX_BEAM_SIZE).contains(&self.valid_beam_size) {
            let reason = format!("{} is not from 1 to {MAX_BEAM_SIZE}", self.valid_beam_size);
            return Err(CoreError::config("valid_beam_size", reason));
        }
        check::size("log_every", self.log_every)?;
        for (key, value) in [
            ("clip_norm", self.clip_norm),
            ("max_minutes", self.max_minutes),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(CoreError::config(
                    key,
                    format!("{value} must be at least 0"),
                ));
            }
        }
        Ok(())
    }
}

/// A metric by its name.
mod metric_name {
    use super::Metric;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(metric: &Metric, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(metric)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Metric, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_toml() {
        let config = ExperimentConfig::default();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(ExperimentConfig::from_toml(&text).unwrap(), config);
    }

    #[test]
    fn errors_name_the_key() {
        let refused = |text: &str, expected: &str| {
            let message = ExperimentConfig::from_toml(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        refused("sed = 1", "sed");
        refused("[training]\nmetric = 'blue'", "bleu");
        refused(
            "[training]\nlabel_smoothing = 1.5",
            "training.label_smoothing",
        );
        refused(
            "[training]\nschedule = { kind = 'constant', rate = 1 }",
            "rate",
        );
        refused(
            "[training]\nschedule = { kind = 'constant', lr = -1.0 }",
            "training.schedule.lr",
        );
        refused("[search]\nbeam_size = 0", "search.beam_size");
        refused("[batch]\nbatch_size = 0", "batch: `batch_size` is 0");
        refused("[tokenizer]\nsrc = { kind = 'words' }", "words");
        refused(
            "[tokenizer]\nsrc = { kind = 'char', min_count = 0 }",
            "experiment: tokenizer.src: `min_count` is 0",
        );
        refused(
            "[tokenizer]\ntgt = { kind = 'bpe', vocab_size = 3 }",
            "experiment: tokenizer.tgt: `vocab_size` is 3",
        );
        let missing = ExperimentConfig::load("no/such/file.toml").unwrap_err();
        assert!(missing.to_string().contains("no/such/file.toml"));
    }
}
