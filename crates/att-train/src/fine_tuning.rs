//! What a run takes from the model that it begins with.

use std::path::PathBuf;

use att_core::Error as CoreError;
use att_data::{Batcher, Corpus, Tokenizer};
use att_model::{ModelDirectory, Seq2Seq, weights};

use crate::new_vocabulary::Surgery;
use crate::replay::Replay;
use crate::trainer::examples;
use crate::{Error, ExperimentConfig, Result, Start, VocabularyEvent};

/// The weights to begin with.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The file.
    pub(crate) weights: PathBuf,
    surgery: Option<Surgery>,
}

impl Origin {
    /// - `src`, `tgt`: the run's tokenisers
    pub(crate) fn new(model: &ModelDirectory, src: &Tokenizer, tgt: &Tokenizer) -> Self {
        let [.., weights] = ModelDirectory::FILES;
        Self {
            weights: model.path().join(weights),
            surgery: Surgery::new(model, src, tgt),
        }
    }

    /// The weights in the place of a model's own.
    pub(crate) fn load(&self, model: Seq2Seq, seed: u64) -> Result<Seq2Seq> {
        match &self.surgery {
            Some(surgery) => surgery.load(model, &self.weights, seed),
            None => Ok(weights::load(model, &self.weights)?),
        }
    }

    /// What became of the vocabularies, where they are others.
    pub(crate) fn events(&self) -> impl Iterator<Item = VocabularyEvent> {
        let surgery = self.surgery.iter();
        surgery.flat_map(Surgery::events)
    }
}

/// # Errors
///
/// If something is set that needs a model to begin with, or old data, and there is none; or the other way
/// round. The error names the key.
pub(crate) fn check(config: &ExperimentConfig, start: &Start) -> Result<()> {
    let training = &config.training;
    let needs_model = "there is no model to begin with (`--init-from`)";
    let refused = [
        (training.l2_to_init > 0.0, "training.l2_to_init"),
        (training.lora.is_some(), "training.lora"),
        (training.minimum_risk.is_some(), "training.minimum_risk"),
        (start.new_vocabulary.is_some(), "new_vocabulary"),
    ];
    if start.init_from.is_none()
        && let Some((_, key)) = refused.iter().find(|(is_set, _)| *is_set)
    {
        return Err(CoreError::config(*key, needs_model).into());
    }
    let reason = match (training.replay > 0.0, &start.replay) {
        (true, None) => "there is no old data to replay (`--replay`)",
        (false, Some(_)) => "old data are given, and their share is 0: 0.2 is usual",
        _ => return Ok(()),
    };
    Err(CoreError::config("training.replay", reason).into())
}

/// What is replayed between `new` examples.
pub(crate) fn replay(
    config: &ExperimentConfig,
    old: Option<&Corpus>,
    new: usize,
    src: &Tokenizer,
    tgt: &Tokenizer,
) -> Result<Option<Replay>> {
    let Some(old) = old else {
        return Ok(None);
    };
    let old = examples(&config.model, old, src, tgt);
    let batcher =
        Batcher::new(config.batch.clone(), old).map_err(Error::within("training.replay"))?;
    Ok(Some(Replay::new(batcher, config.training.replay, new)))
}

/// The pairs that new tokenisers are trained on.
pub(crate) fn all_data(train: &Corpus, replay: Option<&Corpus>) -> Corpus {
    let pairs = train.pairs.iter();
    let old = replay.iter().flat_map(|old| &old.pairs);
    Corpus {
        pairs: pairs.chain(old).cloned().collect(),
    }
}
