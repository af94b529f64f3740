use std::borrow::Cow;
use std::sync::Arc;

use att_data::Batch;
use att_model::Seq2Seq;
use burn::tensor::Tensor;

use crate::guided_alignment::Guide;
use crate::minimum_risk::MinimumRisk;
use crate::r_drop::divergence;
use crate::word_dropout::WordDropout;
use crate::{ScheduledSamplingConfig, TrainingConfig};

/// What a model is trained to make small: the cross-entropy of a batch's gold tokens, with all that the settings
/// and the model's parts add to it or put in its place.
#[derive(Debug)]
pub(crate) struct BatchLoss {
    label_smoothing: f64,
    r_drop: f64,
    word_dropout: WordDropout,
    scheduled_sampling: Option<ScheduledSamplingConfig>,
    /// Of the examples by whose indices batches are made.
    pub(crate) guide: Option<Arc<Guide>>,
    pub(crate) minimum_risk: Option<MinimumRisk>,
}

/// What [`BatchLoss::of`] computes.
pub(crate) struct Loss {
    /// Its mean a predicted token, `[1]`.
    pub(crate) loss: Tensor<1>,
    /// The mean negative log-probability of a gold token alone.
    pub(crate) nll: f32,
}

impl BatchLoss {
    pub(crate) fn new(training: &TrainingConfig) -> Self {
        Self {
            label_smoothing: training.label_smoothing,
            r_drop: training.r_drop,
            word_dropout: WordDropout::new(training),
            scheduled_sampling: training.scheduled_sampling.clone(),
            guide: None,
            minimum_risk: None,
        }
    }

    /// The loss of a batch in the step of this number, from 1; masks are from [`att_core::random`].
    ///
    /// - `seed`: of samples, another one in each step
    pub(crate) fn of(&self, step: usize, seed: u64, model: &Seq2Seq, batch: &Batch) -> Loss {
        let read = match &self.scheduled_sampling {
            Some(sampling) => sampling.apply(step, model, batch),
            None => Cow::Borrowed(batch),
        };
        let pass = || {
            let output = model.forward_reading(&self.word_dropout.apply(&read), batch);
            let cross_entropy = model.cross_entropy(&output, self.label_smoothing);
            let nll: f32 = cross_entropy.nll.into_scalar();
            let guide = self.guide.as_ref();
            let guided = guide.map(|guide| guide.loss(step, &output, batch));
            let added = output.auxiliary_loss.clone().into_iter().chain(guided);
            let loss = added.fold(cross_entropy.loss, |loss, term| loss + term);
            (Loss { loss, nll }, output)
        };
        let mut found = if self.r_drop > 0.0 {
            let [(one, first), (other, second)] = [pass(), pass()];
            let logits = [first, second].map(|output| model.logits(&output));
            Loss {
                loss: (one.loss + other.loss) * 0.5 + divergence(logits) * self.r_drop,
                nll: (one.nll + other.nll) / 2.0,
            }
        } else {
            pass().0
        };
        if let Some(minimum_risk) = &self.minimum_risk {
            let risk = minimum_risk.loss(seed, model, batch);
            found.loss = match minimum_risk.config.cross_entropy {
                0.0 => risk,
                weight => risk + found.loss * weight,
            };
        }
        found
    }
}
