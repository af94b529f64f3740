use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use att_core::{Precision, on_kernel_threads, random};
use att_data::Batch;
use att_model::{Seq2Seq, weights};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::anchor::Anchor;
use crate::average::WeightAverage;
use crate::batch_loss::BatchLoss;
use crate::checkpoint::{Checkpoint, Numbers, Tensors, tensor};
use crate::guard::{Guard, GuardState, SkipReason};
use crate::lora::Lora;
use crate::optimizer::Optimizer;
use crate::replicas::Replicas;
use crate::{Diverged, Error, Result, TrainingConfig, gradients};

/// A model in training and its optimiser: [`step`](Self::step) is the one way to train on a batch,
/// for the [`Trainer`](crate::Trainer) and for [`TrainBench`](crate::TrainBench), which times it.
#[derive(Debug)]
pub struct TrainStep {
    seed: u64,
    clip_norm: f32,
    max_skipped: usize,
    pub(crate) loss: BatchLoss,
    /// None only while the optimiser has it, which writes to weights that nothing else holds.
    model: Option<Seq2Seq>,
    optimizer: Optimizer,
    guard: Guard,
    average: Option<WeightAverage>,
    anchor: Option<Anchor>,
    lora: Option<Lora>,
    replicas: Replicas,
}

/// What a checkpoint says of a [`TrainStep`], beside tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepState {
    /// Steps of the optimiser on each weight that it has changed.
    optimizer: BTreeMap<String, usize>,
    guard: GuardState,
    /// Steps in the mean of the weights.
    averaged: usize,
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
    /// Why the weights were left as they are; none where they changed.
    pub skipped: Option<Skipped>,
    /// Real source tokens of the batch, EOS included.
    pub src_tokens: usize,
    /// Predicted target tokens of the batch, EOS included.
    pub tgt_tokens: usize,
    /// How long its parts took.
    pub times: StepTimes,
}

