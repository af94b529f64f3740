//! Search: from a model's probabilities to target sequences. Knows only the [`Stepper`] trait, which
//! every [`Decoder`] has.
//!
//! | part | what | where |
//! | --- | --- | --- |
//! | the loop | steps, rows that go on, sources that come and leave | [`search_feed`], [`search()`] |
//! | strategy | beam (of one: greedy), diverse beams, sampling | [`StrategyConfig`] |
//! | what may come next | lengths, UNK, repeated n-grams, a source's own vocabulary, a prefix, phrases | [`SearchConfig`], [`Request`] |
//! | what adds to a score | penalties of length, coverage and repetition | [`ScoreTerms`] |
//! | when it is over | an exact bound, see [`search_feed`] | |
//! | who looks on | tokens as they are found, sources that are called off | [`Observer`] |
//!
//! docs/decoding.md has the formulas together.

mod batch;
mod beam;
mod changes;
mod config;
mod constraint;
mod continuation;
mod coverage;
mod diverse;
mod hypothesis;
mod length_penalty;
mod observer;
mod repetition;
mod request;
mod sampling;
mod stepper;
mod strategy;
mod tree;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;

pub use batch::{Arrivals, Feed, Found, search, search_feed, search_observed};
pub use changes::SearchChanges;
pub use config::{LengthBounds, MAX_BEAM_SIZE, SearchConfig};
pub use diverse::DiverseConfig;
pub use hypothesis::{Hypothesis, ScoreTerms};
pub use length_penalty::LengthPenalty;
pub use observer::{FoundToken, Observer};
pub use request::Request;
pub use sampling::SamplingConfig;
pub use stepper::{DecoderStepper, DecoderSteps, Scored, Stepper};
pub use strategy::StrategyConfig;
pub use tree::{Fate, SearchTree, TreeNode};

use att_core::{EncoderOutput, mask};

use crate::Decoder;

impl SearchConfig {
    /// The best hypotheses for each source, best first, with nothing asked of their targets. All sources
    /// have the same seed of samples; [`search_requests`](Self::search_requests) tells them apart.
    ///
    /// `lengths` are those of the sources, in tokens.
    ///
    /// # Panics
    ///
    /// If `lengths` does not name one length a source.
    pub fn search(
        &self,
        decoder: &impl Decoder,
        source: &EncoderOutput,
        lengths: &[usize],
    ) -> Vec<Vec<Hypothesis>> {
        let request = |&src_len: &usize| Request {
            src_len,
            ..Request::default()
        };
        let requests = lengths.iter().map(request).collect();
        let found = self.search_requests(decoder, source, requests);
        found.into_iter().map(|found| found.hypotheses).collect()
    }

    /// What is found for each source as it was asked for. `n_states` of the requests is not read: it is
    /// that of the memory.
    ///
    /// # Panics
    ///
    /// If there is not one request a source.
    pub fn search_requests(
        &self,
        decoder: &impl Decoder,
        source: &EncoderOutput,
        mut requests: Vec<Request>,
    ) -> Vec<Found> {
        let n_states = mask::lengths(source.src_pad_mask.clone());
        assert_eq!(requests.len(), n_states.len(), "one request a source");
        for (request, n_states) in requests.iter_mut().zip(n_states) {
            request.n_states = n_states;
        }
        let stepper = DecoderStepper::new(decoder, source.memory.device());
        search(&stepper, stepper.start(source), &requests, self)
    }
}
