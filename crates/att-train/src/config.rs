use std::fs;
use std::path::Path;

use att_core::{Error as CoreError, Precision, check};
use att_data::{BatcherConfig, TokenizerConfig};
use att_decoder::search::{MAX_BEAM_SIZE, SearchConfig};
use att_eval::Metric;
use att_model::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::{
    DataConfig, Error, GuidedAlignmentConfig, LoraConfig, MinimumRiskConfig, OptimizerConfig,
    Result, ScheduleConfig, ScheduledSamplingConfig,
};

/// A whole experiment: everything but where the data lies. One TOML file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Of initial weights, dropout and the order of the data; 0 unless told.
    pub seed: u64,
    /// How text becomes tokens.
    pub tokenizer: TokenizersConfig,
    /// What an epoch has of the corpora.
    pub data: DataConfig,
    /// How examples become batches, and which of them do.
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
        if self.training.r_drop > 0.0 && self.model.decoder.copies() {
            let reason = "what may be copied has no finite divergence where it is not looked at: set it \
                          to 0, or copy = false";
            return Err(CoreError::config("training.r_drop", reason).into());
        }
        if self.training.guided_alignment.is_some() && !self.model.decoder.has_attention() {
            let reason = "this decoder has no attention whose weights could be guided: use another, or leave \
                          the key out";
            return Err(CoreError::config("training.guided_alignment", reason).into());
        }
        if self.training.minimum_risk.is_some() && self.model.decoder.copies() {
            let reason = "its outputs are weighed by the vocabulary's probabilities alone: set copy = false, \
                          or leave the key out";
            return Err(CoreError::config("training.minimum_risk", reason).into());
        }
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
    /// They learn from this many pairs at most, which lie evenly in the data; 0 is all. 10,000,000 unless
    /// told.
    pub max_pairs: usize,
    /// Of the source; whitespace unless told.
    pub src: TokenizerConfig,
    /// Of the target; whitespace unless told.
    pub tgt: TokenizerConfig,
}

impl Default for TokenizersConfig {
    fn default() -> Self {
        Self {
            shared: false,
            max_pairs: 10_000_000,
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
    /// Batches that make a step together; 1 unless told. See
    /// [`accumulated_step`](crate::TrainStep::accumulated_step).
    pub accumulate: usize,
    /// How much of the mean of the weights over time a step keeps; 0, as unless told, is no mean. Else it is
    /// the mean that is validated and saved as the model:
    ///
    /// ```text
    /// mean_t = d_t mean_(t-1) + (1 - d_t) weights_t        d_t = min(average_decay, 1 - 1/t)
    /// ```
    ///
    /// (Polyak and Juditsky 1992; the start as in Tarvainen and Valpola 2017). 0.999 is about the mean of the
    /// last thousand steps.
    pub average_decay: f64,
    /// With which probability the encoder reads UNK in the place of a token; 0 unless told (Bowman et al.
    /// 2016, section 3.1, for the decoder).
    pub src_word_dropout: f64,
    /// The same for the tokens that the decoder reads; what it is to predict stays.
    pub tgt_word_dropout: f64,
    /// Weight of R-Drop, with which each batch is read twice with other masks of dropout and the two predictions
    /// are drawn to each other (Wu et al. 2021, eq. 4, with the mean of the losses); 0, as unless told, is none, and 5 is usual:
    ///
    /// ```text
    /// loss = (loss_1 + loss_2) / 2 + r_drop (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2
    /// ```
    ///
    /// A step takes about twice as long, and memory for the probabilities of the whole batch. Not for a model
    /// that copies: a token that is not looked at has no logarithm.
    pub r_drop: f64,
    /// Draws attention towards the alignments of the training pairs ([`Start::alignments`](crate::Start)); not
    /// unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guided_alignment: Option<GuidedAlignmentConfig>,
    /// Lets the decoder read some of its own predictions; not unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_sampling: Option<ScheduledSamplingConfig>,
    /// Minimises the expected risk of the model's own outputs; not unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_risk: Option<MinimumRiskConfig>,
    /// Weights that training leaves as they are, by a part of their name between dots, such as `"encoder"` or
    /// `"attention"`; `"embeddings"` are all tables of tokens. None unless told.
    pub freeze: Vec<String>,
    /// How strongly weights are pulled towards those that the run begins with
    /// ([`Start::init_from`](crate::Start)): `l2_to_init/2 ||weights - first weights||^2` joins the loss, but not
    /// what is reported of it (L2-SP, Li et al. 2018). 0, as unless told, is not at all.
    #[serde(skip_serializing_if = "is_zero")]
    pub l2_to_init: f64,
    /// The share of batches that are of old data ([`Start::replay`](crate::Start)), from 0, as unless told, to
    /// below 1. Epochs are passes over the new data.
    #[serde(skip_serializing_if = "is_zero")]
    pub replay: f64,
    /// Changes matrices by products of low rank and leaves all else; not unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// Steps whose gradient has more than this many times the mean norm are skipped (an exponential mean of
    /// about 100 steps; from the 50th step on). 0, as unless told, is none; in any case those whose loss or
    /// gradient is not finite are.
    pub spike_factor: f64,
    /// Steps that may be skipped in a row before the run stops; 10 unless told.
    pub max_skipped: usize,
    /// Passes over the data at most; 20 unless told.
    pub max_epochs: usize,
    /// Steps at most; 0, as unless told, is no limit.
    pub max_steps: usize,
    /// Minutes at most, over all parts of a run that was resumed; 0, as unless told, is no limit. The run ends after the step that passes
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
    /// Steps between checkpoints; 0, as unless told, is none by steps. There is one after each validation, at
    /// an interrupt and at the end in any case.
    pub save_every: usize,
    /// Minutes between checkpoints at most; 10 unless told; 0 is none by time.
    pub save_minutes: f64,
    /// Checkpoints kept, the last ones; 2 unless told. 0 is none at all: the run can't be resumed.
    pub keep: usize,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            precision: Precision::F32,
            label_smoothing: 0.1,
            clip_norm: 1.0,
            accumulate: 1,
            average_decay: 0.0,
            src_word_dropout: 0.0,
            tgt_word_dropout: 0.0,
            r_drop: 0.0,
            guided_alignment: None,
            scheduled_sampling: None,
            minimum_risk: None,
            freeze: Vec::new(),
            l2_to_init: 0.0,
            replay: 0.0,
            lora: None,
            spike_factor: 0.0,
            max_skipped: 10,
            max_epochs: 20,
            max_steps: 0,
            max_minutes: 0.0,
            valid_every: 0,
            metric: Metric::Bleu,
            valid_beam_size: 1,
            patience: 0,
            log_every: 50,
            save_every: 0,
            save_minutes: 10.0,
            keep: 2,
        }
    }
}

