//! How fast a model trains and decodes on this machine.

use std::iter::{once, repeat_n};
use std::sync::Arc;
use std::time::{Duration, Instant};

use att_core::ops::{Work, linear};
use att_core::{Precision, check, random};
use att_data::{BatchBy, Batcher, Prefetch, Tokenizer};
use att_decoder::search::SearchConfig;
use att_model::{Seq2Seq, Translator, weights};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use crate::data::{load, train_tokenizers};
use crate::freeze::freeze;
use crate::process::{peak_rss_mb, processor_seconds};
use crate::step::{StepOutput, TrainStep, in_precision};
use crate::{ExperimentConfig, Result, TrainingData};

/// Times steps of training: those of [`TrainStep`], as the [`Trainer`](crate::Trainer) takes them, but
/// each on one batch, whatever `accumulate` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainBench {
    /// Steps that are timed together; 40 unless told.
    pub steps: usize,
    /// Steps before these, which are not timed; 8 unless told.
    pub warmup: usize,
    /// How often the same batches are timed, while the model learns on; 3 unless told.
    pub repeats: usize,
}

/// The speed of training, over the repeats of a [`TrainBench`]: medians, but where it says best.
/// Numbers of the processor and of memory are none where the system does not tell them.
#[derive(Clone, Debug, Serialize)]
pub struct TrainSpeed {
    /// Weights in the model.
    pub parameters: usize,
    /// Threads that the CPU backends share.
    pub threads: usize,
    /// Of the products on CPU.
    pub precision: Precision,
    /// What `batch_size` counts.
    pub batch_by: BatchBy,
    /// The experiment's greatest size of a batch.
    pub batch_size: usize,
    /// Steps in a repeat.
    pub steps: usize,
    /// Times that they were timed.
    pub repeats: usize,
    /// Pairs in a repeat.
    pub sentences: usize,
    /// Source tokens in a repeat, EOS included, padding not.
    pub src_tokens: usize,
    /// Target tokens in a repeat, likewise; those that are predicted.
    pub tgt_tokens: usize,
    /// Seconds a repeat.
    pub seconds: f64,
    /// Steps a second.
    pub steps_per_s: f64,
    /// Source tokens a second.
    pub src_tokens_per_s: f64,
    /// Source tokens a second in the fastest repeat.
    pub src_tokens_per_s_best: f64,
    /// Target tokens a second.
    pub tgt_tokens_per_s: f64,
    /// Target tokens a second in the fastest repeat.
    pub tgt_tokens_per_s_best: f64,
    /// Target tokens a second of this process's processor time, over all threads.
    pub tgt_tokens_per_cpu_s: Option<f64>,
    /// Arithmetic of the products alone, 10^9 operations a second:
    ///
    /// ```text
    /// 6 (encoder * src_tokens + decoder * tgt_tokens) / seconds
    /// ```
    ///
    /// with the elements of all weight matrices of the encoder and of the decoder. A multiplication
    /// and an addition for each in the forward pass, twice that in the backward pass. Tables of
    /// tokens count only where they are the output layer. Left out are the products with padding,
    /// and those of attention between states. The projections of the memory and of the bridge
    /// belong to the decoder, and count as if done at each target token.
    pub gflops_per_s: f64,
    /// The same of products of 1024 x 1024 numbers on this device, just before: the fastest of 20.
    pub peak_gflops_per_s: f64,
    /// `gflops_per_s / peak_gflops_per_s`
    pub share_of_peak: f64,
    /// What the time went to.
    pub share: StepShares,
    /// What the threads' time went to; none where the operations are not on a CPU backend.
    pub work: Option<WorkShares>,
    /// Mean loss a token in the last step, in nats, smoothing included.
    pub loss: f32,
    /// The greatest amount of memory that the process held so far, in MB of 10^6 bytes.
    pub peak_rss_mb: Option<f64>,
}

/// The parts of the time of all repeats, from 0 to 1.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StepShares {
    /// The loss.
    pub forward: f64,
    /// The gradients and their norm.
    pub backward: f64,
    /// The new weights.
    pub optimizer: f64,
    /// Waiting for data, which another thread makes ahead.
    pub waiting: f64,
}

