use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use att_data::{
    Batch, BatchBy, Batcher, BatcherConfig, Corpus, Example, Prefetch, Tokenizer, write_atomic,
};
use att_decoder::search::{SearchConfig, StrategyConfig};
use att_model::{ModelConfig, ModelDirectory, Seq2Seq, Translator, weights};
use burn::module::Module;
use burn::tensor::Device;

use crate::auto_batch::Trial;
use crate::batches::Batches;
use crate::checkpoint::{self, Checkpoint, State};
use crate::data::{self, train_tokenizers};
use crate::evaluate::mean_nll;
use crate::fine_tuning::{self, Origin};
use crate::freeze::freeze;
use crate::guided_alignment::Guide;
use crate::identity::{Fingerprint, Identity};
use crate::minimum_risk::MinimumRisk;
use crate::process::peak_rss_mb;
use crate::progress::{Progress, Validated};
use crate::run_directory::{LAST, LOG, is_temporary, old_run, open_log, write_experiment};
use crate::samples::samples;
use crate::step::{TrainStep, in_precision};
use crate::{
    BatchSize, DataEvent, Error, Event, ExperimentConfig, NewVocabulary, Observer, Result,
    Schedule, SkippedEvent, StepEvent, TrainingData, ValidationEvent, evaluate,
};

/// One run of an experiment, into one directory:
///
/// | file | what |
/// | --- | --- |
/// | the [`ModelDirectory`]'s files | the best model so far by validation |
/// | `last.safetensors` | the weights at the last validation, and at the end |
/// | `checkpoint-00001200.safetensors` | the state after so many steps, the last few of them |
/// | `experiment.toml` | the experiment, every setting written out |
/// | `log.jsonl` | the run's [`Event`]s, one a line |
///
/// Beside these `att` puts `report.html`, `attention.svg`, and the files of [`TensorBoard`](crate::TensorBoard).
#[derive(Debug)]
pub struct Trainer {
    config: ExperimentConfig,
    directory: ModelDirectory,
    batches: Batches,
    data: DataEvent,
    valid_batcher: Batcher,
    valid: Corpus,
    identity: Identity,
    /// Open, empty or what a run before has left, and locked.
    log: File,
    origin: Option<Origin>,
    guide: Option<Arc<Guide>>,
    resumed: Option<Resumed>,
}

/// How a run begins.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Whether the files of a run that is there may be replaced. They are removed once settings and data
    /// have proved usable; a file that no run writes is never touched. False unless told.
    pub overwrite: bool,
    /// Whether to go on from the last checkpoint of the run that is there, if there is one: on the same CPU
    /// backend and number of threads to the same bytes as without the break. Settings and data must be
    /// those of before. False unless told.
    pub resume: bool,
    /// A model directory whose tokenisers and weights are those that the run begins with. Settings of
    /// tokenisers are not read then, and the model's must give it the same weights. None unless told.
    pub init_from: Option<PathBuf>,
    /// Other vocabularies than those of that model; a run that goes on has those that it began with. None
    /// unless told.
    pub new_vocabulary: Option<NewVocabulary>,
    /// Old data, batches of which come between those of the new
    /// ([`TrainingConfig::replay`](crate::TrainingConfig)). None unless told.
    pub replay: Option<Corpus>,
    /// A file with the alignments of the training pairs, a line each in the Pharaoh format, for
    /// [`TrainingConfig::guided_alignment`](crate::TrainingConfig). None unless told.
    pub alignments: Option<PathBuf>,
    /// A directory, such as the run's own, where the ids of the training data are kept: they need not be in
    /// memory then, and are found again by whoever trains on the same text with the same tokenisers. None
    /// unless told.
    pub cache: Option<PathBuf>,
    /// Whether the size of batches is to be found ([`Trainer::find_batch_size`]) and not that of the experiment:
    /// a run that goes on takes the one that was found before. False unless told.
    pub auto_batch: bool,
}

