//! A run from its first step to its last.

use std::fs;
use std::io::Write;
use std::time::Instant;

use att_core::is_cpu;
use att_data::{Batch, Prefetch, write_atomic};
use att_model::{Seq2Seq, Translator, weights};
use burn::module::Module;
use burn::tensor::Device;

use super::{Resumed, Summary, Trainer, valid_search};
use crate::checkpoint::{self, State};
use crate::evaluate::mean_nll;
use crate::process::peak_rss_mb;
use crate::progress::{Progress, Validated};
use crate::run_directory::{LAST, LOG, is_temporary};
use crate::samples::samples;
use crate::step::TrainStep;
use crate::{
    Error, Event, Observer, Result, Schedule, SkippedEvent, StepEvent, ValidationEvent, evaluate,
};

/// A run under way.
pub(super) struct Run<'a, O> {
    trainer: &'a Trainer,
    observer: &'a mut O,
    stepper: TrainStep,
    batches: Prefetch,
    schedule: Schedule,
    total_steps: usize,
    progress: Progress,
    /// When this part of the run began.
    begun: Instant,
    /// When, and after which step, the last checkpoint was saved.
    saved: (Instant, usize),
    skipped: usize,
    interrupted: bool,
}

impl<'a, O: Observer> Run<'a, O> {
    pub(super) fn begin(
        trainer: &'a Trainer,
        resumed: Option<Resumed>,
        devices: &[Device],
        observer: &'a mut O,
    ) -> Result<Self> {
        let training = &trainer.config.training;
        let others = devices[1..].iter().map(|one| one.clone().autodiff());
        let mut stepper = trainer.stepper(&devices[0])?.with_devices(others.collect());
        let model = stepper.model();
        let parameters = model.num_params();
        let (src_vocab, tgt_vocab) = (model.src_vocab(), model.tgt_vocab());
        let total_steps = trainer.total_steps();
        let mut progress = Progress::default();
        let mut event = Event::Start {
            parameters,
            examples: trainer.batches.batcher.usable().len(),
            left_out: trainer.data.dropped.too_long,
            valid_examples: trainer.valid.pairs.len(),
            src_vocab,
            tgt_vocab,
            total_steps,
        };
        if let Some(Resumed {
            checkpoint,
            damaged,
        }) = resumed
        {
            stepper = stepper.restore(&checkpoint)?;
            progress = checkpoint.state.progress;
            event = Event::Resume {
                step: progress.step,
                total_steps,
                damaged: damaged.iter().map(|(_, error)| error.to_string()).collect(),
                elapsed_s: progress.elapsed_s,
            };
            // Else they would count as the last ones.
            damaged
                .iter()
                .try_for_each(|(path, _)| checkpoint::remove(path))?;
        }
        let mut schedule = training.schedule.init(total_steps);
        schedule.reduction = progress.reduction.clone();
        let epochs = progress.epoch as u64..training.max_epochs as u64;
        let mut run = Self {
            trainer,
            observer,
            stepper,
            batches: trainer.batches.prefetch(epochs, progress.batch),
            schedule,
            total_steps,
            begun: Instant::now(),
            saved: (Instant::now(), progress.step),
            progress,
            skipped: 0,
            interrupted: false,
        };
        run.clean_up()?;
        let data = Event::Data(trainer.data.clone());
        if !trainer.data.is_plain() {
            match event {
                Event::Resume { .. } => _ = run.observer.observe(&data),
                _ => run.report(&data)?,
            }
        }
        run.report(&event)?;
        if let (Event::Start { .. }, Some(origin)) = (&event, &trainer.origin) {
            for found in origin.events() {
                run.report(&Event::Vocabulary(found))?;
            }
        }
        if is_cpu(&devices[0]) && !training.precision.is_native() {
            let text = "training.precision: this processor has neither AMX nor AVX-512 with bf16, so products of \
                        factors rounded to bf16 take longer than those of f32";
            run.report(&Event::Warning { text: text.into() })?;
        }
        Ok(run)
    }

