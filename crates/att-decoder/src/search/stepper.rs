use std::collections::BTreeMap;
use std::sync::Arc;

use att_attention::Intervention;
use att_core::{EncoderOutput, is_cpu, mask};
use burn::tensor::{Device, Int, Tensor};

use crate::{Decoder, DecoderMemory, DecoderState};

/// All that search asks of a model: scores of the next token of each row, and rows that go on.
///
/// Rows are those of the hypotheses of a batch of sources: each source has as many as the others, side
/// by side. Any [`Decoder`] is one by [`DecoderStepper`].
pub trait Stepper {
    /// What goes from step to step: what the rows carry, and what they share of their sources.
    type State;

    /// One step.
    ///
    /// - `tokens`: the previous token of each row (BOS at first), `[rows]`, among those that the step
    ///   before had scores for
    fn step(&self, tokens: &[u32], state: Self::State) -> Scored<Self::State>;

    /// The state of these rows, in that order.
    ///
    /// - `sources`: where some sources have left, those that are still there, of all that were; the
    ///   rows are theirs
    fn select(&self, state: Self::State, rows: &[usize], sources: Option<&[usize]>) -> Self::State;

    /// The rows and sources of a state, and those of `more` behind them; both have as many rows a source, and
    /// may be at any step.
    fn join(&self, state: Self::State, more: Self::State) -> Self::State;

    /// Whether a step takes longer with more rows; on a GPU few and many take the same time.
    fn rows_take_time(&self) -> bool {
        true
    }
}

/// What [`Stepper::step`] computes.
#[derive(Clone, Debug)]
pub struct Scored<S> {
    /// Raw scores of the next token, `[rows, n_tokens]`. Log-probabilities will do as well: they are
    /// those of their softmax.
    pub logits: Tensor<2>,
    /// Of each source the tokens of its columns of `logits`, rising, and columns beyond them mean nothing;
    /// one list may stand for all sources. None where column i is token i, as it is of a whole vocabulary.
    pub ids: Option<Vec<Arc<[u32]>>>,
    /// Attention weights, `[rows, src_len]`; none without attention.
    pub weights: Option<Tensor<2>>,
    /// For the next step.
    pub state: S,
}

/// A [`Decoder`] as a [`Stepper`].
pub struct DecoderStepper<'a, D> {
    decoder: &'a D,
    device: Device,
    /// By step, from 0.
    given: BTreeMap<usize, Vec<f32>>,
}

/// What a decoder carries, and its memory.
#[derive(Clone, Debug)]
pub struct DecoderSteps {
    /// Of each source, in states.
    lengths: Vec<usize>,
    memory: DecoderMemory,
    state: DecoderState,
    /// How many steps there were, of the first sources.
    step: usize,
}

impl<'a, D: Decoder> DecoderStepper<'a, D> {
    /// Steps of `decoder`, on the device of its sources.
    pub fn new(decoder: &'a D, device: Device) -> Self {
        Self {
            decoder,
            device,
            given: BTreeMap::new(),
        }
    }

    /// The same, but steps read the source with these weights and not with those that they compute
    /// ([`DecoderMemory::with_intervention`]): all rows at once, so it is for a single source.
    ///
    /// - `given`: by step, counted from 0, a weight for each state of the memory, `[src_len]`
    #[must_use]
    pub fn with_weights(self, given: BTreeMap<usize, Vec<f32>>) -> Self {
        Self { given, ..self }
    }

    /// Where decoding starts, one row a source.
    pub fn start(&self, source: &EncoderOutput) -> DecoderSteps {
        DecoderSteps {
            lengths: mask::lengths(source.src_pad_mask.clone()),
            memory: self.decoder.prepare(source),
            state: self.decoder.initial_state(source),
            step: 0,
        }
    }

    /// The same, but each source may have these tokens alone: [`DecoderMemory::with_allowed`].
    pub fn with_allowed(&self, steps: DecoderSteps, allowed: &[Vec<u32>]) -> DecoderSteps {
        DecoderSteps {
            memory: steps.memory.with_allowed(self.decoder, allowed),
            ..steps
        }
    }
}

impl<D: Decoder> Stepper for DecoderStepper<'_, D> {
    type State = DecoderSteps;

    fn step(&self, tokens: &[u32], steps: DecoderSteps) -> Scored<DecoderSteps> {
        let tokens: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let tokens = Tensor::<1, Int>::from_data(tokens.as_slice(), &self.device);
        let changed = self.given.get(&steps.step).map(|weights| {
            let [rows] = tokens.dims();
            let weights = Tensor::<1>::from_data(weights.as_slice(), &self.device);
            let [src_len] = weights.dims();
            let weights = weights.reshape([1, 1, src_len]).repeat_dim(0, rows);
            let memory = steps.memory.clone();
            memory.with_intervention(Intervention::Given(weights))
        });
        let memory = changed.as_ref().unwrap_or(&steps.memory);
        let step = self.decoder.step(tokens, memory, steps.state);
        Scored {
            logits: step.logits,
            ids: steps
                .memory
                .columns
                .as_ref()
                .map(|columns| columns.ids().to_vec()),
            weights: step.weights,
            state: DecoderSteps {
                lengths: steps.lengths,
                memory: steps.memory,
                state: step.state,
                step: steps.step + 1,
            },
        }
    }

    fn select(
        &self,
        steps: DecoderSteps,
        rows: &[usize],
        sources: Option<&[usize]>,
    ) -> DecoderSteps {
        let (lengths, memory) = match sources {
            Some(sources) => (
                sources
                    .iter()
                    .map(|&source| steps.lengths[source])
                    .collect(),
                steps.memory.select(sources, &self.device),
            ),
            None => (steps.lengths, steps.memory),
        };
        DecoderSteps {
            lengths,
            memory,
            state: steps.state.select(rows, &self.device),
            step: steps.step,
        }
    }

    fn join(&self, steps: DecoderSteps, more: DecoderSteps) -> DecoderSteps {
        assert!(
            self.given.is_empty(),
            "given weights are for a single source"
        );
        let lengths = [steps.lengths, more.lengths].concat();
        let src_len = lengths.iter().copied().max().unwrap_or(0);
        DecoderSteps {
            lengths,
            memory: steps.memory.join(more.memory, self.decoder, src_len),
            state: steps.state.join(more.state, src_len),
            step: steps.step,
        }
    }

    fn rows_take_time(&self) -> bool {
        is_cpu(&self.device)
    }
}
