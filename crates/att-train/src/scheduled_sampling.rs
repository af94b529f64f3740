use std::borrow::Cow;

use att_core::{Error, Result, check, random};
use att_data::Batch;
use att_decoder::Decoder;
use att_model::Seq2Seq;
use burn::module::Module;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

/// Scheduled sampling (Bengio et al. 2015): the decoder reads some of its own predictions in the place of gold
/// tokens, more of them as training goes on; in TOML `scheduled_sampling = { kind = "inverse_sigmoid" }`.
/// The kind is how the probability of a gold token falls with the steps `i = 0, 1, ..`:
///
/// ```text
/// linear             max(end, start - (start - end) i / steps)
/// exponential        base^i
/// inverse_sigmoid    k / (k + exp(i / k))
/// ```
///
/// It has the form of two passes (Mihaylova and Martins 2019; Duckworth et al. 2019), so that it goes with
/// every decoder and keeps whole passes fused: the first, without gradient or dropout, predicts each token from
/// the gold ones before it; each token that the decoder of the second pass reads is with that probability the
/// gold one and else the most probable one of the first. The second pass is trained, towards the gold tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ScheduledSamplingConfig {
    /// Linear decay.
    Linear(LinearDecayConfig),
    /// Exponential decay.
    Exponential(ExponentialDecayConfig),
    /// Inverse sigmoid decay.
    InverseSigmoid(InverseSigmoidDecayConfig),
}

/// Linear decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearDecayConfig {
    /// Probability of a gold token at first; 1 unless told.
    pub start: f64,
    /// The least; 0.5 unless told.
    pub end: f64,
    /// Steps from one to the other; 10,000 unless told.
    pub steps: usize,
}

/// Exponential decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExponentialDecayConfig {
    /// What the probability of a gold token is multiplied with at each step; 0.9999 unless told.
    pub base: f64,
}

/// Inverse sigmoid decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InverseSigmoidDecayConfig {
    /// At least 1; half of the tokens are gold after `k ln k` steps. 1,000 unless told.
    pub k: f64,
}

impl Default for LinearDecayConfig {
    fn default() -> Self {
        Self {
            start: 1.0,
            end: 0.5,
            steps: 10_000,
        }
    }
}

impl Default for ExponentialDecayConfig {
    fn default() -> Self {
        Self { base: 0.9999 }
    }
}

impl Default for InverseSigmoidDecayConfig {
    fn default() -> Self {
        Self { k: 1000.0 }
    }
}

impl ScheduledSamplingConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        let share = |key: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(Error::config(key, format!("{value} is not from 0 to 1"))),
        };
        match self {
            Self::Linear(LinearDecayConfig { start, end, steps }) => {
                share("start", *start)?;
                share("end", *end)?;
                if end > start {
                    let reason = format!("{end} is above start, which is {start}");
                    return Err(Error::config("end", reason));
                }
                check::positive("steps", *steps as f64)
            }
            Self::Exponential(ExponentialDecayConfig { base }) => share("base", *base),
            Self::InverseSigmoid(InverseSigmoidDecayConfig { k }) => {
                match *k >= 1.0 && k.is_finite() {
                    true => Ok(()),
                    false => Err(Error::config("k", format!("{k} must be at least 1"))),
                }
            }
        }
    }

    /// The probability of a gold token in a step, counted from 1.
    fn gold_probability(&self, step: usize) -> f64 {
        let i = (step - 1) as f64;
        match *self {
            Self::Linear(LinearDecayConfig { start, end, steps }) => {
                f64::max(end, start - (start - end) * i / steps as f64)
            }
            Self::Exponential(ExponentialDecayConfig { base }) => base.powf(i),
            Self::InverseSigmoid(InverseSigmoidDecayConfig { k }) => k / (k + (i / k).exp()),
        }
    }

    /// What the model reads of a batch in a step; what is replaced is drawn from [`att_core::random`].
    ///
    /// - `model`: on a device with autodiff
    pub(crate) fn apply<'a>(
        &self,
        step: usize,
        model: &Seq2Seq,
        batch: &'a Batch,
    ) -> Cow<'a, Batch> {
        let gold = self.gold_probability(step);
        if gold >= 1.0 {
            return Cow::Borrowed(batch);
        }
        // Where the decoder reads a prediction, and where it is made among all that are.
        let tgt = &batch.tgt;
        let (mut places, mut predicted, mut first) = (Vec::new(), Vec::new(), 0);
        for (row, length) in tgt.lengths.iter().enumerate() {
            // BOS is given, and EOS is never read.
            let reads = length - 2;
            for (t, x) in random::uniform(reads, 0.5).into_iter().enumerate() {
                if f64::from(x) + 0.5 >= gold {
                    places.push(row * tgt.cols + t + 1);
                    predicted.push((first + t) as i64);
                }
            }
            first += length - 1;
        }
        if places.is_empty() {
            return Cow::Borrowed(batch);
        }
        let mut read = batch.clone();
        for (place, id) in places
            .into_iter()
            .zip(best(&model.valid(), batch, &predicted))
        {
            read.tgt.ids[place] = id;
        }
        Cow::Owned(read)
    }
}

