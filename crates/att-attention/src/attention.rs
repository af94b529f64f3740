use att_core::ops::{attention_read, embedding};
use att_core::{EncoderOutput, Error, Result, check, mask, rows};
use burn::module::Module;
use burn::tensor::{Bool, Device, IndexingUpdateOp, Int, Tensor, assert_shape};
use serde::{Deserialize, Serialize};

use crate::normaliser::NormaliserInput;
use crate::window::{Slots, WindowInput};
use crate::{
    AttentionState, History, HistoryConfig, Intervention, Normaliser, NormaliserConfig, Scorer,
    ScorerConfig, Window, WindowConfig,
};

/// Configuration of [`Attention`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionConfig {
    /// How a query scores a state; additive unless told.
    pub scorer: ScorerConfig,
    /// How scores become weights; softmax unless told.
    pub normaliser: NormaliserConfig,
    /// Which states a query sees; all unless told.
    pub window: WindowConfig,
    /// What the scores know of earlier weights; nothing unless told.
    pub history: HistoryConfig,
    /// Weight of the [coverage loss](Attention::auxiliary_loss) in training; 0, as unless told, is none.
    pub coverage_loss: f64,
}

impl AttentionConfig {
    /// # Errors
    ///
    /// If a value is out of its range, queries of `d_query` and states of `d_memory` do not fit, or
    /// kinds do not go together.
    pub fn validate(&self, d_query: usize, d_memory: usize) -> Result<()> {
        let within = |table: &'static str| move |error: Error| error.within(table);
        self.scorer
            .validate(d_query, d_memory)
            .map_err(within("scorer"))?;
        self.normaliser
            .validate(d_query, d_memory)
            .map_err(within("normaliser"))?;
        self.window.validate().map_err(within("window"))?;
        self.history.validate().map_err(within("history"))?;
        check::not_negative("coverage_loss", self.coverage_loss)?;
        if self.normaliser.is_monotonic() && self.window != (WindowConfig::None {}) {
            let reason =
                "a monotonic normaliser finds its own way along the source: use the kind 'none'";
            return Err(Error::config("window.kind", reason));
        }
        if self.history != (HistoryConfig::None {}) && self.scorer.d_attn().is_none() {
            let reason = "a history joins the hidden layer of a scorer: use the kind 'additive' or \
                          'concat' in scorer, or 'none' here";
            return Err(Error::config("history.kind", reason));
        }
        Ok(())
    }

    /// Whether the weights of a query sum to one, where there is a state to look at; else to at most
    /// one.
    pub fn sums_to_one(&self) -> bool {
        self.normaliser.sums_to_one() && self.window.sums_to_one()
    }

    /// # Panics
    ///
    /// If [`validate`](Self::validate) would have refused.
    pub fn init(&self, d_query: usize, d_memory: usize, device: &Device) -> Attention {
        if let Err(error) = self.validate(d_query, d_memory) {
            panic!("{error}");
        }
        let d_attn = self.scorer.d_attn().unwrap_or(0);
        Attention {
            scorer: self.scorer.init(d_query, d_memory, device),
            normaliser: self.normaliser.init(d_query, d_memory, device),
            window: self.window.init(d_query, device),
            history: self.history.init(d_attn, device),
            coverage_loss: self.coverage_loss,
        }
    }
}

/// Attention of a decoder over an encoder's states: each of its parts is chosen on its own.
#[derive(Module, Debug)]
pub struct Attention {
    /// Scores each state against a query.
    pub scorer: Scorer,
    /// Makes weights of scores.
    pub normaliser: Normaliser,
    /// Which states a query sees; none is all.
    pub window: Option<Window>,
    /// What the scores know of earlier weights.
    pub history: Option<History>,
    coverage_loss: f64,
}

