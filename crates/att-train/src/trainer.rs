use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use att_data::{Batcher, Corpus, Example, Tokenizer, write_atomic};
use att_decoder::search::{SearchConfig, StrategyConfig};
use att_eval::Metric;
use att_model::{ModelConfig, ModelDirectory, Seq2Seq, Translator, weights};
use burn::module::Module;
use burn::tensor::Device;

use crate::evaluate::mean_nll;
use crate::step::{TrainStep, in_precision};
use crate::{
    Error, Event, ExperimentConfig, Observer, Result, Schedule, StepEvent, TokenizersConfig,
    ValidationEvent, evaluate,
};

/// One run of an experiment, into one directory:
///
/// | file | what |
/// | --- | --- |
/// | the [`ModelDirectory`]'s files | the best model so far by validation |
/// | `last.safetensors` | the weights at the last validation, and at the end |
/// | `experiment.toml` | the experiment, every setting written out |
/// | `log.jsonl` | the run's [`Event`]s, one a line |
#[derive(Debug)]
pub struct Trainer {
    config: ExperimentConfig,
    directory: ModelDirectory,
    batcher: Batcher,
    valid_batcher: Batcher,
    valid: Corpus,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Steps done.
    pub steps: usize,
    /// The best score of a validation, in percent.
    pub best_score: Option<f64>,
    /// Seconds.
    pub elapsed_s: f64,
    /// Real source tokens a second, over all steps, validation left out.
    pub src_tokens_per_s: f64,
    /// Real target tokens a second, likewise.
    pub tgt_tokens_per_s: f64,
    /// Whether the observer ended it.
    pub interrupted: bool,
}

impl Trainer {
    /// Trains the tokenisers, encodes the data, and makes the run's directory.
    ///
    /// `overwrite`: whether the files of a run that is there may be replaced. They are removed once
    /// settings and data have proved usable; a file that no run writes is never touched.
    ///
    /// # Errors
    ///
    /// If settings or data can't be used, or the directory has something in it that may not be
    /// replaced.
    pub fn create(
        config: ExperimentConfig,
        train: &Corpus,
        valid: &Corpus,
        run: impl Into<PathBuf>,
        overwrite: bool,
    ) -> Result<Self> {
        config.validate()?;
        let run = run.into();
        let old_run = old_run(&run, overwrite)?;
        let (src, tgt) = train_tokenizers(&config, train)?;
        // Settings that do not fit show before anything is written.
        let (n_src, n_tgt) = (src.vocab_size(), tgt.vocab_size());
        let batcher = Batcher::new(
            config.batch.clone(),
            examples(&config.model, train, &src, &tgt),
        )?;
        let valid_batcher = Batcher::new(
            config.batch.clone(),
            examples(&config.model, valid, &src, &tgt),
        )?;
        config.model.validate_vocabularies(n_src, n_tgt)?;
        for path in old_run {
            fs::remove_file(&path).map_err(|source| Error::Write { path, source })?;
        }
        let directory =
            ModelDirectory::create(&run, config.model.clone(), config.search.clone(), src, tgt)?;
        let experiment = toml::to_string(&config).expect("a configuration can be TOML");
        write_atomic(run.join(EXPERIMENT), experiment.as_bytes())?;
        Ok(Self {
            config,
            directory,
            batcher,
            valid_batcher,
            valid: valid.clone(),
        })
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Trains until a limit is reached, the score stops rising, or the observer says so.
    ///
    /// On one CPU backend and number of threads the same experiment gives the same bytes.
    ///
    /// # Errors
    ///
    /// If a file can't be written or the loss leaves the numbers; the best model saved before
    /// stays as it is.
    pub fn run(self, device: &Device, observer: &mut (impl Observer + Send)) -> Result<Summary> {
        in_precision(self.config.training.precision, || {
            Run::begin(&self, device, observer).and_then(Run::train)
        })
    }

    /// Steps that the run will have, unless it ends early.
    fn total_steps(&self) -> usize {
        let training = &self.config.training;
        // By tokens, epochs differ in their number of batches.
        let steps = (0..training.max_epochs as u64)
            .map(|epoch| self.batcher.epoch(self.config.seed, epoch).len())
            .sum();
        match training.max_steps {
            0 => steps,
            max_steps => max_steps.min(steps),
        }
    }
}

const EXPERIMENT: &str = "experiment.toml";
const LAST: &str = "last.safetensors";
const LOG: &str = "log.jsonl";
/// What commands may add to a run.
const PICTURE: &str = "attention.svg";
/// What a [`Comparison`](crate::Comparison) keeps of a run.
pub(crate) const COMPARED: &str = "compared.json";

/// The files of the run that is in a directory.
///
/// # Errors
///
/// If there are any and they may not be replaced, or if there is anything else.
fn old_run(run: &Path, overwrite: bool) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(run) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let mut ours = [EXPERIMENT, LAST, LOG, PICTURE, COMPARED]
            .into_iter()
            .chain(ModelDirectory::FILES);
        if !ours.any(|file| name == file) {
            return Err(Error::NotARun {
                path: run.into(),
                entry: name.to_string_lossy().into_owned(),
            });
        }
        files.push(entry.path());
    }
    if !files.is_empty() && !overwrite {
        return Err(Error::RunExists { path: run.into() });
    }
    Ok(files)
}

