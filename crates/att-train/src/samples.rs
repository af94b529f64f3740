//! What a model makes of a few sources of the validation set, the same ones at each validation: how
//! outputs and attention change over a training.

use att_decoder::search::SearchConfig;
use att_model::{Translation, Translator};
use serde::{Deserialize, Serialize};

use crate::{Evaluation, Result};

/// Sources that are looked at.
const SAMPLES: usize = 4;
/// Weights of the attention that is kept of a sample at most: that of 50 tokens and 50.
const MAX_WEIGHTS: usize = 2500;

/// A source of the validation set, and what the model made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The source.
    pub source: String,
    /// The best output.
    pub output: String,
    /// All its targets in the validation set.
    pub references: Vec<String>,
    /// What the output looked at; none where the model has no attention, or for a long text.
    pub attention: Option<SampleAttention>,
}

/// The attention of a [`Sample`]; its JSON has the keys of an `att_inspect::AttentionMap`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleAttention {
    /// The tokens of the source, EOS the last.
    pub src_tokens: Vec<String>,
    /// The tokens of the output, EOS the last.
    pub tgt_tokens: Vec<String>,
    /// A row of weights over the source for each token of the output, in thousandths.
    pub weights: Vec<Vec<f32>>,
}

/// Short, middling and long sources, with what search finds for them now.
///
/// # Errors
///
/// If the search's settings are out of range.
pub(crate) fn samples(
    translator: &Translator,
    evaluation: &Evaluation,
    search: &SearchConfig,
) -> Result<Vec<Sample>> {
    let chosen = spread(&evaluation.sources);
    let sources: Vec<&str> = chosen
        .iter()
        .map(|&at| evaluation.sources[at].as_str())
        .collect();
    let translations = translator.translate(&sources, search)?;
    let samples = chosen.iter().zip(translations).map(|(&at, found)| Sample {
        source: evaluation.sources[at].clone(),
        references: evaluation.references[at].clone(),
        attention: SampleAttention::of(&found),
        output: found.candidates.into_iter().next().unwrap().text,
    });
    Ok(samples.collect())
}

/// Places in a list that have its texts' quantiles of length.
fn spread(texts: &[String]) -> Vec<usize> {
    let mut by_length: Vec<usize> = (0..texts.len()).collect();
    by_length.sort_by_key(|&at| texts[at].len());
    let mut places: Vec<usize> = (1..=SAMPLES)
        .map(|i| by_length[i * texts.len() / (SAMPLES + 1)])
        .collect();
    places.dedup();
    places
}

impl SampleAttention {
    fn of(translation: &Translation) -> Option<Self> {
        let best = translation.candidates.first()?;
        let weights = best.weights.as_ref()?;
        let thousandths = |weight: &f32| (weight * 1000.0).round() / 1000.0;
        let rows = weights.iter();
        let rows = rows.map(|row| row.iter().map(thousandths).collect());
        (best.tokens.len() * translation.src_tokens.len() <= MAX_WEIGHTS).then(|| Self {
            src_tokens: translation.src_tokens.clone(),
            tgt_tokens: best.tokens.clone(),
            weights: rows.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_of_all_lengths_and_each_once() {
        let lengths = |n: usize| {
            let texts: Vec<String> = (0..n).map(|len| "x".repeat(n - len)).collect();
            let places = spread(&texts);
            let lengths: Vec<usize> = places.iter().map(|&at| texts[at].len()).collect();
            lengths
        };
        assert_eq!(lengths(100), [21, 41, 61, 81]);
        assert_eq!(lengths(4), [1, 2, 3, 4]);
        assert_eq!(lengths(2), [1, 2]);
        assert_eq!(lengths(1), [1]);
    }
}
