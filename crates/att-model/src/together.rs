//! One model or several, as one: search (the pass over known targets is in `forced.rs`).

use att_core::ops::{Choice, Mixture, TokenLogProb, top_log_probs};
use att_core::special::{BOS, EOS, PAD};
use att_data::Batch;
use att_decoder::search::{
    DecoderStepper, DecoderSteps, Found, FoundToken, Observer, Request, SearchConfig, Stepper,
    search_observed,
};
use att_decoder::{AnyDecoder, Copying, Ensemble};

use crate::{AttentionEdit, Seq2Seq};

/// Models that are asked as one.
pub(crate) struct Together<'a> {
    /// One at least.
    pub models: Vec<&'a Seq2Seq>,
    /// Of each model, with a sum of 1.
    pub weights: &'a [f64],
    pub mixture: Mixture,
    /// Whether all models read the same tokens of a source.
    pub same_tokens: bool,
    /// Steps that look elsewhere, of a single source.
    pub edits: &'a [AttentionEdit],
}

impl<'a> Together<'a> {
    pub fn alone(model: &'a Seq2Seq) -> Self {
        Self {
            models: vec![model],
            weights: &[1.0],
            mixture: Mixture::Average,
            same_tokens: true,
            edits: &[],
        }
    }

    /// Whether all models have the same states for a source, so that their attention can be compared.
    pub fn same_sources(&self) -> bool {
        let of_first = self.models[0].encoder.tokens_per_state();
        let same = |model: &&Seq2Seq| model.encoder.tokens_per_state() == of_first;
        self.same_tokens && self.models.iter().all(same)
    }

    /// What is found for each source as it was asked for, with attention over the tokens of the first
    /// model: the mean of all models' where they read the same tokens and have as many states. `n_states`
    /// of the requests is not read.
    ///
    /// - `sources`: for each model the sources in its tokens; targets are not read
    ///
    /// # Panics
    ///
    /// If there is not one request a source, or some have `allowed` tokens and others not. If a model
    /// copies and its sources have no `copy_ids`, or a request has `allowed` tokens.
    pub fn search(
        &self,
        sources: &[Batch],
        mut requests: Vec<Request>,
        config: &SearchConfig,
        observer: &mut dyn Observer,
    ) -> Vec<Found> {
        let (first, lengths) = (self.models[0], &sources[0].src.lengths);
        assert_eq!(requests.len(), lengths.len(), "one request a source");
        let tokens_per_state = first.encoder.tokens_per_state();
        for (request, length) in requests.iter_mut().zip(lengths) {
            request.n_states = length.div_ceil(tokens_per_state);
        }
        let allowed: Option<Vec<_>> = requests.iter().map(Request::vocabulary).collect();
        assert!(
            allowed.is_some() || requests.iter().all(|request| request.allowed.is_none()),
            "all sources have a list of tokens, or none has"
        );
        let observer = &mut OverTokens {
            model: first,
            lengths,
            inner: observer,
        };
        let mut found = self.with_steps(sources, allowed.as_deref(), |ensemble, start| {
            search_observed(&ensemble, start, &requests, config, observer)
        });
        if tokens_per_state > 1 {
            for (found, &length) in found.iter_mut().zip(lengths) {
                let steps = found
                    .hypotheses
                    .iter_mut()
                    .flat_map(|one| &mut one.weights)
                    .flatten();
                for weights in steps {
                    *weights = first.over_tokens(weights, length);
                }
            }
        }
        found
    }