/// An encoder's output made ready for [`Attention::forward`], or for
/// [`MultiHeadAttention::forward`](crate::MultiHeadAttention::forward): what depends on the memory
/// alone is projected once.
#[derive(Clone, Debug)]
pub struct AttentionMemory {
    /// What queries are scored against, `[batch, src_len, d_key]`.
    pub keys: Tensor<3>,
    /// The same for a normaliser that scores once more.
    pub normaliser_keys: Option<Tensor<3>>,
    /// What is averaged, `[batch, src_len, d_value]`: of one head the memory itself, unless a decoder has
    /// put in its place what it makes of the memory.
    pub values: Tensor<3>,
    /// True at padding, `[batch, src_len]`.
    pub src_pad_mask: Tensor<2, Bool>,
    /// One past the last real token of each source, `[batch]`; where there is a window.
    pub ends: Option<Tensor<1>>,
    /// What is read with instead of the weights that are computed; none unless set.
    pub intervention: Option<Intervention>,
}

impl AttentionMemory {
    /// Number of sources.
    pub fn batch(&self) -> usize {
        self.values.dims()[0]
    }

    /// The sources named by `indices` (`[rows]`), in that order.
    pub fn select(self, indices: Tensor<1, Int>) -> Self {
        let batch = self.batch();
        let select = |tensor: Tensor<3>| tensor.select(0, indices.clone());
        Self {
            keys: select(self.keys),
            normaliser_keys: self.normaliser_keys.map(select),
            values: select(self.values),
            src_pad_mask: mask::select(self.src_pad_mask, indices.clone()),
            ends: self.ends.map(|ends| ends.select(0, indices.clone())),
            intervention: self
                .intervention
                .map(|intervention| intervention.select(batch, indices)),
        }
    }

    /// The sources of this, and those of `more` behind them, of `src_len` states each: those beyond are
    /// padding of all.
    ///
    /// # Panics
    ///
    /// If they are not of one attention, or there is an intervention.
    pub fn join(self, more: Self, src_len: usize) -> Self {
        let padded = |first, more| rows::join_padded(first, more, src_len);
        assert!(
            self.intervention.is_none() && more.intervention.is_none(),
            "rows are intervened in together: they can't be joined"
        );
        Self {
            keys: padded(self.keys, more.keys),
            normaliser_keys: rows::join_some(self.normaliser_keys, more.normaliser_keys, padded),
            values: padded(self.values, more.values),
            src_pad_mask: rows::join_masks(self.src_pad_mask, more.src_pad_mask, src_len),
            ends: rows::join_some(self.ends, more.ends, rows::join),
            intervention: None,
        }
    }
}

/// What [`Attention`] computes.
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// The weighted sum of the values, `[batch, tgt_len, d_value]`.
    pub context: Tensor<3>,
    /// The weights: zero at padding, and the others sum to one, or to at most one where
    /// [`AttentionConfig::sums_to_one`] says so, `[batch, tgt_len, src_len]`.
    pub weights: Tensor<3>,
}

/// What [`Attention::step`] computes.
#[derive(Clone, Debug)]
pub struct AttentionStep {
    /// Context and weights, with the beam in the place of `tgt_len`.
    pub output: AttentionOutput,
    /// For the next step.
    pub state: AttentionState,
}

/// What some queries read.
struct Read {
    context: Tensor<3>,
    weights: Tensor<3>,
    /// Where the head stands; of monotonic kinds.
    alignment: Option<Tensor<3>>,
}

impl Attention {
    /// Projects the keys: once a source, whatever the number of steps.
    pub fn prepare(&self, source: &EncoderOutput) -> AttentionMemory {
        AttentionMemory {
            keys: self.scorer.keys(source.memory.clone()),
            normaliser_keys: self.normaliser.keys(source.memory.clone()),
            values: source.memory.clone(),
            src_pad_mask: source.src_pad_mask.clone(),
            ends: self.window.is_some().then(|| ends(&source.src_pad_mask)),
            intervention: None,
        }
    }

    /// Whether a step is scores, softmax at temperature 1 and context, whatever came before: then
    /// whole decoders with attention within may take its place.
    pub fn is_plain(&self) -> bool {
        let softmax = matches!(&self.normaliser, Normaliser::Softmax(s) if s.temperature == 1.0);
        softmax && self.window.is_none() && self.history.is_none()
    }