/// The tokenisers of an experiment, trained: that of the source and that of the target.
pub(crate) fn train_tokenizers(
    config: &ExperimentConfig,
    train: &Corpus,
) -> Result<(Tokenizer, Tokenizer)> {
    let TokenizersConfig { shared, src, tgt } = &config.tokenizer;
    let (in_src, in_tgt) = (
        Error::within("tokenizer.src"),
        Error::within("tokenizer.tgt"),
    );
    if *shared {
        let both = train.sources().chain(train.targets());
        let shared = src.train(both).map_err(in_src)?;
        return Ok((shared.clone(), shared));
    }
    Ok((
        src.train(train.sources()).map_err(in_src)?,
        tgt.train(train.targets()).map_err(in_tgt)?,
    ))
}

/// The pairs of a corpus as a model reads them.
pub(crate) fn examples(
    model: &ModelConfig,
    corpus: &Corpus,
    src: &Tokenizer,
    tgt: &Tokenizer,
) -> Vec<Example> {
    let pairs = corpus.pairs.iter();
    pairs.map(|pair| model.example(pair, src, tgt)).collect()
}

/// A run under way.
struct Run<'a, O> {
    trainer: &'a Trainer,
    observer: &'a mut O,
    log: File,
    stepper: TrainStep,
    schedule: Schedule,
    total_steps: usize,
    step: usize,
    begun: Instant,
    since: Since,
    trained: Trained,
    epoch: usize,
    best: Option<Validated>,
    without_better: usize,
    interrupted: bool,
}

/// What a validation found.
#[derive(Clone, Copy)]
struct Validated {
    score: f64,
    loss: f64,
}

impl Validated {
    /// By the metric; a tie, such as between two scores of zero, goes to the lower loss.
    fn is_better_than(&self, other: &Self, metric: Metric) -> bool {
        if self.score == other.score {
            self.loss < other.loss
        } else {
            (self.score > other.score) == metric.higher_is_better()
        }
    }
}

/// Sums over all reports.
#[derive(Default)]
struct Trained {
    seconds: f64,
    src_tokens: usize,
    tgt_tokens: usize,
}

/// Sums since the last report.
struct Since {
    begun: Instant,
    steps: usize,
    src_tokens: usize,
    tgt_tokens: usize,
    loss: f64,
    nll: f64,
    grad_norm: f64,
}

impl Since {
    fn now() -> Self {
        Self {
            begun: Instant::now(),
            steps: 0,
            src_tokens: 0,
            tgt_tokens: 0,
            loss: 0.0,
            nll: 0.0,
            grad_norm: 0.0,
        }
    }
}

impl<'a, O: Observer> Run<'a, O> {
    fn begin(trainer: &'a Trainer, device: &Device, observer: &'a mut O) -> Result<Self> {
        let path = trainer.path().join(LOG);
        let log = File::create(&path).map_err(|source| Error::Write { path, source })?;
        let seed = trainer.config.seed;
        let model = trainer.directory.init(seed, &device.clone().autodiff())?;
        let parameters = model.num_params();
        let (src_vocab, tgt_vocab) = (model.src_vocab(), model.tgt_vocab());
        let total_steps = trainer.total_steps();
        let mut run = Self {
            trainer,
            observer,
            log,
            stepper: TrainStep::new(model, &trainer.config.training, seed),
            schedule: trainer.config.training.schedule.init(total_steps),
            total_steps,
            step: 0,
            begun: Instant::now(),
            since: Since::now(),
            trained: Trained::default(),
            epoch: 1,
            best: None,
            without_better: 0,
            interrupted: false,
        };
        run.report(&Event::Start {
            parameters,
            examples: trainer.batcher.examples().len() - trainer.batcher.left_out(),
            left_out: trainer.batcher.left_out(),
            src_vocab,
            tgt_vocab,
            total_steps,
        })?;
        Ok(run)
    }

    fn model(&self) -> &Seq2Seq {
        self.stepper.model()
    }