/// The parts of the threads' time in all repeats, from 0 to 1.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WorkShares {
    /// Matrix products.
    pub products: f64,
    /// Scores, softmax and context, without their products.
    pub attention: f64,
    /// Gates of recurrent layers.
    pub cells: f64,
    /// Softmax over the vocabulary.
    pub loss: f64,
    /// Norm of the gradients and the optimiser's step.
    pub optimizer: f64,
    /// Everything else, and threads that wait.
    pub other: f64,
}

impl WorkShares {
    /// Of `seconds` on so many threads.
    fn new(work: Work, seconds: f64, threads: usize) -> Option<Self> {
        let share = |part: Duration| part.as_secs_f64() / (seconds * threads as f64);
        (!work.products.is_zero()).then(|| Self {
            products: share(work.products),
            attention: share(work.attention),
            cells: share(work.cells),
            loss: share(work.loss),
            optimizer: share(work.optimizer),
            other: 1.0 - share(work.total()),
        })
    }
}

/// Times the decoding of lines of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeBench {
    /// How often the lines are decoded; 3 unless told.
    pub repeats: usize,
}

/// The speed of decoding, from text to text, over the repeats of a [`DecodeBench`]: medians, but
/// where it says best. Numbers of the processor and of memory are none where the system does not
/// tell them.
#[derive(Clone, Debug, Serialize)]
pub struct DecodeSpeed {
    /// Weights in the model.
    pub parameters: usize,
    /// Threads that the CPU backends share.
    pub threads: usize,
    /// Hypotheses kept at each step.
    pub beam_size: usize,
    /// Lines that are decoded together at most.
    pub batch_size: usize,
    /// Times that the lines were decoded.
    pub repeats: usize,
    /// Lines.
    pub sentences: usize,
    /// Tokens of the best outputs, EOS included.
    pub output_tokens: usize,
    /// Seconds a repeat.
    pub seconds: f64,
    /// Lines a second.
    pub sentences_per_s: f64,
    /// Lines a second in the fastest repeat.
    pub sentences_per_s_best: f64,
    /// Lines a second of this process's processor time, over all threads.
    pub sentences_per_cpu_s: Option<f64>,
    /// Output tokens a second.
    pub tokens_per_s: f64,
    /// The greatest amount of memory that the process held so far, in MB of 10^6 bytes.
    pub peak_rss_mb: Option<f64>,
}

impl Default for TrainBench {
    fn default() -> Self {
        Self {
            steps: 40,
            warmup: 8,
            repeats: 3,
        }
    }
}

impl TrainBench {
    /// # Errors
    ///
    /// If a number is out of its range.
    pub fn validate(&self) -> att_core::Result<()> {
        check::size("steps", self.steps)?;
        check::size("warmup", self.warmup.max(1))?;
        check::size("repeats", self.repeats)
    }