    /// Whether a step depends on the weights of those before it.
    pub fn is_stateful(&self) -> bool {
        self.history.is_some() || self.normaliser.is_monotonic()
    }

    /// The state before the first step, one row a source.
    ///
    /// - `src_pad_mask`: of the sources, `[batch, src_len]`
    pub fn initial_state(&self, src_pad_mask: &Tensor<2, Bool>) -> AttentionState {
        let ([batch, src_len], device) = (src_pad_mask.dims(), src_pad_mask.device());
        let zeros = || Tensor::<2>::zeros([batch, src_len], &device);
        let history = self.history.as_ref();
        AttentionState {
            steps: vec![0; batch],
            weights: history.filter(|h| h.reads_weights()).map(|_| zeros()),
            coverage: history.filter(|h| h.reads_coverage()).map(|_| zeros()),
            alignment: self.normaliser.is_monotonic().then(|| {
                let rest = Tensor::zeros([batch, src_len - 1], &device);
                Tensor::cat(vec![Tensor::ones([batch, 1], &device), rest], 1)
            }),
        }
    }

    /// `weights = normalise(mask(score(query, keys)))` within the window, `context = weights values`, for
    /// all steps of known queries, from the first on.
    ///
    /// All steps at once, or one by one where a step depends on the weights of those before it.
    ///
    /// - `query`: `[batch, tgt_len, d_query]`; one row a step
    ///
    /// # Panics
    ///
    /// If the shapes disagree, or a size is 0.
    pub fn forward(&self, query: Tensor<3>, memory: &AttentionMemory) -> AttentionOutput {
        let [batch, tgt_len, _] = query.dims();
        if !self.is_stateful() {
            let steps: Vec<usize> = (0..batch).flat_map(|_| 0..tgt_len).collect();
            let read = self.attend(query, memory, &steps, None);
            return AttentionOutput {
                context: read.context,
                weights: read.weights,
            };
        }
        let mut state = self.initial_state(&memory.src_pad_mask);
        let (mut contexts, mut weights) = (Vec::new(), Vec::new());
        for t in 0..tgt_len {
            let step = self.step(query.clone().narrow(1, t, 1), memory, state);
            state = step.state;
            contexts.push(step.output.context);
            weights.push(step.output.weights);
        }
        AttentionOutput {
            context: Tensor::cat(contexts, 1),
            weights: Tensor::cat(weights, 1),
        }
    }

    /// One step: the rows of a source are so many queries of one memory.
    ///
    /// - `query`: `[batch, beam, d_query]`
    /// - `state`: of `batch * beam` rows
    ///
    /// # Panics
    ///
    /// If the shapes disagree, or a size is 0.
    pub fn step(
        &self,
        query: Tensor<3>,
        memory: &AttentionMemory,
        state: AttentionState,
    ) -> AttentionStep {
        let read = self.attend(query, memory, &state.steps, Some(&state));
        let rows = |tensor: &Tensor<3>| tensor.clone().flatten::<2>(0, 1);
        let state = AttentionState {
            steps: state.steps.iter().map(|step| step + 1).collect(),
            weights: state.weights.map(|_| rows(&read.weights)),
            coverage: state.coverage.map(|sum| sum + rows(&read.weights)),
            alignment: read.alignment.as_ref().map(rows),
        };
        AttentionStep {
            output: AttentionOutput {
                context: read.context,
                weights: read.weights,
            },
            state,
        }
    }

    /// What the loss of each position is raised by in training, `[batch, tgt_len]`; none without a
    /// coverage loss. It keeps attention from going back to where it has been (See et al. 2017, eq. 12):
    ///
    /// `loss[t] = coverage_loss * sum_s min(weights[t, s], sum over u < t of weights[u, s])`
    ///
    /// - `weights`: of all steps, `[batch, tgt_len, src_len]`
    pub fn auxiliary_loss(&self, weights: &Tensor<3>) -> Option<Tensor<2>> {
        if self.coverage_loss == 0.0 {
            return None;
        }
        let coverage = weights.clone().cumsum(1) - weights.clone();
        let twice = weights.clone().min_pair(coverage);
        Some(twice.sum_dim(2).squeeze_dim(2) * self.coverage_loss)
    }