/// Where a run goes on.
#[derive(Debug)]
struct Resumed {
    checkpoint: Checkpoint,
    /// Newer ones that are of no use, and why.
    damaged: Vec<(PathBuf, Error)>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Steps done.
    pub steps: usize,
    /// Of these, steps that were skipped since the run began or went on.
    pub skipped: usize,
    /// The best score of a validation, in percent.
    pub best_score: Option<f64>,
    /// Seconds, over all parts of the run.
    pub elapsed_s: f64,
    /// Real source tokens a second, over all steps, validation left out.
    pub src_tokens_per_s: f64,
    /// Real target tokens a second, likewise.
    pub tgt_tokens_per_s: f64,
    /// The share of the time of all steps in which training waited for data, from 0 to 1.
    pub waiting: f64,
    /// The greatest amount of memory that this process held, in MB of 10^6 bytes; none where the system does
    /// not tell.
    pub peak_rss_mb: Option<f64>,
    /// Whether the observer ended it.
    pub interrupted: bool,
}

impl Trainer {
    /// [`start`](Self::start)s a run with new weights.
    ///
    /// # Errors
    ///
    /// As of [`start`](Self::start).
    pub fn create<'a>(
        config: ExperimentConfig,
        train: impl Into<TrainingData<'a>>,
        valid: &Corpus,
        run: impl Into<PathBuf>,
        overwrite: bool,
    ) -> Result<Self> {
        let start = Start {
            overwrite,
            ..Default::default()
        };
        Self::start(config, train, valid, run, &start)
    }

    /// Trains the tokenisers, encodes the data, and makes the run's directory; or reads where the run that
    /// is there goes on.
    ///
    /// # Errors
    ///
    /// If settings or data can't be used, or the directory has something in it that may not be
    /// replaced, or a run that can't go on so.
    pub fn start<'a>(
        mut config: ExperimentConfig,
        train: impl Into<TrainingData<'a>>,
        valid: &Corpus,
        run: impl Into<PathBuf>,
        start: &Start,
    ) -> Result<Self> {
        config.validate()?;
        fine_tuning::check(&config, start)?;
        let train = train.into();
        let run = run.into();
        let resumed = match start.resume {
            true => find_checkpoint(&run)?,
            false => None,
        };
        if let (true, Some(Resumed { checkpoint, .. })) = (start.auto_batch, &resumed) {
            let before = ExperimentConfig::from_toml(&checkpoint.state.identity.experiment)?;
            let BatcherConfig {
                batch_by,
                batch_size,
                ..
            } = before.batch;
            (config.batch.batch_by, config.batch.batch_size) = (batch_by, batch_size);
        }
        // What was killed before it had anything to go on from may begin again.
        let old_run = old_run(&run, start.overwrite || start.resume)?;
        let [_, src_file, tgt_file, _] = ModelDirectory::FILES;
        let model = start.init_from.as_ref().map(ModelDirectory::open);
        let model = model.transpose()?;
        let (src, tgt) = match (&resumed, &model, start.new_vocabulary) {
            (Some(_), ..) => (
                Tokenizer::load(run.join(src_file))?,
                Tokenizer::load(run.join(tgt_file))?,
            ),
            (None, Some(model), Some(new)) => {
                let data = fine_tuning::all_data(&*train.read()?, start.replay.as_ref());
                new.tokenizers(model, &config, &data)?
            }
            (None, Some(model), None) => (model.src_tokenizer.clone(), model.tgt_tokenizer.clone()),
            (None, None, _) => train_tokenizers(&config, train)?,
        };
        // Settings that do not fit show before anything is written.
        let (n_src, n_tgt) = (src.vocab_size(), tgt.vocab_size());
        let data = data::load(&config, train, &src, &tgt, start.cache.as_deref())?;
        // Validation leaves out nothing.
        let valid_config = BatcherConfig {
            min_len: 0,
            max_ratio: 0.0,
            ..config.batch.clone()
        };
        let valid_batcher = Batcher::new(valid_config, examples(&config.model, valid, &src, &tgt))?;
        config.model.validate_vocabularies(n_src, n_tgt)?;
        let guide = Guide::read(&config, start.alignments.as_deref(), train, &src, &tgt)?;
        let origin = model.map(|model| Origin::new(&model, &src, &tgt));
        let n_new = data.batcher.examples().len();
        let replay = fine_tuning::replay(&config, start.replay.as_ref(), n_new, &src, &tgt)?;
        let identity = || {
            let (src, tgt) = (run.join(src_file), run.join(tgt_file));
            let mut files = vec![(src_file, src.as_path()), (tgt_file, tgt.as_path())];
            files.extend(
                origin
                    .as_ref()
                    .map(|origin| ("the model to begin with", origin.weights.as_path())),
            );
            let alignments = start.alignments.as_deref();
            files.extend(alignments.map(|file| ("the file of alignments", file)));
            let replay = start.replay.as_ref().map(Fingerprint::of);
            let train = data.fingerprint.clone();
            Identity::new(&config, train, Fingerprint::of(valid), replay, &files)
        };
        if let Some(Resumed { checkpoint, .. }) = &resumed {
            let changes = checkpoint.state.identity.changes(&identity()?);
            if !changes.is_empty() {
                return Err(Error::OtherRun { path: run, changes });
            }
        } else if !old_run.is_empty() {
            drop(open_log(&run)?); // nobody is at it
            old_run
                .iter()
                .try_for_each(|path| checkpoint::remove(path))?;
        }
        let directory =
            ModelDirectory::create(&run, config.model.clone(), config.search.clone(), src, tgt)?;
        let log = open_log(&run)?;
        write_experiment(&config, &run)?;
        let identity = identity()?;
        let seed = config.seed;
        Ok(Self {
            config,
            directory,
            batches: Batches {
                batcher: Arc::new(data.batcher),
                replay: replay.map(Arc::new),
                seed,
            },
            data: data.event,
            valid_batcher,
            valid: valid.clone(),
            identity,
            log,
            origin,
            guide: guide.map(Arc::new),
            resumed,
        })
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Finds the largest batches, counted in tokens, with which training, validation and checkpoints fit into
    /// memory, and takes them for the run. Steps on the largest batches of an epoch are tried, with a model
    /// that is thrown away. None if the run goes on, with the size that it had.
    ///
    /// - `memory`: bytes that the process may hold; what the machine has left unless told
    ///
    /// # Errors
    ///
    /// If the device is no CPU, memory can't be measured on this system, or the smallest batch does not fit.
    pub fn find_batch_size(
        &mut self,
        device: &Device,
        memory: Option<u64>,
    ) -> Result<Option<BatchSize>> {
        if self.resumed.is_some() {
            return Ok(None);
        }
        let trial = Trial {
            config: &self.config,
            directory: &self.directory,
            batcher: (*self.batches.batcher).clone(),
            valid_batcher: self.valid_batcher.clone(),
            valid: &self.valid,
            device,
        };
        let found = in_precision(self.config.training.precision, || trial.find(memory))?;
        let (batch_by, tokens) = (BatchBy::Tokens, found.tokens);
        let batch = &mut self.config.batch;
        (batch.batch_by, batch.batch_size) = (batch_by, tokens);
        self.batches.set_size(batch_by, tokens);
        self.valid_batcher.set_size(batch_by, tokens);
        self.identity.experiment = write_experiment(&self.config, self.path())?;
        Ok(Some(found))
    }

    /// Trains until a limit is reached, the score stops rising, or the observer says so.
    ///
    /// On one CPU backend and number of threads the same experiment gives the same bytes, also if it was
    /// resumed.
    ///
    /// # Errors
    ///
    /// If a file can't be written or the loss leaves the numbers; what was saved before stays as it is.
    pub fn run(self, device: &Device, observer: &mut (impl Observer + Send)) -> Result<Summary> {
        self.run_on(std::slice::from_ref(device), observer)
    }

    /// The same on several devices: the first has the model and the optimiser, and the batches of a step are dealt
    /// out to all. So what a step is does not depend on them, and a run may go on on others; it is the same to
    /// the byte on as many of the same kind.
    ///
    /// # Errors
    ///
    /// As of [`run`](Self::run), and of [`TrainingConfig::validate_devices`](crate::TrainingConfig::validate_devices).
    pub fn run_on(
        mut self,
        devices: &[Device],
        observer: &mut (impl Observer + Send),
    ) -> Result<Summary> {
        self.config.training.validate_devices(devices.len())?;
        let resumed = self.resumed.take();
        in_precision(self.config.training.precision, || {
            Run::begin(&self, resumed, devices, observer).and_then(Run::train)
        })
    }

    /// Steps that the run will have, unless it ends early.
    fn total_steps(&self) -> usize {
        let training = &self.config.training;
        let most = match training.max_steps {
            0 => usize::MAX,
            max_steps => max_steps,
        };
        let mut steps = 0;
        // By tokens, epochs differ in their number of batches.
        for epoch in 0..training.max_epochs as u64 {
            if steps >= most {
                break;
            }
            steps += self.batches.len(epoch).div_ceil(training.accumulate);
        }
        steps.min(most)
    }
}

