//! One model or several, as one: search (the pass over known targets is in `forced.rs`).

use std::collections::BTreeMap;

use att_core::ops::{Choice, Mixture, TokenLogProb, top_log_probs};
use att_core::special::{BOS, EOS, PAD};
use att_data::Batch;
use att_decoder::search::{
    Arrivals, DecoderStepper, DecoderSteps, Feed, Found, FoundToken, Observer, Request,
    SearchConfig, Stepper, search_feed,
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

    /// What is found for each source as it was asked for: [`search_lines`](Self::search_lines) of these alone.
    ///
    /// - `sources`: for each model the sources in its tokens; targets are not read
    ///
    /// # Panics
    ///
    /// As of that, or if there is not one request a source.
    pub fn search(
        &self,
        sources: Vec<Batch>,
        requests: Vec<Request>,
        config: &SearchConfig,
    ) -> Vec<Found> {
        struct Batches {
            sources: Option<(Vec<Batch>, Vec<Request>)>,
            found: Vec<Option<Found>>,
        }
        impl Observer for Batches {}
        impl Lines for Batches {
            fn sources(&mut self, _room: usize) -> Option<(Vec<Batch>, Vec<Request>)> {
                self.sources.take()
            }

            fn found(&mut self, source: usize, found: Found) {
                self.found[source] = Some(found);
            }
        }
        let places = requests.len();
        let mut batches = Batches {
            sources: Some((sources, requests)),
            found: vec![None; places],
        };
        self.search_lines(places, config, &mut batches);
        batches.found.into_iter().flatten().collect()
    }

    /// Searches sources as they come, `places` of them at a time, with attention over the tokens of the first
    /// model: the mean of all models' where they read the same tokens and have as many states.
    ///
    /// # Panics
    ///
    /// If sources come that are not as many as their requests, or of which some have `allowed` tokens and
    /// others not. If a model copies and its sources have no `copy_ids`, or a request has `allowed` tokens.
    pub fn search_lines(&self, places: usize, config: &SearchConfig, lines: &mut impl Lines) {
        let models = self.models();
        let mut over_tokens = OverTokens {
            together: self,
            models: &models,
            lengths: BTreeMap::new(),
            count: 0,
            lines,
        };
        search_feed(&models, places, config, &mut over_tokens);
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
        let models = self.models();
        let start = self.start(&models, sources, allowed.as_deref());
        let mut state = models.select(start, &vec![0; rows], None);
        let mut previous = vec![BOS; rows];
        let mut found = vec![Vec::new(); rows];
        for step in 0..=longest {
            let scored = models.step(&previous, state);
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
    }

    /// All models as one stepper.
    fn models(&self) -> Models<'a> {
        let stepper = |model: &&'a Seq2Seq| {
            let given = self.edits.iter().map(|edit| {
                let over_states = over_states(&edit.weights, model.encoder.tokens_per_state());
                (edit.step, over_states)
            });
            DecoderStepper::new(&model.decoder, model.device()).with_weights(given.collect())
        };
        let steppers = self.models.iter().map(stepper).collect();
        let weights = self.weights.iter().copied();
        Ensemble::new(steppers, weights, self.mixture, self.same_sources())
    }

    /// Where all models start.
    ///
    /// - `sources`: for each model the sources in its tokens
    /// - `allowed`: of each source the only tokens that there are
    fn start(
        &self,
        models: &Models,
        sources: &[Batch],
        allowed: Option<&[Vec<u32>]>,
    ) -> Vec<DecoderSteps> {
        let of_models = self.models.iter().zip(models.members()).zip(sources);
        let start = |((model, stepper), batch): ((&&Seq2Seq, &Stepping), &Batch)| {
            let copying = Copying {
                decoder: &model.decoder,
                ids: model.copy_ids(batch),
            };
            let copying = DecoderStepper::new(&copying, model.device());
            let start = copying.start(&model.encode(&batch.src));
            match allowed {
                Some(allowed) => stepper.with_allowed(start, allowed),
                None => start,
            }
        };
        of_models.map(start).collect()
    }
}

/// The weights of tokens, as weights of the states that stand for them.
fn over_states(weights: &[f32], tokens_per_state: usize) -> Vec<f32> {
    let states = weights.chunks(tokens_per_state);
    states.map(|tokens| tokens.iter().sum()).collect()
}

type Stepping<'a> = DecoderStepper<'a, AnyDecoder>;

/// All models as one.
type Models<'a> = Ensemble<Stepping<'a>>;

/// Where a running search has its lines from, and who it tells what it found; weights are over tokens.
pub(crate) trait Lines: Observer {
    /// As [`Feed::arrivals`]: for each model the sources in its tokens, and what is asked of them, whose
    /// `n_states` is not read.
    fn sources(&mut self, room: usize) -> Option<(Vec<Batch>, Vec<Request>)>;

    /// As [`Feed::found`].
    fn found(&mut self, source: usize, found: Found);
}

/// Begins what comes, and makes of weights over states weights over the tokens of the first model.
struct OverTokens<'l, 'a, L> {
    together: &'l Together<'a>,
    models: &'l Models<'a>,
    /// Of the sources that are searched, in tokens.
    lengths: BTreeMap<usize, usize>,
    /// How many sources have come.
    count: usize,
    lines: &'l mut L,
}

impl<L: Lines> Feed<Vec<DecoderSteps>> for OverTokens<'_, '_, L> {
    fn arrivals(&mut self, room: usize) -> Option<Arrivals<Vec<DecoderSteps>>> {
        let (sources, mut requests) = self.lines.sources(room)?;
        let lengths = &sources[0].src.lengths;
        assert_eq!(requests.len(), lengths.len(), "one request a source");
        let tokens_per_state = self.together.models[0].encoder.tokens_per_state();
        for (request, &length) in requests.iter_mut().zip(lengths) {
            request.n_states = length.div_ceil(tokens_per_state);
            self.lengths.insert(self.count, length);
            self.count += 1;
        }
        let allowed: Option<Vec<_>> = requests.iter().map(Request::vocabulary).collect();
        assert!(
            allowed.is_some() || requests.iter().all(|request| request.allowed.is_none()),
            "all sources have a list of tokens, or none has"
        );
        let start = self
            .together
            .start(self.models, &sources, allowed.as_deref());
        Some(Arrivals { start, requests })
    }

    fn found(&mut self, source: usize, mut found: Found) {
        let (first, length) = (self.together.models[0], self.lengths.remove(&source));
        let length = length.expect("it was searched");
        if first.encoder.tokens_per_state() > 1 {
            let steps = found.hypotheses.iter_mut().flat_map(|one| &mut one.weights);
            for weights in steps.flatten() {
                *weights = first.over_tokens(weights, length);
            }
        }
        self.lines.found(source, found);
    }
}

impl<L: Lines> Observer for OverTokens<'_, '_, L> {
    fn goes_on(&mut self, source: usize) -> bool {
        self.lines.goes_on(source)
    }

    fn token(&mut self, source: usize, found: FoundToken) {
        let (first, length) = (self.together.models[0], self.lengths[&source]);
        let weights = found
            .weights
            .map(|weights| first.over_tokens(weights, length));
        let weights = weights.as_deref();
        self.lines.token(source, FoundToken { weights, ..found });
    }
}