    /// Whether the weights of a query sum to one, as [`AttentionConfig::sums_to_one`] says.
    fn sums_to_one(&self) -> bool {
        !self.normaliser.is_monotonic() && !matches!(self.window, Some(Window::LocalP(_)))
    }

    /// What queries at the given steps (`[batch, tgt_len]`, row after row) read; `state` is theirs, needed
    /// where attention is stateful.
    fn attend(
        &self,
        query: Tensor<3>,
        memory: &AttentionMemory,
        steps: &[usize],
        state: Option<&AttentionState>,
    ) -> Read {
        let read = self.by_itself(query, memory, steps, state);
        let Some(intervention) = &memory.intervention else {
            return read;
        };
        let computed = read.weights.unsqueeze_dim(1);
        let weights = intervention
            .weights(computed, &memory.src_pad_mask, self.sums_to_one())
            .squeeze_dim::<3>(1);
        Read {
            context: weights.clone().matmul(memory.values.clone()),
            weights,
            alignment: read.alignment,
        }
    }

    /// [`attend`](Self::attend) without an intervention.
    fn by_itself(
        &self,
        query: Tensor<3>,
        memory: &AttentionMemory,
        steps: &[usize],
        state: Option<&AttentionState>,
    ) -> Read {
        let [batch, tgt_len, d_query] = query.dims();
        let [_, src_len, _] = memory.values.dims();
        assert_shape!(memory.values, [batch, src_len, _]);
        assert_shape!(memory.src_pad_mask, [batch, src_len]);
        let signals = self.history.as_ref().zip(state);
        let signals = signals.map(|(history, state)| history.signals(state));
        let Some(window) = &self.window else {
            let alignment = state.and_then(|state| state.alignment.clone());
            let alignment = alignment.map(|rows| rows.reshape([batch, tgt_len, src_len]));
            return self.read(query, memory, signals, None, alignment);
        };

        let slots = window.slots(&WindowInput {
            query: &query,
            steps,
            ends: memory
                .ends
                .as_ref()
                .expect("prepared by attention with a window"),
            src_len,
        });
        // Each query has a source of its own: the states in its window.
        let rows = batch * tgt_len;
        let indices = slots.indices.clone();
        let width = indices.dims()[2];
        let read = self.read(
            query.reshape([rows, 1, d_query]),
            &in_window(memory, &slots),
            signals.map(|signals| take(signals, indices.clone().reshape([rows, 1, width]))),
            slots.prior.map(|prior| prior.reshape([rows, 1, width])),
            None,
        );
        let none = Tensor::zeros([batch, tgt_len, src_len], &read.weights.device());
        let weights = read.weights.reshape([batch, tgt_len, width]);
        let [_, _, d_memory] = memory.values.dims();
        Read {
            context: read.context.reshape([batch, tgt_len, d_memory]),
            weights: none.scatter(2, indices, weights, IndexingUpdateOp::Add),
            alignment: None,
        }
    }

