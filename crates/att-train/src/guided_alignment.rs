use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use att_core::{Error, Result, check};
use att_data::{Batch, Tokenizer};
use att_eval::PharaohLink;
use att_model::ForcedOutput;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::{ExperimentConfig, GoldAlignments, TrainingData, token_positions};

/// Guided alignment (Chen et al. 2016): training also draws the attention weights towards alignments that are
/// given; in TOML `guided_alignment = { weight = 0.5 }`.
///
/// ```text
/// cross_entropy      L = - sum_t sum_s gold[t, s] log weights[t, s] / n
/// squared_error      L =   sum_t sum_s (gold[t, s] - weights[t, s])^2 / n
///
/// loss = loss + weight 2^(-(step - 1) / half_life) L
/// ```
///
/// t goes over the target tokens that have a link, and n counts all that are predicted, so a token without
/// a link adds nothing. A row of `gold` has the same weight on each source token that its target token is
/// linked to, 1 together; the tokens of a word have its links, and possible links count as sure ones do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuidedAlignmentConfig {
    /// Weight at the first step; 1 unless told.
    pub weight: f64,
    /// Steps after which it is half of that, and so on; 0, as unless told, is never.
    pub half_life: usize,
    /// What L is; `"cross_entropy"` unless told.
    pub loss: AlignmentLoss,
}

/// How far attention weights are from an alignment (Chen et al. 2016, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignmentLoss {
    /// The cross-entropy. Weights that are zero, as of a sparse normaliser or outside of a window, have no
    /// gradient.
    #[default]
    CrossEntropy,
    /// The squared error.
    SquaredError,
}

impl Default for GuidedAlignmentConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            half_life: 0,
            loss: AlignmentLoss::default(),
        }
    }
}

impl GuidedAlignmentConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::positive("weight", self.weight)
    }

    /// Of a step, counted from 1.
    fn weight_at(&self, step: usize) -> f64 {
        match self.half_life {
            0 => self.weight,
            half_life => self.weight * (-((step - 1) as f64) / half_life as f64).exp2(),
        }
    }
}

/// Below this a weight has no gradient: the logarithm stays finite.
const LEAST_WEIGHT: f64 = 1e-10;

/// The alignments of training pairs over the states of a model's memory.
#[derive(Debug)]
pub(crate) struct Guide {
    config: GuidedAlignmentConfig,
    /// Of each pair.
    rows: Vec<Vec<GoldWeight>>,
}

/// One weight that is not zero.
#[derive(Clone, Copy, Debug, PartialEq)]
struct GoldWeight {
    tgt: u32,
    state: u32,
    weight: f32,
}

impl Guide {
    /// What guides the attention of an experiment on the pairs of `train`; none where it does not say so.
    ///
    /// # Errors
    ///
    /// If it does and there is no file, or the other way round, or the file is not one of these pairs.
    pub(crate) fn read(
        experiment: &ExperimentConfig,
        file: Option<&Path>,
        train: TrainingData<'_>,
        src: &Tokenizer,
        tgt: &Tokenizer,
    ) -> crate::Result<Option<Self>> {
        let (config, file) = match (&experiment.training.guided_alignment, file) {
            (Some(config), Some(file)) => (config.clone(), file),
            (None, None) => return Ok(None),
            (config, _) => return Err(without_the_other(config.is_some())),
        };
        let train = train.read()?;
        let gold = GoldAlignments::read(file, &train, "training")?;
        gold.check(src.config(), tgt.config(), &train)?;
        let tokens_per_state = experiment.model.encoder.tokens_per_state();
        let positions = |tokenizer: &Tokenizer, text: &str| {
            token_positions(&tokenizer.tokens(text), tokenizer.marks_words())
        };
        let pairs = gold.lines().zip(&train.pairs);
        let rows = pairs.map(|(line, pair)| {
            let (src, tgt) = (positions(src, &pair.src), positions(tgt, &pair.tgt));
            gold_weights(line, &src, &tgt, tokens_per_state)
        });
        Ok(Some(Self {
            config,
            rows: rows.collect(),
        }))
    }

