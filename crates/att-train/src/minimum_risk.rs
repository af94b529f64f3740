use std::collections::HashSet;

use att_core::special::{BOS, EOS};
use att_core::{Error, Result, check};
use att_data::{Batch, Example, Tokenizer};
use att_decoder::Decoder;
use att_decoder::search::{MAX_BEAM_SIZE, SamplingConfig, SearchConfig, StrategyConfig};
use att_eval::{Bleu, CorpusMetric, ErrorRate, Statistics};
use att_model::Seq2Seq;
use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Minimum-risk training (Shen et al. 2016): what is minimised is how bad the outputs are that the model itself
/// thinks of; in TOML `minimum_risk = { candidates = 20 }`. It is for a model that was trained before
/// (`--init-from`): one that knows nothing draws nothing of use.
///
/// ```text
/// S(x)    = { gold target } and `candidates` samples of the model, each once
/// Q(y)    = P(y|x)^alpha / sum_(y' in S(x)) P(y'|x)^alpha
/// loss    = sum_x (sum_(y in S(x)) Q(y) risk(y) + cross_entropy (-log P(gold|x))) / n
/// ```
///
/// n counts the predicted gold tokens of the batch, as in all losses. The samples of a source follow from seed,
/// step and source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinimumRiskConfig {
    /// Samples of each source; 20 unless told. A batch is encoded and decoded so many times over: it wants a
    /// smaller `batch_size`.
    pub candidates: usize,
    /// The sharpness of Q; 0.005 unless told.
    pub alpha: f64,
    /// What is bad; `"bleu"` unless told.
    pub risk: RiskKind,
    /// Weight of the cross-entropy of the gold target beside the risk; 0 unless told.
    pub cross_entropy: f64,
}

/// How bad an output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskKind {
    /// `1 - BLEU/100` of the sentence, smoothed.
    #[default]
    Bleu,
    /// The edit distance in words by the number of words of the gold target.
    EditDistance,
}

impl Default for MinimumRiskConfig {
    fn default() -> Self {
        Self {
            candidates: 20,
            alpha: 0.005,
            risk: RiskKind::default(),
            cross_entropy: 0.0,
        }
    }
}

impl MinimumRiskConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        if !(1..=MAX_BEAM_SIZE).contains(&self.candidates) {
            let reason = format!("{} is not from 1 to {MAX_BEAM_SIZE}", self.candidates);
            return Err(Error::config("candidates", reason));
        }
        check::positive("alpha", self.alpha)?;
        check::not_negative("cross_entropy", self.cross_entropy)
    }
}

/// The risk of batches.
#[derive(Debug)]
pub(crate) struct MinimumRisk {
    pub(crate) config: MinimumRiskConfig,
    /// Of the target: risks are those of text.
    pub(crate) tokenizer: Tokenizer,
}

/// The targets that are weighed against each other.
struct Candidates {
    /// Those of all sources, one source after the other, each with its source.
    examples: Vec<Example>,
    /// The number of each source.
    counts: Vec<usize>,
    /// Of each target.
    risks: Vec<f32>,
}

impl MinimumRisk {
    /// The expected risk of a batch, `[1]`: its sum over the sources by the number of predicted gold tokens.
    ///
    /// - `model`: on a device with autodiff
    /// - `seed`: of the samples
    pub(crate) fn loss(&self, seed: u64, model: &Seq2Seq, batch: &Batch) -> Tensor<1> {
        let found = self.candidates(seed, model, batch);
        let log_probs = log_probs(model, &found.examples);
        let (device, width) = (log_probs.device(), self.config.candidates + 1);
        // One row a source; where it has fewer candidates, a place without probability.
        let [n] = log_probs.dims();
        let (mut places, mut taken, mut risks) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = 0;
        for &count in &found.counts {
            for place in 0..width {
                let at = (place < count).then_some(first + place);
                places.push(at.unwrap_or(n - 1) as i64);
                taken.push(if at.is_some() { 0.0 } else { -1e30 });
                risks.push(at.map_or(0.0, |at| found.risks[at]));
            }
            first += count;
        }
        let shape = [found.counts.len(), width];
        let matrix =
            |numbers| Tensor::<2>::from_data(TensorData::new::<f32, _>(numbers, shape), &device);
        let places = Tensor::<1, Int>::from_data(places.as_slice(), &device);
        let log_probs = log_probs.select(0, places).reshape(shape);
        let q = softmax(log_probs * self.config.alpha + matrix(taken), 1);
        let gold_tokens: usize = batch.tgt.lengths.iter().map(|length| length - 1).sum();
        (q * matrix(risks)).sum() / gold_tokens as f64
    }

