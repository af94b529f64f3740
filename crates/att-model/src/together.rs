//! Search with one model or several.

use att_core::ops::Mixture;
use att_data::Padded;
use att_decoder::Ensemble;
use att_decoder::search::{DecoderStepper, Hypothesis, Request, SearchConfig, search};

use crate::Seq2Seq;

/// Models that search sees as one.
pub(crate) struct Together<'a> {
    pub models: Vec<&'a Seq2Seq>,
    /// Of each model.
    pub weights: &'a [f64],
    pub mixture: Mixture,
    /// Whether all models read the same tokens of a source.
    pub same_tokens: bool,
}

impl Together<'_> {
    /// The best hypotheses for each source, with attention over tokens of the first model: the mean of
    /// all models' where they read the same tokens and have as many states.
    ///
    /// - `sources`: for each model the sources in its tokens
    /// - `allowed`: for each source the only target tokens that it may have; none where it may have all
    pub fn search(
        &self,
        sources: &[Padded],
        allowed: Option<&[Vec<u32>]>,
        config: &SearchConfig,
    ) -> Vec<Vec<Hypothesis>> {
        let first = self.models[0];
        let (device, tokens_per_state) = (first.device(), first.encoder.tokens_per_state());
        let same_states = |model: &&Seq2Seq| model.encoder.tokens_per_state() == tokens_per_state;
        let same_sources = self.same_tokens && self.models.iter().all(same_states);
        let (mut steppers, mut states) = (Vec::new(), Vec::new());
        for (model, src) in self.models.iter().zip(sources) {
            let stepper = DecoderStepper::new(&model.decoder, device.clone());
            let start = stepper.start(&model.encode(src));
            states.push(match allowed {
                Some(allowed) => stepper.with_allowed(start, allowed),
                None => start,
            });
            steppers.push(stepper);
        }
        let weights = self.weights.iter().copied();
        let ensemble = Ensemble::new(steppers, weights, self.mixture, same_sources);
        let src = &sources[0];
        let requests: Vec<Request> = (0..src.rows)
            .map(|row| Request {
                n_states: src.lengths[row].div_ceil(tokens_per_state),
                allowed: allowed.map(|allowed| allowed[row].clone()),
                ..Request::new(src.row(row))
            })
            .collect();
        let mut found: Vec<Vec<Hypothesis>> = search(&ensemble, states, &requests, config)
            .into_iter()
            .map(|found| found.hypotheses)
            .collect();
        if tokens_per_state > 1 {
            for (hypotheses, &length) in found.iter_mut().zip(&src.lengths) {
                let steps = hypotheses
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
}