    /// What a step adds to the loss of a batch, `[1]`. Rows of the batch that are no pair with an alignment
    /// add nothing.
    ///
    /// # Panics
    ///
    /// If the model has no attention.
    pub(crate) fn loss(&self, step: usize, output: &ForcedOutput, batch: &Batch) -> Tensor<1> {
        let weights = output.weights.clone().expect("validated: it has attention");
        let [rows, tgt_len, src_len] = weights.dims();
        let mut gold = vec![0.0; rows * tgt_len * src_len];
        let mut linked = vec![0.0; rows * tgt_len];
        for (row, &pair) in batch.indices.iter().enumerate() {
            for found in self.rows.get(pair).into_iter().flatten() {
                let position = row * tgt_len + found.tgt as usize;
                gold[position * src_len + found.state as usize] = found.weight;
                linked[position] = 1.0;
            }
        }
        let device = weights.device();
        let gold = TensorData::new(gold, [rows, tgt_len, src_len]);
        let gold = Tensor::<3>::from_data(gold, &device);
        let sum = match self.config.loss {
            AlignmentLoss::CrossEntropy => -(gold * weights.clamp_min(LEAST_WEIGHT).log()).sum(),
            AlignmentLoss::SquaredError => {
                let linked = TensorData::new(linked, [rows, tgt_len, 1]);
                let linked = Tensor::<3>::from_data(linked, &device);
                ((gold - weights).square() * linked).sum()
            }
        };
        sum * (self.config.weight_at(step) / output.gold.len() as f64)
    }
}

/// The setting is there and no alignments, or they are and it is not.
pub(crate) fn without_the_other(is_set: bool) -> crate::Error {
    let reason = match is_set {
        true => "it needs the alignments of the training pairs (`--alignments`)",
        false => "alignments are given, and it is not set: `guided_alignment = {}` uses them",
    };
    Error::config("training.guided_alignment", reason).into()
}

/// The rows of weights that a line of links stands for, given the position of each token's word.
fn gold_weights(
    line: &str,
    src: &[usize],
    tgt: &[usize],
    tokens_per_state: usize,
) -> Vec<GoldWeight> {
    let mut linked: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for link in line.split_whitespace().filter_map(PharaohLink::parse) {
        linked.entry(link.tgt).or_default().insert(link.src);
    }
    let mut found = Vec::new();
    for (t, word) in tgt.iter().enumerate() {
        let Some(words) = linked.get(word) else {
            continue;
        };
        let tokens: Vec<usize> = (0..src.len())
            .filter(|&s| words.contains(&src[s]))
            .collect();
        let mut states: BTreeMap<usize, f32> = BTreeMap::new();
        for s in &tokens {
            *states.entry(s / tokens_per_state).or_default() += 1.0 / tokens.len() as f32;
        }
        found.extend(states.into_iter().map(|(state, weight)| GoldWeight {
            tgt: t as u32,
            state: state as u32,
            weight,
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_words_links_are_those_of_its_tokens_and_a_row_sums_to_one() {
        let found = |line: &str, tokens_per_state: usize| -> Vec<(u32, u32, f32)> {
            let found = gold_weights(line, &[0, 0, 1, 2], &[0, 1, 1], tokens_per_state);
            found
                .into_iter()
                .map(|one| (one.tgt, one.state, one.weight))
                .collect()
        };
        assert_eq!(
            found("1-0 0-1 0p1", 1),
            [
                (0, 2, 1.0),
                (1, 0, 0.5),
                (1, 1, 0.5),
                (2, 0, 0.5),
                (2, 1, 0.5)
            ],
            "a link that is there twice counts once"
        );
        assert_eq!(found("2-0 1-0 0?0", 2), [(0, 0, 0.5), (0, 1, 0.5)]);
        assert_eq!(found("", 1), []);
    }

    #[test]
    fn the_weight_halves() {
        let config = GuidedAlignmentConfig {
            weight: 0.5,
            half_life: 10,
            ..Default::default()
        };
        let weights = [1, 11, 31].map(|step| config.weight_at(step));
        assert_eq!(weights, [0.5, 0.25, 0.0625]);
    }
}