    fn candidates(&self, seed: u64, model: &Seq2Seq, batch: &Batch) -> Candidates {
        let search = SearchConfig {
            strategy: StrategyConfig::Sampling(SamplingConfig {
                seed,
                ..Default::default()
            }),
            beam_size: self.config.candidates,
            n_best: self.config.candidates,
            ..Default::default()
        };
        let drawn = model.valid().search(batch, &search);
        let mut found = Candidates {
            examples: Vec::new(),
            counts: Vec::new(),
            risks: Vec::new(),
        };
        for (row, drawn) in drawn.into_iter().enumerate() {
            let src = without(batch.src.row(row));
            let gold = without(batch.tgt.row(row));
            let mut seen = HashSet::new();
            let all = [gold.clone()].into_iter();
            let all = all.chain(drawn.into_iter().map(|drawn| drawn.tokens));
            let all: Vec<Vec<u32>> = all.filter(|tokens| seen.insert(tokens.clone())).collect();
            found.risks.extend(self.risks(&all, &gold));
            found.counts.push(all.len());
            found.examples.extend(all.into_iter().map(|tgt| Example {
                src: src.clone(),
                tgt,
                copy_ids: None,
            }));
        }
        found
    }

    fn risks(&self, targets: &[Vec<u32>], gold: &[u32]) -> Vec<f32> {
        let texts: Vec<String> = targets
            .iter()
            .map(|ids| self.tokenizer.decode(ids))
            .collect();
        let gold = self.tokenizer.decode(gold);
        let references = vec![[gold.as_str()]; texts.len()];
        let (bleu, words) = (
            Bleu {
                effective_order: true,
                ..Default::default()
            },
            ErrorRate::words(),
        );
        let metric: &dyn CorpusMetric = match self.config.risk {
            RiskKind::Bleu => &bleu,
            RiskKind::EditDistance => &words,
        };
        let scores = Statistics::new(metric, &texts, &references);
        let scores = scores.expect("one reference each").segment_scores();
        let risk = |score: f64| match self.config.risk {
            RiskKind::Bleu => 1.0 - score / 100.0,
            RiskKind::EditDistance => score / 100.0,
        };
        scores.into_iter().map(|score| risk(score) as f32).collect()
    }
}

/// Ids without those that a batch adds.
fn without(row: &[u32]) -> Vec<u32> {
    let ids = row.iter().copied();
    ids.filter(|id| ![BOS, EOS].contains(id)).collect()
}

