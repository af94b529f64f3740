use std::ops::ControlFlow;

use att_data::Dropped;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{CacheUse, Sample, Skipped, VocabularyEvent};

/// What happens in a run, in order; one line of `log.jsonl` each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// What the data are, where there is more to say of them than how many are too long; before the run
    /// begins.
    Data(DataEvent),
    /// The run begins.
    Start {
        /// Weights in the model.
        parameters: usize,
        /// Examples to train on.
        examples: usize,
        /// Examples left out for their length.
        left_out: usize,
        /// Examples to validate on.
        #[serde(default)]
        valid_examples: usize,
        /// Source tokens in the vocabulary.
        src_vocab: usize,
        /// Target tokens in the vocabulary.
        tgt_vocab: usize,
        /// Steps that the run will have, unless it ends early.
        total_steps: usize,
    },
    /// The run goes on from a checkpoint; what the log had of the steps behind it is gone.
    Resume {
        /// Steps done.
        step: usize,
        /// Steps that the run will have, unless it ends early.
        total_steps: usize,
        /// Checkpoints that could not be used, and why.
        damaged: Vec<String>,
        /// Seconds of training before.
        elapsed_s: f64,
    },
    /// The vocabulary of a side is another than that of the model that the run began with.
    Vocabulary(VocabularyEvent),
    /// The run does not do what its settings may be meant for, though it does what they say.
    Warning {
        /// Which setting, and why.
        text: String,
    },
    /// A step was skipped.
    Skipped(SkippedEvent),
    /// Some steps are done.
    Step(StepEvent),
    /// The model was validated.
    Validation(ValidationEvent),
}

/// What a run trains on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataEvent {
    /// Pairs in each corpus.
    pub pairs: Vec<usize>,
    /// Those that are left out, and why.
    pub dropped: Dropped,
    /// The cache of their tokens, if there is one.
    pub cache: Option<CacheUse>,
}

impl DataEvent {
    /// Whether all is told by how many examples there are and how many are too long.
    pub(crate) fn is_plain(&self) -> bool {
        let Self {
            pairs,
            dropped,
            cache,
        } = self;
        pairs.len() == 1 && dropped.total() == dropped.too_long && cache.is_none()
    }
}

/// A step that left the weights as they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SkippedEvent {
    /// The step.
    pub step: usize,
    /// Its learning rate.
    pub lr: f64,
    /// Its loss; null in JSON where it is not finite.
    #[serde(deserialize_with = "or_nan")]
    pub loss: f32,
    /// The norm of its gradient, likewise.
    #[serde(deserialize_with = "or_nan")]
    pub grad_norm: f32,
    /// Why.
    #[serde(flatten)]
    pub skipped: Skipped,
}

/// Progress over the steps since the last report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepEvent {
    /// Steps done.
    pub step: usize,
    /// Steps that the run will have, unless it ends early.
    pub total_steps: usize,
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean loss a token, in nats, smoothing and auxiliary losses included.
    #[serde(deserialize_with = "or_nan")]
    pub loss: f64,
    /// Perplexity, smoothing left out.
    #[serde(deserialize_with = "or_nan")]
    pub ppl: f64,
    /// The learning rate of the last step.
    pub lr: f64,
    /// Mean norm of the gradient, before clipping.
    #[serde(deserialize_with = "or_nan")]
    pub grad_norm: f64,
    /// Steps that were skipped; loss, perplexity and norm are means over the others.
    pub skipped: usize,
    /// Real source tokens a second.
    #[serde(deserialize_with = "or_nan")]
    pub src_tokens_per_s: f64,
    /// Real target tokens a second.
    #[serde(deserialize_with = "or_nan")]
    pub tgt_tokens_per_s: f64,
    /// The share of the time in which training waited for data, from 0 to 1.
    #[serde(default)]
    pub waiting: f64,
    /// Seconds of training so far, over all parts of the run.
    pub elapsed_s: f64,
    /// Seconds that the rest will take at this speed.
    #[serde(deserialize_with = "or_nan")]
    pub left_s: f64,
}

/// What a validation found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ValidationEvent {
    /// Steps done.
    pub step: usize,
    /// Mean loss a token, in nats, without smoothing.
    #[serde(deserialize_with = "or_nan")]
    pub loss: f64,
    /// Perplexity.
    #[serde(deserialize_with = "or_nan")]
    pub ppl: f64,
    /// Name of the metric.
    pub metric: String,
    /// The score in percent.
    #[serde(deserialize_with = "or_nan")]
    pub score: f64,
    /// Whether it is the best so far; then the model was saved.
    pub best: bool,
    /// An example of the output: source, output, reference.
    pub sample: [String; 3],
    /// What became of a few sources, the same ones at each validation.
    #[serde(default)]
    pub samples: Vec<Sample>,
    /// Seconds of training so far, over all parts of the run.
    pub elapsed_s: f64,
}

/// JSON has no number that is not finite: such a one is written as null.
fn or_nan<'de, T: Deserialize<'de> + From<f32>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let number: Option<T> = Option::deserialize(deserializer)?;
    Ok(number.unwrap_or_else(|| f32::NAN.into()))
}

/// Watches a run.
pub trait Observer {
    /// Called at each event; `Break` ends the run in good order after the current step.
    fn observe(&mut self, event: &Event) -> ControlFlow<()>;

    /// Called at each step; `Break` ends the run in good order.
    fn poll(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(&Event) -> ControlFlow<()>> Observer for F {
    fn observe(&mut self, event: &Event) -> ControlFlow<()> {
        self(event)
    }
}