/// Numbers of scores that exist at a time.
const SCORES_AT_A_TIME: usize = 1 << 22;

/// The most probable tokens at some of the real target positions, given the gold tokens before them.
fn best(model: &Seq2Seq, batch: &Batch, positions: &[i64]) -> Vec<u32> {
    let features = model.forward(batch).features;
    let positions = Tensor::<1, Int>::from_data(positions, &model.device());
    let features = features.select(positions);
    let [n, _] = features.vectors.dims();
    let at_a_time = (SCORES_AT_A_TIME / model.tgt_vocab()).max(1);
    let mut found = Vec::with_capacity(n);
    for start in (0..n).step_by(at_a_time) {
        let logits = model
            .decoder
            .logits(features.narrow(start, at_a_time.min(n - start)));
        let ids = logits.argmax(1).into_data();
        found.extend(ids.iter::<u32>());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::special::{BOS, EOS};
    use att_data::Example;
    use att_decoder::DecoderConfig;
    use att_model::ModelConfig;
    use burn::tensor::Device;

    fn parse(text: &str) -> ScheduledSamplingConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn each_decay_is_its_papers() {
        let near = |text: &str, step: usize, expected: f64| {
            let found = parse(text).gold_probability(step);
            assert!((found - expected).abs() < 1e-12, "{text} {step}: {found}");
        };
        let linear = "kind = 'linear'\nstart = 0.9\nend = 0.5\nsteps = 100";
        near(linear, 1, 0.9);
        near(linear, 51, 0.7);
        near(linear, 1001, 0.5);
        near("kind = 'exponential'\nbase = 0.5", 1, 1.0);
        near("kind = 'exponential'\nbase = 0.5", 4, 0.125);
        near("kind = 'inverse_sigmoid'\nk = 10.0", 1, 10.0 / 11.0);
        let k_ln_k = 10.0 * 10f64.ln();
        near(
            "kind = 'inverse_sigmoid'\nk = 10.0",
            24,
            10.0 / (10.0 + (23.0 / k_ln_k * 10f64.ln()).exp()),
        );
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (text, key) in [
            ("kind = 'linear'\nend = 1.5", "end: 1.5"),
            ("kind = 'linear'\nstart = 0.3", "end: 0.5 is above"),
            ("kind = 'linear'\nsteps = 0", "steps: 0"),
            ("kind = 'exponential'\nbase = -1", "base: -1"),
            ("kind = 'inverse_sigmoid'\nk = 0.5", "k: 0.5"),
        ] {
            let message = parse(text).validate().unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        }
    }

    #[test]
    fn the_decoder_reads_what_the_model_predicts_and_gold_tokens_stay_gold() {
        let device = Device::flex().autodiff();
        let examples: Vec<Example> = (1..8)
            .map(|n| Example {
                src: vec![5; n],
                tgt: (0..9 - n as u32).map(|t| 4 + t % 7).collect(),
                ..Default::default()
            })
            .collect();
        let batch = Batch::new(&examples, &(0..7).collect::<Vec<_>>());
        let all = parse("kind = 'linear'\nstart = 0.0\nend = 0.0");
        let some = parse("kind = 'linear'\nstart = 0.5\nend = 0.5");
        for decoder in DecoderConfig::all() {
            let mut config = ModelConfig {
                decoder,
                ..Default::default()
            };
            config.tgt_embedding.d_embed = 8;
            config.src_embedding.d_embed = 8;
            let model = config.init_seeded(12, 11, 3, &device).unwrap();
            let read = |config: &ScheduledSamplingConfig, seed| {
                random::seed(seed);
                config.apply(1, &model, &batch).into_owned()
            };
            // What a step-by-step reading of the gold tokens predicts.
            let output = model.valid().forward(&batch);
            let logits = model.valid().logits(&output);
            let best: Vec<u32> = logits.argmax(1).into_data().iter().collect();
            let (whole, half) = (read(&all, 1), read(&some, 1));
            assert_eq!(half, read(&some, 1), "the seed draws");
            assert_eq!((&whole.src, &whole.indices), (&batch.src, &batch.indices));
            let (mut at, mut replaced, mut places) = (0, 0, 0);
            for row in 0..7 {
                let (gold, whole, half) =
                    (batch.tgt.row(row), whole.tgt.row(row), half.tgt.row(row));
                assert_eq!((whole[0], whole[whole.len() - 1]), (BOS, EOS), "as before");
                for t in 1..gold.len() - 1 {
                    assert_eq!(whole[t], best[at + t - 1]);
                    assert!([gold[t], whole[t]].contains(&half[t]));
                    places += 1;
                    replaced += usize::from(half[t] == whole[t]);
                }
                at += gold.len() - 1;
            }
            assert!(
                replaced > places / 4 && replaced < places * 9 / 10,
                "{replaced}"
            );
        }
    }
}