/// The log-probability of each target given its source, EOS included, `[n]`.
fn log_probs(model: &Seq2Seq, examples: &[Example]) -> Tensor<1> {
    let batch = Batch::new(examples, &(0..examples.len()).collect::<Vec<_>>());
    let output = model.forward(&batch);
    let of_tokens = model
        .decoder
        .head()
        .log_probs(output.features, &output.gold);
    let [tokens] = of_tokens.dims();
    let device = of_tokens.device();
    // Rows of the same width: behind a target stands a number that is zero.
    let width = batch.tgt.cols - 1;
    let mut places = Vec::with_capacity(examples.len() * width);
    let mut first = 0;
    for length in &batch.tgt.lengths {
        let n = length - 1;
        places.extend((0..width).map(|t| if t < n { first + t } else { tokens } as i64));
        first += n;
    }
    let places = Tensor::<1, Int>::from_data(places.as_slice(), &device);
    let padded = Tensor::cat(vec![of_tokens, Tensor::zeros([1], &device)], 0);
    let rows = padded.select(0, places).reshape([examples.len(), width]);
    rows.sum_dim(1).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_data::TokenizerConfig;
    use att_model::ModelConfig;
    use burn::tensor::Device;

    fn risk(kind: RiskKind, candidates: usize) -> MinimumRisk {
        let tokenizer = TokenizerConfig::whitespace()
            .train(["a b c d e f g"])
            .unwrap();
        MinimumRisk {
            config: MinimumRiskConfig {
                candidates,
                alpha: 0.3,
                risk: kind,
                ..Default::default()
            },
            tokenizer,
        }
    }

    #[test]
    fn risks_are_those_of_the_text() {
        let of = |kind: RiskKind, text: &str| {
            let risk = risk(kind, 1);
            let ids = |text: &str| risk.tokenizer.encode(text);
            risk.risks(&[ids(text)], &ids("a b c d"))[0]
        };
        assert!(of(RiskKind::Bleu, "a b c d").abs() < 1e-6);
        assert!(of(RiskKind::Bleu, "a b c e") < of(RiskKind::Bleu, "a e c g"));
        assert_eq!(of(RiskKind::EditDistance, "a b c d"), 0.0);
        assert_eq!(of(RiskKind::EditDistance, "b c e"), 0.5);
        assert_eq!(of(RiskKind::EditDistance, ""), 1.0);
    }

    /// Against the definition, with the log-probabilities that forced decoding gives.
    #[test]
    fn the_loss_is_the_expected_risk() {
        let device = Device::flex().autodiff();
        let model = ModelConfig::from_toml(
            "src_embedding = { d_embed = 6, dropout = 0.0 }\n\
             tgt_embedding = { d_embed = 6, dropout = 0.0 }\n\
             encoder = { kind = 'recurrent', d_hidden = 5, dropout = 0.0 }\n\
             decoder = { kind = 'luong', d_attentional = 6, dropout = 0.0, recurrent = { d_hidden = 7 } }",
        );
        let model = model.unwrap().init_seeded(11, 11, 3, &device).unwrap();
        let examples = [(vec![4, 5], vec![6, 7, 8]), (vec![9, 8, 7], vec![5])];
        let examples = examples.map(|(src, tgt)| Example {
            src,
            tgt,
            copy_ids: None,
        });
        let batch = Batch::new(&examples, &[0, 1]);
        let risk = risk(RiskKind::EditDistance, 8);
        let found = risk.candidates(5, &model, &batch);
        assert!(
            found.counts.iter().all(|count| (3..=9).contains(count)),
            "{:?}",
            found.counts
        );
        let (mut expected, mut first) = (0.0, 0);
        for count in &found.counts {
            let of_source = first..first + count;
            let p: Vec<f64> = of_source
                .clone()
                .map(|i| {
                    let batch = Batch::new(&found.examples, &[i]);
                    let output = model.forward(&batch);
                    let nll: f64 = model.cross_entropy(&output, 0.0).nll.into_scalar();
                    (-nll * output.gold.len() as f64 * 0.3).exp()
                })
                .collect();
            let weighed = p.iter().zip(&found.risks[of_source]);
            let sum: f64 = weighed.map(|(p, risk)| p * f64::from(*risk)).sum();
            expected += sum / p.iter().sum::<f64>();
            first += count;
        }
        let loss: f64 = risk.loss(5, &model, &batch).into_scalar();
        assert!((loss - expected / 6.0).abs() < 1e-5, "{loss} {expected}");
        let again: f64 = risk.loss(5, &model, &batch).into_scalar();
        assert_eq!(loss, again);
        let other: f64 = risk.loss(6, &model, &batch).into_scalar();
        assert_ne!(loss, other, "the seed draws");
    }
}