impl TrainingConfig {
    /// Whether so many devices have as many batches of a step each.
    ///
    /// # Errors
    ///
    /// If `accumulate` is no multiple of their number.
    pub fn validate_devices(&self, devices: usize) -> att_core::Result<()> {
        let accumulate = self.accumulate;
        if accumulate.is_multiple_of(devices) {
            return Ok(());
        }
        let reason = format!(
            "{accumulate} is not a multiple of {devices}, the number of devices: each takes as many batches of a step"
        );
        Err(CoreError::config("training.accumulate", reason))
    }

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
        for (key, prob) in [
            ("label_smoothing", self.label_smoothing),
            ("average_decay", self.average_decay),
            ("src_word_dropout", self.src_word_dropout),
            ("tgt_word_dropout", self.tgt_word_dropout),
            ("replay", self.replay),
        ] {
            check::probability(key, prob)?;
        }
        if let Some(config) = &self.guided_alignment {
            let valid = config.validate();
            valid.map_err(|error| error.within("guided_alignment"))?;
        }
        if let Some(config) = &self.scheduled_sampling {
            let valid = config.validate();
            valid.map_err(|error| error.within("scheduled_sampling"))?;
        }
        if let Some(config) = &self.minimum_risk {
            let valid = config.validate();
            valid.map_err(|error| error.within("minimum_risk"))?;
        }
        if let Some(config) = &self.lora {
            config.validate().map_err(|error| error.within("lora"))?;
        }
        check::size("accumulate", self.accumulate)?;
        check::size("max_epochs", self.max_epochs)?;
        if !(1..=MAX_BEAM_SIZE).contains(&self.valid_beam_size) {
            let reason = format!("{} is not from 1 to {MAX_BEAM_SIZE}", self.valid_beam_size);
            return Err(CoreError::config("valid_beam_size", reason));
        }
        check::size("log_every", self.log_every)?;
        for (key, value) in [
            ("clip_norm", self.clip_norm),
            ("r_drop", self.r_drop),
            ("l2_to_init", self.l2_to_init),
            ("spike_factor", self.spike_factor),
            ("max_minutes", self.max_minutes),
            ("save_minutes", self.save_minutes),
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

fn is_zero(number: &f64) -> bool {
    *number == 0.0
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
        refused("[training]\naccumulate = 0", "training.accumulate");
        refused(
            "model = { decoder = { kind = 'luong', copy = true } }\n[training]\nr_drop = 0.5",
            "training.r_drop",
        );
        refused(
            "model = { decoder = { kind = 'summary' } }\n[training]\nguided_alignment = {}",
            "training.guided_alignment: this decoder has no attention",
        );
        refused(
            "[training]\nguided_alignment = { weight = 0.0 }",
            "training.guided_alignment.weight",
        );
        refused(
            "[training]\nscheduled_sampling = { kind = 'exponential', base = 2.0 }",
            "training.scheduled_sampling.base",
        );
        refused(
            "model = { decoder = { kind = 'luong', copy = true } }\n[training]\nminimum_risk = {}",
            "training.minimum_risk",
        );
        refused(
            "[training]\nminimum_risk = { candidates = 0 }",
            "training.minimum_risk.candidates",
        );
        refused("[training]\nreplay = 1.0", "training.replay");
        refused("[training]\nl2_to_init = -1", "training.l2_to_init");
        refused("[training]\nlora = { rank = 0 }", "training.lora.rank");
        refused("[training]\naverage_decay = 1", "training.average_decay");
        refused("[training]\nsave_minutes = -1", "training.save_minutes");
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