    /// Removes what was written behind the checkpoint, and what was not written to its end.
    fn clean_up(&self) -> Result<()> {
        let log = &self.trainer.log;
        let bytes = self.progress.log_bytes;
        let cut = || match log.metadata()?.len() > bytes {
            true => log.set_len(bytes),
            false => Ok(()),
        };
        cut().map_err(|source| self.log_error(source))?;
        for entry in fs::read_dir(self.trainer.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            if is_temporary(&entry.file_name().to_string_lossy()) {
                checkpoint::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    pub(super) fn train(mut self) -> Result<Summary> {
        let training = &self.trainer.config.training;
        'run: while self.progress.epoch < training.max_epochs {
            let batches = self.batches.next_plan().expect("as many plans as epochs");
            loop {
                // Each part of this looks at where the run stands, so a resumed one enters here.
                if self.interrupted || self.is_over() {
                    break 'run;
                }
                if self.validation_is_due(batches) {
                    self.validate()?;
                    continue;
                }
                if self.checkpoint_is_due() {
                    self.save_checkpoint()?;
                }
                let rest = batches - self.progress.batch;
                if rest == 0 {
                    break;
                }
                self.train_step(training.accumulate.min(rest))?;
                if self.progress.step.is_multiple_of(training.log_every) {
                    self.report_steps()?;
                }
                if self.observer.poll().is_break() {
                    self.interrupted = true;
                }
            }
            self.progress.epoch += 1;
            self.progress.batch = 0;
        }
        // Before the last report and validation, which a longer run would not have had.
        if training.keep > 0 && self.saved.1 < self.progress.step {
            self.save_checkpoint()?;
        }
        if self.progress.since.steps > 0 {
            self.report_steps()?;
        }
        if self.progress.validated_at < self.progress.step && !self.interrupted {
            self.validate()?;
        }
        let model = self.stepper.averaged();
        self.save_last(&model)?;
        if self.progress.best.is_none() {
            // Nothing was validated: the last model is the best there is.
            self.trainer.directory.save_weights(&model)?;
        }
        Ok(Summary {
            steps: self.progress.step,
            skipped: self.skipped,
            best_score: self.progress.best.map(|best| best.score),
            elapsed_s: self.elapsed_s(),
            src_tokens_per_s: self.progress.trained.src_tokens_per_s(),
            tgt_tokens_per_s: self.progress.trained.tgt_tokens_per_s(),
            waiting: self.progress.trained.waiting(),
            peak_rss_mb: peak_rss_mb(),
            interrupted: self.interrupted,
        })
    }

    /// Seconds of training, over all parts of the run.
    fn elapsed_s(&self) -> f64 {
        self.progress.elapsed_s + self.begun.elapsed().as_secs_f64()
    }

    /// Whether there is no step left, no time or no patience.
    fn is_over(&self) -> bool {
        let training = &self.trainer.config.training;
        let (step, minutes) = (self.progress.step, self.elapsed_s() / 60.0);
        step >= self.total_steps
            || (training.max_minutes > 0.0 && step > 0 && minutes >= training.max_minutes)
            || (training.patience > 0 && self.progress.without_better >= training.patience)
    }

    fn validation_is_due(&self, batches: usize) -> bool {
        let Progress {
            step,
            batch,
            validated_at,
            ..
        } = self.progress;
        let due = match self.trainer.config.training.valid_every {
            0 => batch == batches,
            valid_every => step.is_multiple_of(valid_every),
        };
        due && validated_at < step
    }

    fn checkpoint_is_due(&self) -> bool {
        let training = &self.trainer.config.training;
        let (saved, saved_at) = self.saved;
        let step = self.progress.step;
        let minutes = saved.elapsed().as_secs_f64() / 60.0;
        training.keep > 0
            && step > saved_at
            && (self.progress.validated_at == step
                || (training.save_every > 0 && step.is_multiple_of(training.save_every))
                || (training.save_minutes > 0.0 && minutes >= training.save_minutes))
    }

    fn save_checkpoint(&mut self) -> Result<()> {
        let (step, tensors) = self.stepper.save();
        let broken = tensors.iter().filter(|(_, numbers)| !numbers.is_finite());
        let names: Vec<String> = broken.map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            let step = self.progress.step;
            return Err(Error::NotFinite { step, names });
        }
        let log_bytes = self
            .trainer
            .log
            .sync_data()
            .and_then(|()| self.trainer.log.metadata());
        let progress = Progress {
            elapsed_s: self.elapsed_s(),
            reduction: self.schedule.reduction.clone(),
            log_bytes: log_bytes.map_err(|source| self.log_error(source))?.len(),
            ..self.progress.clone()
        };
        let state = State::new(self.trainer.identity.clone(), progress, step);
        let keep = self.trainer.config.training.keep;
        checkpoint::write(self.trainer.path(), &state, &tensors, keep)?;
        self.saved = (Instant::now(), self.progress.step);
        Ok(())
    }

    /// A step on the next `n` batches.
    fn train_step(&mut self, n: usize) -> Result<()> {
        let batches = (0..n).map(|_| self.batches.next_batch());
        let batches = batches.collect::<Result<Vec<Batch>, _>>()?;
        self.progress.step += 1;
        self.progress.batch += n;
        let step = self.progress.step;
        let lr = self.schedule.lr(step);
        let done = self.stepper.accumulated_step(step, lr, &batches)?;
        let since = &mut self.progress.since;
        since.steps += 1;
        since.src_tokens += done.src_tokens;
        since.tgt_tokens += done.tgt_tokens;
        if let Some(skipped) = done.skipped {
            since.skipped += 1;
            self.skipped += 1;
            return self.report(&Event::Skipped(SkippedEvent {
                step,
                lr,
                loss: done.loss,
                grad_norm: done.grad_norm,
                skipped,
            }));
        }
        let tgt_tokens = done.tgt_tokens as f64;
        since.loss_tokens += done.tgt_tokens;
        since.loss += f64::from(done.loss) * tgt_tokens;
        since.nll += f64::from(done.nll) * tgt_tokens;
        since.grad_norm += f64::from(done.grad_norm);
        Ok(())
    }

    fn report_steps(&mut self) -> Result<()> {
        let since = std::mem::take(&mut self.progress.since);
        let seconds = since.begun.elapsed().as_secs_f64();
        let waited = self.batches.take_waited().as_secs_f64();
        self.progress.trained.add(&since, seconds, waited);
        let elapsed_s = self.elapsed_s();
        let step = self.progress.step;
        let left_steps = self.total_steps.saturating_sub(step) as f64;
        // Over the whole run, so that validation counts.
        let mut left_s = left_steps * elapsed_s / step as f64;
        let max_minutes = self.trainer.config.training.max_minutes;
        if max_minutes > 0.0 {
            left_s = left_s.min((max_minutes * 60.0 - elapsed_s).max(0.0));
        }
        let tokens = since.loss_tokens as f64;
        self.report(&Event::Step(StepEvent {
            step,
            total_steps: self.total_steps,
            epoch: self.progress.epoch + 1,
            loss: since.loss / tokens,
            ppl: (since.nll / tokens).exp(),
            lr: self.schedule.lr(step),
            grad_norm: since.grad_norm / (since.steps - since.skipped) as f64,
            skipped: since.skipped,
            src_tokens_per_s: since.src_tokens as f64 / seconds,
            tgt_tokens_per_s: since.tgt_tokens as f64 / seconds,
            waiting: waited / seconds,
            elapsed_s,
            left_s,
        }))
    }

    /// Scores the model and keeps it if it is the best.
    fn validate(&mut self) -> Result<()> {
        let training = &self.trainer.config.training;
        let paused = Instant::now();
        let step = self.progress.step;
        let model = self.stepper.averaged();
        let loss = mean_nll(&model, &self.trainer.valid_batcher)?;
        let search = valid_search(&self.trainer.config);
        let translator = Translator::new(self.trainer.directory.clone(), model);
        let evaluation = evaluate(&translator, &self.trainer.valid, &search, training.metric)?;
        let found = Validated {
            score: evaluation.score,
            loss,
        };
        let better = match &self.progress.best {
            None => true,
            Some(best) => found.is_better_than(best, training.metric),
        };
        self.schedule.validated(better);
        self.progress.validated_at = step;
        self.save_last(translator.model())?;
        if better {
            self.progress.best = Some(found);
            self.progress.without_better = 0;
            self.trainer.directory.save_weights(translator.model())?;
        } else {
            self.progress.without_better += 1;
        }
        let sample = step % evaluation.sources.len();
        self.report(&Event::Validation(ValidationEvent {
            step,
            loss,
            ppl: loss.exp(),
            metric: training.metric.to_string(),
            score: evaluation.score,
            best: better,
            sample: [
                evaluation.sources[sample].clone(),
                evaluation.outputs[sample].clone(),
                evaluation.references[sample].join(" | "),
            ],
            samples: samples(&translator, &evaluation, &search)?,
            elapsed_s: self.elapsed_s(),
        }))?;
        // Validation does not count as training time in the speed of the next report.
        self.progress.since.begun += paused.elapsed();
        Ok(())
    }

    fn save_last(&self, model: &Seq2Seq) -> Result<()> {
        let path = self.trainer.path().join(LAST);
        Ok(write_atomic(path, &weights::to_bytes(model))?)
    }

    fn report(&mut self, event: &Event) -> Result<()> {
        let line = serde_json::to_string(event).expect("an event can be JSON") + "\n";
        let mut log = &self.trainer.log;
        log.write_all(line.as_bytes())
            .map_err(|source| self.log_error(source))?;
        if self.observer.observe(event).is_break() {
            self.interrupted = true;
        }
        Ok(())
    }

    fn log_error(&self, source: std::io::Error) -> Error {
        let path = self.trainer.path().join(LOG);
        Error::Write { path, source }
    }
}
