use std::time::{Duration, Instant};

use att_core::{Precision, on_kernel_threads, random};
use att_data::Batch;
use att_model::Seq2Seq;
use burn::optim::GradientsParams;

use crate::optimizer::Optimizer;
use crate::{Error, Result, TrainingConfig, gradients};

/// A model in training and its optimiser: [`step`](Self::step) is the one way to train on a batch,
/// for the [`Trainer`](crate::Trainer) and for [`TrainBench`](crate::TrainBench), which times it.
#[derive(Debug)]
pub struct TrainStep {
    seed: u64,
    label_smoothing: f64,
    clip_norm: f32,
    /// None only while the optimiser has it, which writes to weights that nothing else holds.
    model: Option<Seq2Seq>,
    optimizer: Optimizer,
}

/// What [`TrainStep::step`] did.
#[derive(Clone, Debug)]
pub struct StepOutput {
    /// Mean loss a token before the step, in nats, smoothing and auxiliary losses included.
    pub loss: f32,
    /// The mean negative log-probability of a gold token alone.
    pub nll: f32,
    /// Norm of the gradient, before clipping.
    pub grad_norm: f32,
    /// Real source tokens of the batch, EOS included.
    pub src_tokens: usize,
    /// Predicted target tokens of the batch, EOS included.
    pub tgt_tokens: usize,
    /// How long its parts took.
    pub times: StepTimes,
}

/// How long the parts of a step took. A GPU may still be at work when a part ends; forward and
/// backward end with a number that is read, so only the optimiser's work can show in what follows.
#[derive(Clone, Copy, Debug)]
pub struct StepTimes {
    /// The loss.
    pub forward: Duration,
    /// The gradients and their norm.
    pub backward: Duration,
    /// The new weights.
    pub optimizer: Duration,
}

impl TrainStep {
    /// Before the first step.
    ///
    /// - `model`: on a device with autodiff
    /// - `seed`: of the dropout masks
    pub fn new(model: Seq2Seq, training: &TrainingConfig, seed: u64) -> Self {
        Self {
            seed,
            label_smoothing: training.label_smoothing,
            clip_norm: training.clip_norm as f32,
            optimizer: training.optimizer.init(),
            model: Some(model),
        }
    }

    /// The model as it is now.
    pub fn model(&self) -> &Seq2Seq {
        self.model.as_ref().expect("the optimiser gave it back")
    }

    /// One step on one batch: loss, gradients, clipping, and the optimiser at the learning rate `lr`.
    ///
    /// `number` counts the steps of a run from 1. It decides the dropout masks, whatever came
    /// before.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`] if the loss or the gradient leaves the numbers; the weights stay as they
    /// are then.
    ///
    /// # Panics
    ///
    /// If the batch is empty, or the model's device has no autodiff.
    pub fn step(&mut self, number: usize, lr: f64, batch: &Batch) -> Result<StepOutput> {
        let begun = Instant::now();
        random::seed(random::mix(self.seed, number as u64));
        let model = self.model();
        let output = model.forward(batch);
        let cross_entropy = model.cross_entropy(&output, self.label_smoothing);
        let tgt_tokens = output.gold.len();
        let loss = match output.auxiliary_loss.clone() {
            Some(auxiliary) => cross_entropy.loss + auxiliary,
            None => cross_entropy.loss,
        };
        drop(output);
        let value: f32 = loss.clone().into_scalar();
        let nll: f32 = cross_entropy.nll.into_scalar();
        let forward = begun.elapsed();
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        let norm = gradients::norm(&gradients, model);
        let backward = begun.elapsed() - forward;
        if !value.is_finite() || !norm.is_finite() {
            return Err(Error::Diverged {
                step: number,
                loss: value,
                grad_norm: norm,
            });
        }
        let scale = if self.clip_norm > 0.0 && norm > self.clip_norm {
            self.clip_norm / norm
        } else {
            1.0
        };
        let model = self.model.take().expect("the optimiser gave it back");
        self.model = Some(self.optimizer.step(lr, scale, model, gradients));
        Ok(StepOutput {
            loss: value,
            nll,
            grad_norm: norm,
            src_tokens: batch.src.lengths.iter().sum(),
            tgt_tokens,
            times: StepTimes {
                forward,
                backward,
                optimizer: begun.elapsed() - forward - backward,
            },
        })
    }
}

/// Runs on the kernels' threads with the products in this precision, and sets back what was there
/// before.
pub(crate) fn in_precision<T: Send>(precision: Precision, run: impl FnOnce() -> T + Send) -> T {
    let before = att_core::precision();
    att_core::set_precision(precision);
    let result = on_kernel_threads(run);
    att_core::set_precision(before);
    result
}
