//! Training of encoder-decoder models: losses, schedules, the loop, validation, checkpoints.
//!
//! | to | use |
//! | --- | --- |
//! | describe a whole experiment in one TOML file | [`ExperimentConfig`] |
//! | run it into a model directory, resume it bit for bit | [`Trainer`] |
//! | train on files that memory does not hold, or on several corpora | [`TrainingData`], [`DataConfig`] |
//! | watch it | [`Observer`], [`Event`], [`PrintEvents`]; the same events go to `log.jsonl` |
//! | look at it later, or with TensorBoard | [`read_log`], [`TensorBoard`] |
//! | score a model on a corpus | [`evaluate`] |
//! | see what fine-tuning has cost | [`ForgettingReport`] |
//! | train step by step in a loop of your own | [`TrainStep`] |
//! | train several experiments alike, interrupted or not, and keep what came out | [`Comparison`] |
//! | vary the attention of one | [`attention_variants`] |
//! | measure the speed of training and decoding | [`TrainBench`], [`DecodeBench`] |
//!
//! ```
//! use att_core::DeviceSpec;
//! use att_data::{Corpus, Pair};
//! use att_train::{ExperimentConfig, Trainer};
//!
//! # let folder = tempfile::tempdir()?;
//! let corpus = Corpus { pairs: vec![Pair::new("abc", "a b c"), Pair::new("cab", "c a b")] };
//! let config = ExperimentConfig::from_toml(r#"
//!     [tokenizer]
//!     src = { kind = "char" }
//!     tgt = { kind = "whitespace" }
//!
//!     [model]
//!     src_embedding = { d_embed = 8 }
//!     tgt_embedding = { d_embed = 8 }
//!     encoder = { kind = "recurrent", d_hidden = 8 }
//!     decoder = { kind = "luong", d_attentional = 8, recurrent = { d_hidden = 8 } }
//!
//!     [training]
//!     max_steps = 5
//!     metric = "per"
//! "#)?;
//! let device = "flex".parse::<DeviceSpec>()?.init()?;
//! let summary = Trainer::create(config, &corpus, &corpus, folder.path().join("run"), false)?
//!     .run(&device, &mut |_: &att_train::Event| std::ops::ControlFlow::Continue(()))?;
//! assert_eq!(summary.steps, 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anchor;
mod auto_batch;
mod average;
mod batch_loss;
mod batches;
mod bench;
mod checkpoint;
mod compare;
mod config;
mod data;
mod error;
mod evaluate;
mod event;
mod fine_tuning;
mod forgetting;
mod freeze;
mod gold_alignments;
mod gradients;
mod guard;
mod guided_alignment;
mod identity;
mod log;
mod lora;
mod minimum_risk;
mod new_vocabulary;
mod optimizer;
mod print;
mod process;
mod progress;
mod r_drop;
mod replay;
mod replicas;
mod run_directory;
mod samples;
mod schedule;
mod scheduled_sampling;
mod settings;
mod step;
mod tensorboard;
mod trainer;
mod word_dropout;

pub use auto_batch::BatchSize;
pub use bench::{DecodeBench, DecodeSpeed, StepShares, TrainBench, TrainSpeed};
pub use compare::{Comparison, Contestant, LeftOut, Variants, attention_variants, digest};
pub use config::{ExperimentConfig, TokenizersConfig, TrainingConfig};
pub use data::{CacheUse, DataConfig, TrainingData};
pub use error::{Diverged, Error, Result};
pub use evaluate::{Evaluation, evaluate};
pub use event::{DataEvent, Event, Observer, SkippedEvent, StepEvent, ValidationEvent};
pub use forgetting::{BeforeAndAfter, DomainScore, ForgettingReport};
pub use gold_alignments::{GoldAlignments, token_positions};
pub use guard::SkipReason;
pub use guided_alignment::{AlignmentLoss, GuidedAlignmentConfig};
pub use log::read_log;
pub use lora::LoraConfig;
pub use minimum_risk::{MinimumRiskConfig, RiskKind};
pub use new_vocabulary::{NewVocabulary, VocabularyEvent};
pub use optimizer::OptimizerConfig;
pub use print::{PrintEvents, clock};
pub use run_directory::checkpoints;
pub use samples::{Sample, SampleAttention};
pub use schedule::{Schedule, ScheduleConfig};
pub use scheduled_sampling::{
    ExponentialDecayConfig, InverseSigmoidDecayConfig, LinearDecayConfig, ScheduledSamplingConfig,
};
pub use step::{Skipped, StepOutput, StepTimes, TrainStep};
pub use tensorboard::TensorBoard;
pub use trainer::{Start, Summary, Trainer};