    /// Scores, weights and context, for all kinds.
    ///
    /// - `query`: `[batch, tgt_len, d_query]`
    /// - `signals`: of each query, `[batch * tgt_len, src_len, ..]`
    /// - `prior`: what weights are multiplied by, `[batch, tgt_len, src_len]`
    /// - `alignment`: of the last step, `[batch, tgt_len, src_len]`
    fn read(
        &self,
        query: Tensor<3>,
        memory: &AttentionMemory,
        signals: Option<Tensor<3>>,
        prior: Option<Tensor<3>>,
        alignment: Option<Tensor<3>>,
    ) -> Read {
        let [batch, tgt_len, _] = query.dims();
        let [_, src_len, _] = memory.values.dims();
        let scores = self.scores(query.clone(), memory.keys.clone(), signals);
        assert_shape!(scores, [batch, tgt_len, src_len]);
        let (values, mask) = (memory.values.clone(), memory.src_pad_mask.clone());
        if let (Normaliser::Softmax(softmax), None) = (&self.normaliser, &prior) {
            let read = attention_read(softmax.scaled(scores), values, mask);
            return Read {
                context: read.context,
                weights: read.weights,
                alignment: None,
            };
        }
        let output = self.normaliser.weights(NormaliserInput {
            scores,
            mask: mask.unsqueeze_dim(1),
            query,
            keys: memory.normaliser_keys.clone(),
            alignment,
        });
        let weights = match prior {
            Some(prior) => output.weights * prior,
            None => output.weights,
        };
        Read {
            context: weights.clone().matmul(values),
            weights,
            alignment: output.alignment,
        }
    }

    /// Raw scores, `[batch, tgt_len, src_len]`. With signals each query has keys of its own.
    fn scores(&self, query: Tensor<3>, keys: Tensor<3>, signals: Option<Tensor<3>>) -> Tensor<3> {
        let (Some(history), Some(signals)) = (&self.history, signals) else {
            return self.scorer.score(query, keys);
        };
        let [batch, tgt_len, d_query] = query.dims();
        let [_, src_len, d_key] = keys.dims();
        let rows = batch * tgt_len;
        let keys = keys
            .unsqueeze_dim::<4>(1)
            .expand([batch, tgt_len, src_len, d_key])
            .reshape([rows, src_len, d_key]);
        let keys = keys + history.project(signals);
        let scores = self.scorer.score(query.reshape([rows, 1, d_query]), keys);
        scores.reshape([batch, tgt_len, src_len])
    }
}

/// One past the last real token of each source, `[batch]`.
fn ends(src_pad_mask: &Tensor<2, Bool>) -> Tensor<1> {
    let [_, src_len] = src_pad_mask.dims();
    let places = Tensor::<1, Int>::arange(1..src_len as i64 + 1, &src_pad_mask.device()).float();
    let real = src_pad_mask.clone().bool_not().float();
    (real * places.unsqueeze()).max_dim(1).squeeze_dim(1)
}

/// The states of each window: `batch * tgt_len` sources of `width` states.
fn in_window(memory: &AttentionMemory, slots: &Slots) -> AttentionMemory {
    let [batch, tgt_len, width] = slots.indices.dims();
    let rows = batch * tgt_len;
    let places = flat(slots.indices.clone(), memory.src_pad_mask.dims()[1]);
    let padding = memory.src_pad_mask.clone().flatten::<1>(0, 1);
    let padding = mask::select(padding, places.flatten(0, 1)).reshape([rows, width]);
    let outside = slots.mask.clone().reshape([rows, width]);
    AttentionMemory {
        keys: take(memory.keys.clone(), slots.indices.clone()),
        normaliser_keys: None,
        values: take(memory.values.clone(), slots.indices.clone()),
        src_pad_mask: padding.bool_or(outside),
        ends: None,
        intervention: None,
    }
}

/// Of `[batch, src_len, d]` the rows that each query names (`[batch, tgt_len, width]`):
/// `[batch * tgt_len, width, d]`.
fn take(states: Tensor<3>, indices: Tensor<3, Int>) -> Tensor<3> {
    let [batch, src_len, d] = states.dims();
    embedding(states.reshape([batch * src_len, d]), flat(indices, src_len))
}

/// Places in sources as places in all of them, one after the other: `[batch * tgt_len, width]`.
fn flat(indices: Tensor<3, Int>, src_len: usize) -> Tensor<2, Int> {
    let [batch, _, _] = indices.dims();
    let starts = Tensor::<1, Int>::arange(0..batch as i64, &indices.device()) * src_len as i64;
    (indices + starts.reshape([batch, 1, 1])).flatten(0, 1)
}

/// What every kind must hold, alone and with others.
#[cfg(test)]
mod contract;