    /// Trains the tokenisers, makes the model of an experiment and times its training; writes
    /// nothing. Batches, dropout and initial weights are those of a run of the experiment, and the
    /// learning rates those of one with as many steps as are taken here.
    ///
    /// # Errors
    ///
    /// If settings or data can't be used, or the loss leaves the numbers.
    pub fn run<'a>(
        &self,
        experiment: &ExperimentConfig,
        train: impl Into<TrainingData<'a>>,
        device: &Device,
    ) -> Result<TrainSpeed> {
        self.validate()?;
        experiment.validate()?;
        let train = train.into();
        let (src, tgt) = train_tokenizers(experiment, train)?;
        let data = load(experiment, train, &src, &tgt, None)?;
        in_precision(experiment.training.precision, || {
            self.measure(experiment, [&src, &tgt], data.batcher, device)
        })
    }

    fn measure(
        &self,
        experiment: &ExperimentConfig,
        [src, tgt]: [&Tokenizer; 2],
        batcher: Batcher,
        device: &Device,
    ) -> Result<TrainSpeed> {
        let (seed, training) = (experiment.seed, &experiment.training);
        let model = experiment.model.init_seeded(
            src.vocab_size(),
            tgt.vocab_size(),
            seed,
            &device.clone().autodiff(),
        )?;
        let parameters = model.num_params();
        let matrices = Matrices::of(&model, experiment.model.tie_output);
        let schedule = training
            .schedule
            .init(self.warmup + self.repeats * self.steps);
        let model = freeze(model, &training.freeze)?;
        let mut stepper = TrainStep::new(model, training, seed);
        let mut number = 0;
        let mut step = |batches: &mut Prefetch| {
            number += 1;
            stepper.step(number, schedule.lr(number), &batches.next_batch()?)
        };

        let mut plan = (0..).flat_map(|epoch| batcher.epoch(seed, epoch));
        let warmup: Vec<Vec<usize>> = plan.by_ref().take(self.warmup).collect();
        let timed: Vec<Vec<usize>> = plan.take(self.steps).collect();
        let sentences = timed.iter().map(Vec::len).sum();
        let plans = once(warmup).chain(repeat_n(timed, self.repeats));
        let mut batches = Prefetch::new(Arc::new(batcher), plans, 0);
        let mut steps = |batches: &mut Prefetch| -> Result<Vec<StepOutput>> {
            let plan = batches.next_plan().expect("as many plans as repeats");
            let done = (0..plan).map(|_| step(batches)).collect();
            device.sync().expect("the device works");
            done
        };
        steps(&mut batches)?;
        let peak = product_peak(device);
        let mut times = Times::default();
        let mut done: Vec<StepOutput> = Vec::new();
        batches.take_waited();
        let (result, work) = Work::measure(|| {
            for _ in 0..self.repeats {
                done.extend(times.time(|| steps(&mut batches))?);
            }
            Ok::<_, crate::Error>(())
        });
        result?;
        let waited = batches.take_waited().as_secs_f64();

        let repeat = &done[done.len() - self.steps..];
        let src_tokens: usize = repeat.iter().map(|step| step.src_tokens).sum();
        let tgt_tokens: usize = repeat.iter().map(|step| step.tgt_tokens).sum();
        let seconds = times.median();
        let share = |part: fn(&StepOutput) -> Duration| {
            let part: Duration = done.iter().map(part).sum();
            part.as_secs_f64() / times.total()
        };
        let threads = rayon::current_num_threads();
        let gflops_per_s = matrices.operations(src_tokens, tgt_tokens) / seconds * 1e-9;
        Ok(TrainSpeed {
            parameters,
            threads,
            precision: training.precision,
            batch_by: experiment.batch.batch_by,
            batch_size: experiment.batch.batch_size,
            steps: self.steps,
            repeats: self.repeats,
            sentences,
            src_tokens,
            tgt_tokens,
            seconds,
            steps_per_s: self.steps as f64 / seconds,
            src_tokens_per_s: src_tokens as f64 / seconds,
            src_tokens_per_s_best: src_tokens as f64 / times.best(),
            tgt_tokens_per_s: tgt_tokens as f64 / seconds,
            tgt_tokens_per_s_best: tgt_tokens as f64 / times.best(),
            tgt_tokens_per_cpu_s: times.cpu_median().map(|cpu| tgt_tokens as f64 / cpu),
            gflops_per_s,
            peak_gflops_per_s: peak,
            share_of_peak: gflops_per_s / peak,
            share: StepShares {
                forward: share(|step| step.times.forward),
                backward: share(|step| step.times.backward),
                optimizer: share(|step| step.times.optimizer),
                waiting: waited / times.total(),
            },
            work: WorkShares::new(work, times.total(), threads),
            loss: repeat[self.steps - 1].loss,
            peak_rss_mb: peak_rss_mb(),
        })
    }
}

impl Default for DecodeBench {
    fn default() -> Self {
        Self { repeats: 3 }
    }
}

impl DecodeBench {
    /// Lines that are decoded once before the clock starts.
    const WARMUP: usize = 64;

    /// # Errors
    ///
    /// If the number is out of its range.
    pub fn validate(&self) -> att_core::Result<()> {
        check::size("repeats", self.repeats)
    }

    /// Decodes the lines and times it, tokenisers included.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range.
    pub fn run(
        &self,
        translator: &Translator,
        lines: &[String],
        search: &SearchConfig,
    ) -> Result<DecodeSpeed> {
        self.validate()?;
        translator.translate(&lines[..lines.len().min(Self::WARMUP)], search)?;
        let mut times = Times::default();
        let mut found = Vec::new();
        for _ in 0..self.repeats {
            found = times.time(|| translator.translate(lines, search))?;
        }
        let best = found.iter().filter_map(|found| found.candidates.first());
        let output_tokens: usize = best.map(|best| best.tokens.len()).sum();
        let seconds = times.median();
        let sentences = lines.len();
        Ok(DecodeSpeed {
            parameters: translator.model().num_params(),
            threads: rayon::current_num_threads(),
            beam_size: search.beam_size,
            batch_size: translator.batch_size(),
            repeats: self.repeats,
            sentences,
            output_tokens,
            seconds,
            sentences_per_s: sentences as f64 / seconds,
            sentences_per_s_best: sentences as f64 / times.best(),
            sentences_per_cpu_s: times.cpu_median().map(|cpu| sentences as f64 / cpu),
            tokens_per_s: output_tokens as f64 / seconds,
            peak_rss_mb: peak_rss_mb(),
        })
    }
}