    /// Of each step of known targets of one source, EOS the last, the `k` tokens that are most probable
    /// there, best first. PAD and BOS are not among them.
    ///
    /// - `sources`: for each model the source in its tokens
    /// - `allowed`: the only tokens that there are; none where there are all
    pub fn best_next(
        &self,
        sources: &[Batch],
        targets: &[Vec<u32>],
        allowed: Option<Vec<u32>>,
        k: usize,
    ) -> Vec<Vec<Vec<TokenLogProb>>> {
        let Some(longest) = targets.iter().map(Vec::len).max() else {
            return Vec::new();
        };
        let rows = targets.len();
        let allowed = allowed.map(|allowed| vec![allowed]);
        self.with_steps(sources, allowed.as_deref(), |stepper, start| {
            let mut state = stepper.select(start, &vec![0; rows], None);
            let mut previous = vec![BOS; rows];
            let mut found = vec![Vec::new(); rows];
            for step in 0..=longest {
                let scored = stepper.step(&previous, state);
                state = scored.state;
                let choice = match scored.ids {
                    // What is allowed has neither.
                    Some(_) => Choice::Except(&[]),
                    None => Choice::Except(&[PAD, BOS]),
                };
                let token = |best: TokenLogProb| TokenLogProb {
                    token: match &scored.ids {
                        Some(ids) => ids[0][best.token as usize],
                        None => best.token,
                    },
                    ..best
                };
                let best = top_log_probs(scored.logits, k, &vec![choice; rows]);
                // A row that has ended stays where it is for the others' sake.
                for ((found, target), best) in found.iter_mut().zip(targets).zip(best) {
                    if step <= target.len() {
                        found.push(best.into_iter().map(token).collect());
                    }
                }
                let next = |target: &Vec<u32>| target.get(step).copied().unwrap_or(EOS);
                previous = targets.iter().map(next).collect();
            }
            found
        })
    }

    /// Hands all models as one stepper, and where they start, to `run`.
    ///
    /// - `allowed`: of each source the only tokens that there are
    fn with_steps<R>(
        &self,
        sources: &[Batch],
        allowed: Option<&[Vec<u32>]>,
        run: impl FnOnce(Models<'_, 'a>, Vec<DecoderSteps>) -> R,
    ) -> R {
        let device = self.models[0].device();
        let of_models = || self.models.iter().zip(sources);
        let copying = |(model, batch): (&&'a Seq2Seq, &Batch)| Copying {
            decoder: &model.decoder,
            ids: model.copy_ids(batch),
        };
        let decoders: Vec<_> = of_models().map(copying).collect();
        let (mut steppers, mut states) = (Vec::new(), Vec::new());
        for ((model, batch), decoder) in of_models().zip(&decoders) {
            let given = self.edits.iter().map(|edit| {
                let over_states = over_states(&edit.weights, model.encoder.tokens_per_state());
                (edit.step, over_states)
            });
            let stepper = DecoderStepper::new(decoder, device.clone());
            let stepper = stepper.with_weights(given.collect());
            let start = stepper.start(&model.encode(&batch.src));
            states.push(match allowed {
                Some(allowed) => stepper.with_allowed(start, allowed),
                None => start,
            });
            steppers.push(stepper);
        }
        let weights = self.weights.iter().copied();
        let ensemble = Ensemble::new(steppers, weights, self.mixture, self.same_sources());
        run(ensemble, states)
    }
}

/// The weights of tokens, as weights of the states that stand for them.
fn over_states(weights: &[f32], tokens_per_state: usize) -> Vec<f32> {
    let states = weights.chunks(tokens_per_state);
    states.map(|tokens| tokens.iter().sum()).collect()
}

/// All models as one.
type Models<'s, 'a> = Ensemble<DecoderStepper<'s, Copying<'a, AnyDecoder>>>;

/// Tells another observer weights over the tokens of sources, not over states.
struct OverTokens<'a> {
    model: &'a Seq2Seq,
    /// Of the sources, in tokens.
    lengths: &'a [usize],
    inner: &'a mut dyn Observer,
}

impl Observer for OverTokens<'_> {
    fn goes_on(&mut self, source: usize) -> bool {
        self.inner.goes_on(source)
    }

    fn token(&mut self, source: usize, found: FoundToken) {
        let over_tokens = |weights| self.model.over_tokens(weights, self.lengths[source]);
        let weights = found.weights.map(over_tokens);
        let weights = weights.as_deref();
        self.inner.token(source, FoundToken { weights, ..found });
    }
}