/// A step that changed nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// Why.
    pub reason: SkipReason,
    /// Steps that were skipped up to this one, without a break.
    pub in_a_row: usize,
    /// The weights, and gradients of weights, that have numbers which are not finite, by name.
    pub not_finite: Vec<String>,
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
    /// - `model`: on a device with autodiff; what is frozen is frozen in it (`training.freeze` is not read
    ///   here)
    /// - `seed`: of the dropout masks
    pub fn new(model: Seq2Seq, training: &TrainingConfig, seed: u64) -> Self {
        Self {
            seed,
            clip_norm: training.clip_norm as f32,
            max_skipped: training.max_skipped,
            loss: BatchLoss::new(training),
            optimizer: training.optimizer.init(),
            guard: Guard::new(training),
            average: WeightAverage::new(training.average_decay),
            anchor: None,
            lora: None,
            model: Some(model),
            replicas: Replicas::default(),
        }
    }

    /// Trains on from the weights that the model has now: with [`TrainingConfig::l2_to_init`] and
    /// [`TrainingConfig::lora`], where they are set.
    ///
    /// # Errors
    ///
    /// If a part of a name that `lora` tells is in none.
    pub fn adapted(mut self, training: &TrainingConfig) -> Result<Self> {
        if let Some(config) = &training.lora {
            let model = self.model.take().expect("the optimiser gave it back");
            let (lora, model) = Lora::new(config, model, self.seed)?;
            (self.lora, self.model) = (Some(lora), Some(model));
        }
        let strength = training.l2_to_init;
        self.anchor = (strength > 0.0).then(|| Anchor::new(strength, self.model()));
        Ok(self)
    }

    /// Deals out the batches of an [`accumulated_step`](Self::accumulated_step) to these devices too: copies of the
    /// weights go there before a step, and the gradients come back. A CPU backend may be named again; its kernels
    /// then have their share of the threads each.
    pub fn with_devices(mut self, others: Vec<Device>) -> Self {
        self.replicas.others = others;
        self
    }

    /// The model as it is now.
    pub fn model(&self) -> &Seq2Seq {
        self.model.as_ref().expect("the optimiser gave it back")
    }

    /// The model to validate and keep, on a device without autodiff: that of the mean weights if there is
    /// a mean ([`TrainingConfig::average_decay`]), else the model as it is now.
    pub fn averaged(&self) -> Seq2Seq {
        let model = self.model().valid();
        match &self.average {
            Some(average) => average.apply(model),
            None => model,
        }
    }

    /// One step on one batch: loss, gradients, clipping, and the optimiser at the learning rate `lr`.
    ///
    /// `number` counts the steps of a run from 1. It decides the dropout masks, whatever came
    /// before.
    ///
    /// # Errors
    ///
    /// As of [`accumulated_step`](Self::accumulated_step).
    ///
    /// # Panics
    ///
    /// If the batch is empty, or the model's device has no autodiff.
    pub fn step(&mut self, number: usize, lr: f64, batch: &Batch) -> Result<StepOutput> {
        self.accumulated_step(number, lr, std::slice::from_ref(batch))
    }

    /// One step on several batches, taken one after the other, or on several devices at once
    /// ([`with_devices`](Self::with_devices)): as on one batch of all their rows, with the memory of one.
    ///
    /// ```text
    /// g = sum_i n_i/n grad loss_i        n = sum_i n_i
    /// ```
    ///
    /// where `loss_i` is the mean over the `n_i` predicted tokens of batch i. Dropout masks are of seed, step and
    /// i, whatever the device.
    ///
    /// The step is skipped, and the weights stay as they are, where the loss or the gradient is not finite or
    /// the gradient is a spike ([`TrainingConfig::spike_factor`]).
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`] if more than [`TrainingConfig::max_skipped`] steps in a row were skipped, and
    /// [`Error::DeviceLost`] if another process's device no longer answers.
    ///
    /// # Panics
    ///
    /// As of [`step`](Self::step), and if there is no batch.
    pub fn accumulated_step(
        &mut self,
        number: usize,
        lr: f64,
        batches: &[Batch],
    ) -> Result<StepOutput> {
        let seed = random::mix(self.seed, number as u64);
        let model = self.model();
        let device = model.device().inner();
        // All but BOS are predicted.
        let predicted = |batch: &Batch| batch.tgt.lengths.iter().map(|n| n - 1).sum::<usize>();
        let tgt_tokens: usize = batches.iter().map(predicted).sum();
        let take = |model: &Seq2Seq, i: usize| {
            let seed = match i {
                0 => seed,
                i => random::mix(seed, i as u64),
            };
            random::seed(seed);
            let batch = &batches[i];
            let begun = Instant::now();
            let share = predicted(batch) as f32 / tgt_tokens as f32;
            let found = self.loss.of(number, seed, model, batch);
            let (loss, nll) = (found.loss, share * found.nll);
            let value = share * loss.clone().into_scalar::<f32>();
            let forward = begun.elapsed();

            let begun = Instant::now();
            let loss = match batches {
                [_] => loss,
                _ => loss * share,
            };
            let gradients = GradientsParams::from_grads(loss.backward(), model);
            Taken {
                value,
                nll,
                gradients: gradients.to_device(&device, model),
                forward,
                backward: begun.elapsed(),
            }
        };
        let mut accumulator = GradientsAccumulator::new();
        let (mut value, mut nll) = (0.0, 0.0);
        let (mut forward, mut backward) = (Duration::ZERO, Duration::ZERO);
        let taken = self.replicas.take(model, batches.len(), take, |taken| {
            value += taken.value;
            nll += taken.nll;
            forward += taken.forward;
            backward += taken.backward;
            accumulator.accumulate(model, taken.gradients);
        });
        taken?;
        let begun = Instant::now();
        let mut gradients = accumulator.grads();
        if let Some(anchor) = &self.anchor {
            anchor.add(&mut gradients, model);
        }
        let lora = self.lora.as_ref();
        let of_factors = lora.map(|lora| lora.gradients(&mut gradients));
        let mut norm = gradients::norm(&gradients, model);
        if let (Some(lora), Some(of_factors)) = (lora, &of_factors) {
            norm = norm.hypot(gradients::norm(of_factors, &lora.factors));
        }
        backward += begun.elapsed();

        let begun = Instant::now();
        let skipped = match self.guard.judge(value, norm) {
            None => {
                self.take(lr, norm, gradients, of_factors);
                None
            }
            Some(reason) => Some(Skipped {
                reason,
                in_a_row: self.guard.state.in_a_row,
                not_finite: gradients::not_finite(&gradients, self.model()),
            }),
        };
        if let Some(last) = skipped.clone()
            && last.in_a_row > self.max_skipped
        {
            return Err(Error::Diverged(Box::new(Diverged {
                step: number,
                loss: value,
                grad_norm: norm,
                lr,
                last,
            })));
        }
        Ok(StepOutput {
            loss: value,
            nll,
            grad_norm: norm,
            skipped,
            src_tokens: batches.iter().flat_map(|batch| &batch.src.lengths).sum(),
            tgt_tokens,
            times: StepTimes {
                forward,
                backward,
                optimizer: begun.elapsed(),
            },
        })
    }

    /// Takes the step.
    fn take(
        &mut self,
        lr: f64,
        norm: f32,
        gradients: GradientsParams,
        of_factors: Option<GradientsParams>,
    ) {
        let scale = if self.clip_norm > 0.0 && norm > self.clip_norm {
            self.clip_norm / norm
        } else {
            1.0
        };
        let model = self.model.take().expect("the optimiser gave it back");
        let mut model = self.optimizer.step(lr, scale, model, gradients);
        if let (Some(lora), Some(gradients)) = (&mut self.lora, of_factors) {
            let factors = std::mem::take(&mut lora.factors);
            lora.factors = self.optimizer.step(lr, scale, factors, gradients);
            model = lora.merge(model);
        }
        if let Some(average) = &mut self.average {
            average.update(&model);
        }
        self.model = Some(model);
    }

    /// Its state, for a checkpoint.
    pub(crate) fn save(&self) -> (StepState, Tensors) {
        let mut tensors = Tensors::new();
        let model = self.model().valid();
        collect(&model, "model", &mut tensors);
        let mut named = weights::named(&model);
        if let Some(lora) = &self.lora {
            collect(&lora.factors, LORA, &mut tensors);
            named.extend(of_part(LORA, &lora.factors));
        }
        let mut optimizer = BTreeMap::new();
        for (name, weight) in named {
            if let Some((time, moments)) = self.optimizer.state(weight.id) {
                for (part, moment) in MOMENTS.into_iter().zip(moments) {
                    tensors.insert(format!("{part}.{name}"), Numbers::of(moment.clone()));
                }
                optimizer.insert(name, time);
            }
        }
        if let Some(average) = &self.average {
            collect(&average.apply(model), "average", &mut tensors);
        }
        let state = StepState {
            optimizer,
            guard: self.guard.state.clone(),
            averaged: self.average.as_ref().map_or(0, |average| average.steps),
        };
        (state, tensors)
    }

    /// Goes back to the state of a checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] if it is another model's.
    pub(crate) fn restore(mut self, checkpoint: &Checkpoint) -> Result<Self> {
        let (state, file) = (&checkpoint.state.step, checkpoint.tensors());
        let model = self.model.take().expect("the optimiser gave it back");
        let restore = || -> Result<Seq2Seq, String> {
            let model = weights::from_part(model, &file, "model.")?;
            let device = model.device().inner();
            let mut named = weights::named(&model);
            if let Some(lora) = &mut self.lora {
                let factors = std::mem::take(&mut lora.factors);
                lora.factors = weights::from_part(factors, &file, &format!("{LORA}."))?;
                named.extend(of_part(LORA, &lora.factors));
            }
            for (name, weight) in named {
                let len = weight.shape.iter().product();
                let read = |part: &str| tensor(&file, &format!("{part}.{name}"), len, &device);
                if let Some(&time) = state.optimizer.get(&name) {
                    let [first, second] = MOMENTS.map(read);
                    self.optimizer.restore(weight.id, time, [first?, second?]);
                }
                if let Some(average) = &mut self.average {
                    average.steps = state.averaged;
                    if average.steps > 0 && !name.starts_with(LORA) {
                        average.means.insert(weight.id, read("average")?);
                    }
                }
            }
            Ok(model)
        };
        self.model = Some(restore().map_err(|reason| checkpoint.refuse(reason))?);
        self.guard.state = state.guard.clone();
        Ok(self)
    }
}

/// What comes of a batch.
struct Taken {
    /// Its part of the loss.
    value: f32,
    /// Its part of the mean negative log-probability.
    nll: f32,
    gradients: GradientsParams,
    forward: Duration,
    backward: Duration,
}

/// The names of the optimiser's moments in a checkpoint.
const MOMENTS: [&str; 2] = ["moment_1", "moment_2"];

/// Where a checkpoint has the factors of low-rank adaptation.
const LORA: &str = "lora";

/// The weights of a module by their names with this part before.
fn of_part<M: Module>(part: &str, module: &M) -> impl Iterator<Item = (String, weights::Named)> {
    let named = weights::named(module).into_iter();
    named.map(move |(name, weight)| (format!("{part}.{name}"), weight))
}

/// The weights of a module under their names with this part before.
fn collect<M: Module>(module: &M, part: &str, into: &mut Tensors) {
    struct Collect<'a> {
        names: HashMap<ParamId, String>,
        into: &'a mut Tensors,
    }
    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = self.names[&param.id].clone();
            self.into.insert(name, Numbers::of(param.val()));
        }
    }
    let names = of_part(part, module).map(|(name, weight)| (weight.id, name));
    module.visit(&mut Collect {
        names: names.collect(),
        into,
    });
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
