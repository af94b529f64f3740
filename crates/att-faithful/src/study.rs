//! All sentences, side by side.

use att_core::side_by_side;
use att_model::Seq2Seq;

use crate::gradients::Differentiable;
use crate::sentence::measure;
use crate::{Error, FaithfulConfig, Findings, Result, Sentence};

/// Measures a model on the sentences that [can be measured](Sentence::is_measurable); the others are left out.
/// On a CPU each is measured on a thread of its own, so that neither the number of threads nor other sentences
/// change what is found of it.
///
/// - `done`: called after each sentence
///
/// # Errors
///
/// If a setting is out of its range, the model has no attention, or no sentence is left.
///
/// # Panics
///
/// If an id is not in the model's vocabularies.
pub fn study(
    model: &Seq2Seq,
    sentences: &[Sentence],
    config: &FaithfulConfig,
    mut done: impl FnMut(),
) -> Result<Findings> {
    config.validate()?;
    if matches!(model.decoder, att_decoder::AnyDecoder::Summary(_)) {
        return Err(Error::NoAttention);
    }
    let measurable = sentences.iter().filter(|one| one.is_measurable());
    let measurable: Vec<&Sentence> = measurable.collect();
    if measurable.is_empty() {
        return Err(Error::NothingToMeasure {
            sentences: sentences.len(),
        });
    }
    let differentiable = Differentiable::new(model);
    let mut found = Vec::with_capacity(measurable.len());
    let work = |sentence: &Sentence| measure(model, &differentiable, sentence, config);
    side_by_side(&model.device(), measurable.into_iter(), work, |sums| {
        found.push(sums);
        done();
        Ok::<_, Error>(())
    })?;
    Findings::of(&found)
}
