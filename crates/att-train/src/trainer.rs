mod run;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use att_data::{BatchBy, Batcher, BatcherConfig, Corpus, Example, Tokenizer};
use att_decoder::search::{SearchConfig, StrategyConfig};
use att_model::{ModelConfig, ModelDirectory};
use burn::tensor::Device;

use crate::auto_batch::Trial;
use crate::batches::Batches;
use crate::checkpoint::{self, Checkpoint};
use crate::data::{self, train_tokenizers};
use crate::fine_tuning::{self, Origin};
use crate::freeze::freeze;
use crate::guided_alignment::Guide;
use crate::identity::{Fingerprint, Identity};
use crate::minimum_risk::MinimumRisk;
use crate::run_directory::{old_run, open_log, write_experiment};
use crate::step::{TrainStep, in_precision};
use crate::{
    BatchSize, DataEvent, Error, ExperimentConfig, NewVocabulary, Observer, Result, TrainingData,
};
use run::Run;

/// One run of an experiment, into one directory:
///
/// | file | what |
/// | --- | --- |
/// | the [`ModelDirectory`]'s files | the best model so far by validation |
/// | `last.safetensors` | the weights at the last validation, and at the end |
/// | `checkpoint-00001200.safetensors` | the state after so many steps, the last few of them |
/// | `experiment.toml` | the experiment, every setting written out |
/// | `log.jsonl` | the run's [`Event`](crate::Event)s, one a line |
///
/// Beside these `att` puts `report.html`, `attention.svg`, and the files of [`TensorBoard`](crate::TensorBoard).
#[derive(Debug)]
pub struct Trainer {
    pub(crate) config: ExperimentConfig,
    pub(crate) directory: ModelDirectory,
    batches: Batches,
    data: DataEvent,
    valid_batcher: Batcher,
    pub(crate) valid: Corpus,
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
    /// memory, and takes them for the run. Steps on the largest batches of an epoch are tried, and on those of the old
    /// data where some are replayed, with a model that is thrown away. None if the run goes on, with the size that it had.
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
            trainer: self,
            batches: self.batches.clone(),
            valid_batcher: self.valid_batcher.clone(),
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
    /// If a file can't be written, the loss leaves the numbers, or another process's device is lost; what was
    /// saved before stays as it is.
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

    /// What takes the run's steps, before the first of them.
    ///
    /// # Errors
    ///
    /// If the weights to begin with can't be read, or a part of a name that is to be frozen or adapted is in none.
    pub(crate) fn stepper(&self, device: &Device) -> Result<TrainStep> {
        let (seed, training) = (self.config.seed, &self.config.training);
        let mut model = self.directory.init(seed, &device.clone().autodiff())?;
        if let Some(origin) = &self.origin {
            model = origin.load(model, seed)?;
        }
        let model = freeze(model, &training.freeze)?;
        let mut stepper = TrainStep::new(model, training, seed).adapted(training)?;
        stepper.loss.guide = self.guide.clone();
        stepper.loss.minimum_risk = training.minimum_risk.clone().map(|config| {
            let tokenizer = self.directory.tgt_tokenizer.clone();
            MinimumRisk { config, tokenizer }
        });
        Ok(stepper)
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