/// The elements of all weight matrices that a token meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Matrices {
    /// Of the encoder.
    src: usize,
    /// Of the decoder, output layer included.
    tgt: usize,
}

impl Matrices {
    fn of(model: &Seq2Seq, tie_output: bool) -> Self {
        let mut found = Self { src: 0, tgt: 0 };
        for (name, shape) in weights::shapes(model) {
            let [rows, cols] = shape[..] else {
                continue;
            };
            if name.starts_with("encoder.") {
                found.src += rows * cols;
            } else if name.starts_with("decoder.")
                && (tie_output || !name.ends_with(".embedding.weight"))
            {
                found.tgt += rows * cols;
            }
        }
        found
    }

    /// Multiplications and additions of a step: one of each an element and token forward, twice
    /// that backward.
    fn operations(self, src_tokens: usize, tgt_tokens: usize) -> f64 {
        6.0 * (self.src as f64 * src_tokens as f64 + self.tgt as f64 * tgt_tokens as f64)
    }
}

/// The greatest speed of large products on a device, 10^9 operations a second.
fn product_peak(device: &Device) -> f64 {
    const SIZE: usize = 1024;
    const TIMES: usize = 20;
    // Not all the same, and far from overflow.
    let numbers = || {
        let numbers = random::uniform(SIZE * SIZE, 1.0);
        Tensor::<2>::from_data(TensorData::new(numbers, [SIZE, SIZE]), device)
    };
    let (x, weight) = (numbers(), numbers());
    let mut times = Times::default();
    for _ in 0..TIMES {
        times.time(|| {
            linear(x.clone(), weight.clone(), None);
            device.sync().expect("the device works");
        });
    }
    2.0 * (SIZE as f64).powi(3) / times.best() * 1e-9
}

/// Seconds of each repeat.
#[derive(Debug, Default)]
struct Times {
    wall: Vec<f64>,
    /// Of the processor, as far as known.
    cpu: Vec<f64>,
}

impl Times {
    fn time<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let (begun, cpu) = (Instant::now(), processor_seconds());
        let result = run();
        self.wall.push(begun.elapsed().as_secs_f64());
        if let (Some(before), Some(after)) = (cpu, processor_seconds()) {
            self.cpu.push(after - before);
        }
        result
    }

    fn median(&self) -> f64 {
        median(&self.wall).expect("one repeat at least")
    }

    fn best(&self) -> f64 {
        self.wall.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn total(&self) -> f64 {
        self.wall.iter().sum()
    }

    fn cpu_median(&self) -> Option<f64> {
        median(&self.cpu)
    }
}

/// The middle one, or the mean of the two in the middle; none of nothing.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    Some((sorted.get(n / 2)? + sorted[(n - 1) / 2]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_model::ModelConfig;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn the_matrices_are_those_of_the_products() {
        let matrices = |tie_output: bool| {
            let config = ModelConfig::from_toml(&format!(
                "tie_output = {tie_output}
                src_embedding = {{ d_embed = 5 }}
                tgt_embedding = {{ d_embed = 4 }}
                encoder = {{ kind = 'recurrent', cell = 'gru', d_hidden = 3, layer_norm = true }}
                [decoder]
                kind = 'luong'
                d_attentional = 4
                bridge = 'zeros'
                recurrent = {{ cell = 'gru', d_hidden = 6 }}
                attention = {{ scorer = {{ kind = 'dot' }} }}"
            ))
            .unwrap();
            let model = config.init_seeded(30, 7, 0, &Device::flex()).unwrap();
            Matrices::of(&model, tie_output)
        };
        let expected = Matrices {
            src: 2 * (5 * 9 + 3 * 9),
            tgt: 4 * 18 + 6 * 18 + 12 * 4 + 4 * 7,
        };
        assert_eq!(matrices(false), expected, "with an output layer of its own");
        assert_eq!(matrices(true), expected, "the table is the output layer");
        assert_eq!(expected.operations(10, 1), 6.0 * 1440.0 + 6.0 * 256.0);
    }
}