    fn train(mut self) -> Result<Summary> {
        let training = &self.trainer.config.training;
        let mut validated_at = 0;
        'run: for epoch in 0..training.max_epochs {
            self.epoch = epoch + 1;
            for indices in self
                .trainer
                .batcher
                .epoch(self.trainer.config.seed, epoch as u64)
            {
                self.train_step(&indices)?;
                if self.step.is_multiple_of(training.log_every) {
                    self.report_steps()?;
                }
                let minutes = self.begun.elapsed().as_secs_f64() / 60.0;
                let out_of_time = training.max_minutes > 0.0 && minutes >= training.max_minutes;
                if self.observer.poll().is_break() {
                    self.interrupted = true;
                }
                if self.step >= self.total_steps || out_of_time || self.interrupted {
                    break 'run;
                }
                if training.valid_every > 0 && self.step.is_multiple_of(training.valid_every) {
                    validated_at = self.step;
                    if self.validate()?.is_break() {
                        break 'run;
                    }
                }
            }
            if training.valid_every == 0 {
                validated_at = self.step;
                if self.validate()?.is_break() {
                    break 'run;
                }
            }
        }
        if self.since.steps > 0 {
            self.report_steps()?;
        }
        if self.step > 0 && validated_at < self.step && !self.interrupted {
            let _ = self.validate()?;
        }
        self.save_last()?;
        if self.best.is_none() {
            // Nothing was validated: the last model is the best there is.
            self.trainer.directory.save_weights(self.model())?;
        }
        Ok(Summary {
            steps: self.step,
            best_score: self.best.map(|best| best.score),
            elapsed_s: self.begun.elapsed().as_secs_f64(),
            src_tokens_per_s: self.trained.src_tokens as f64 / self.trained.seconds,
            tgt_tokens_per_s: self.trained.tgt_tokens as f64 / self.trained.seconds,
            interrupted: self.interrupted,
        })
    }

    fn train_step(&mut self, indices: &[usize]) -> Result<()> {
        self.step += 1;
        let batch = self.trainer.batcher.batch(indices);
        let lr = self.schedule.lr(self.step);
        let done = self.stepper.step(self.step, lr, &batch)?;
        let tgt_tokens = done.tgt_tokens as f64;
        self.since.steps += 1;
        self.since.src_tokens += done.src_tokens;
        self.since.tgt_tokens += done.tgt_tokens;
        self.since.loss += f64::from(done.loss) * tgt_tokens;
        self.since.nll += f64::from(done.nll) * tgt_tokens;
        self.since.grad_norm += f64::from(done.grad_norm);
        Ok(())
    }

    fn report_steps(&mut self) -> Result<()> {
        let since = std::mem::replace(&mut self.since, Since::now());
        let seconds = since.begun.elapsed().as_secs_f64();
        self.trained.seconds += seconds;
        self.trained.src_tokens += since.src_tokens;
        self.trained.tgt_tokens += since.tgt_tokens;
        let elapsed_s = self.begun.elapsed().as_secs_f64();
        let left_steps = (self.total_steps - self.step) as f64;
        // Over the whole run, so that validation counts.
        let mut left_s = left_steps * elapsed_s / self.step as f64;
        let max_minutes = self.trainer.config.training.max_minutes;
        if max_minutes > 0.0 {
            left_s = left_s.min((max_minutes * 60.0 - elapsed_s).max(0.0));
        }
        let tokens = since.tgt_tokens as f64;
        self.report(&Event::Step(StepEvent {
            step: self.step,
            total_steps: self.total_steps,
            epoch: self.epoch,
            loss: since.loss / tokens,
            ppl: (since.nll / tokens).exp(),
            lr: self.schedule.lr(self.step),
            grad_norm: since.grad_norm / since.steps as f64,
            src_tokens_per_s: since.src_tokens as f64 / seconds,
            tgt_tokens_per_s: tokens / seconds,
            elapsed_s,
            left_s,
        }))
    }

    /// Scores the model and keeps it if it is the best; `Break` where patience has run out.
    fn validate(&mut self) -> Result<ControlFlow<()>> {
        let training = &self.trainer.config.training;
        let paused = Instant::now();
        let model = self.model().valid();
        let loss = mean_nll(&model, &self.trainer.valid_batcher);
        let search = SearchConfig {
            // A score that decides which weights are kept is no matter of chance.
            strategy: StrategyConfig::default(),
            beam_size: training.valid_beam_size,
            n_best: 1,
            ..self.trainer.config.search.clone()
        };
        let translator = Translator::new(self.trainer.directory.clone(), model);
        let evaluation = evaluate(&translator, &self.trainer.valid, &search, training.metric)?;
        let found = Validated {
            score: evaluation.score,
            loss,
        };
        let better = match &self.best {
            None => true,
            Some(best) => found.is_better_than(best, training.metric),
        };
        self.schedule.validated(better);
        self.save_last()?;
        if better {
            self.best = Some(found);
            self.without_better = 0;
            self.trainer.directory.save_weights(translator.model())?;
        } else {
            self.without_better += 1;
        }
        let sample = self.step % evaluation.sources.len();
        self.report(&Event::Validation(ValidationEvent {
            step: self.step,
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
            elapsed_s: self.begun.elapsed().as_secs_f64(),
        }))?;
        // Validation does not count as training time in the speed of the next report.
        self.since.begun += paused.elapsed();
        let patience = training.patience;
        Ok(if patience > 0 && self.without_better >= patience {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn save_last(&self) -> Result<()> {
        let path = self.trainer.path().join(LAST);
        Ok(write_atomic(path, &weights::to_bytes(self.model()))?)
    }

    fn report(&mut self, event: &Event) -> Result<()> {
        let line = serde_json::to_string(event).expect("an event can be JSON");
        writeln!(self.log, "{line}").map_err(|source| Error::Write {
            path: self.trainer.path().join(LOG),
            source,
        })?;
        if self.observer.observe(event).is_break() {
            self.interrupted = true;
        }
        Ok(())
    }
}