/// The last checkpoint of a run that can be used; none where there is nothing to lose.
fn find_checkpoint(run: &Path) -> Result<Option<Resumed>> {
    let mut damaged = Vec::new();
    for path in checkpoint::list(run)?.into_iter().rev() {
        match Checkpoint::read(&path) {
            Ok(checkpoint) => {
                return Ok(Some(Resumed {
                    checkpoint,
                    damaged,
                }));
            }
            Err(error) => damaged.push((path, error)),
        }
    }
    let [.., weights_file] = ModelDirectory::FILES;
    if damaged.is_empty() && !run.join(weights_file).exists() {
        return Ok(None);
    }
    Err(Error::NoCheckpoint {
        path: run.into(),
        damaged: damaged.iter().map(|(_, error)| error.to_string()).collect(),
    })
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

/// How validation searches.
pub(crate) fn valid_search(config: &ExperimentConfig) -> SearchConfig {
    SearchConfig {
        // A score that decides which weights are kept is no matter of chance.
        strategy: StrategyConfig::default(),
        beam_size: config.training.valid_beam_size,
        n_best: 1,
        ..config.search.clone()
    }
}

/// A run under way.
struct Run<'a, O> {
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
    fn begin(
        trainer: &'a Trainer,
        resumed: Option<Resumed>,
        devices: &[Device],
        observer: &'a mut O,
    ) -> Result<Self> {
        let (seed, training) = (trainer.config.seed, &trainer.config.training);
        let devices: Vec<_> = devices.iter().map(|one| one.clone().autodiff()).collect();
        let mut model = trainer.directory.init(seed, &devices[0])?;
        if let Some(origin) = &trainer.origin {
            model = origin.load(model, seed)?;
        }
        let model = freeze(model, &training.freeze)?;
        let parameters = model.num_params();
        let (src_vocab, tgt_vocab) = (model.src_vocab(), model.tgt_vocab());
        let stepper = TrainStep::new(model, training, seed).with_devices(devices[1..].into());
        let mut stepper = stepper.adapted(training)?;
        stepper.loss.guide = trainer.guide.clone();
        stepper.loss.minimum_risk = training.minimum_risk.clone().map(|config| {
            let tokenizer = trainer.directory.tgt_tokenizer.clone();
            MinimumRisk { config, tokenizer }
        });
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

    fn train(mut self) -> Result<Summary> {
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
