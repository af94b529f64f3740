use serde::Deserialize;

use super::{LengthPenalty, SearchConfig, StrategyConfig};

/// What someone who translates asks to be different from a model's own [`SearchConfig`]; what is `None`
/// stays. The fields are those of the configuration, and are read as they are from it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // each is what `SearchConfig` says of it
pub struct SearchChanges {
    pub strategy: Option<StrategyConfig>,
    pub beam_size: Option<usize>,
    pub n_best: Option<usize>,
    pub length_penalty: Option<LengthPenalty>,
    pub coverage_penalty: Option<f64>,
    pub repetition_penalty: Option<f64>,
    pub no_repeat_ngram: Option<usize>,
    pub suppress_unk: Option<bool>,
    pub min_len: Option<usize>,
    pub min_len_ratio: Option<f64>,
    pub max_len: Option<usize>,
    pub max_len_ratio: Option<f64>,
    pub replace_unk: Option<bool>,
}

impl SearchChanges {
    /// A model's search with these changes. Two of them bring another along: a beam is as wide as `n_best`
    /// at least unless `beam_size` is told, and who tells `beam_size` alone wants a beam where the model samples.
    pub fn apply(&self, own: &SearchConfig) -> SearchConfig {
        let n_best = self.n_best.unwrap_or(own.n_best);
        let strategy = match own.strategy {
            StrategyConfig::Sampling(_) if self.beam_size.is_some() => StrategyConfig::Beam {},
            strategy => strategy,
        };
        let or = |told: Option<f64>, own| told.unwrap_or(own);
        SearchConfig {
            strategy: self.strategy.unwrap_or(strategy),
            beam_size: self.beam_size.unwrap_or(own.beam_size.max(n_best)),
            n_best,
            length_penalty: self.length_penalty.unwrap_or(own.length_penalty),
            coverage_penalty: or(self.coverage_penalty, own.coverage_penalty),
            repetition_penalty: or(self.repetition_penalty, own.repetition_penalty),
            no_repeat_ngram: self.no_repeat_ngram.unwrap_or(own.no_repeat_ngram),
            suppress_unk: self.suppress_unk.unwrap_or(own.suppress_unk),
            min_len: self.min_len.unwrap_or(own.min_len),
            min_len_ratio: or(self.min_len_ratio, own.min_len_ratio),
            max_len: self.max_len.unwrap_or(own.max_len),
            max_len_ratio: or(self.max_len_ratio, own.max_len_ratio),
            replace_unk: self.replace_unk.unwrap_or(own.replace_unk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::SamplingConfig;

    #[test]
    fn what_is_not_told_is_the_models_own() {
        let own = SearchConfig {
            beam_size: 4,
            n_best: 3,
            no_repeat_ngram: 3,
            suppress_unk: true,
            ..Default::default()
        };
        let none = SearchChanges::default();
        assert_eq!(none.apply(&own), own);
        let changes = SearchChanges {
            repetition_penalty: Some(1.2),
            max_len: Some(9),
            replace_unk: Some(true),
            suppress_unk: Some(false),
            ..Default::default()
        };
        let expected = SearchConfig {
            repetition_penalty: 1.2,
            max_len: 9,
            replace_unk: true,
            suppress_unk: false,
            ..own.clone()
        };
        assert_eq!(changes.apply(&own), expected);
    }

    #[test]
    fn a_beam_is_as_wide_as_what_is_asked_of_it_and_replaces_samples() {
        let own = SearchConfig {
            strategy: StrategyConfig::Sampling(SamplingConfig::default()),
            ..Default::default()
        };
        let six = SearchChanges {
            n_best: Some(6),
            ..Default::default()
        };
        let applied = six.apply(&own);
        assert_eq!((applied.n_best, applied.beam_size), (6, 6));
        assert_eq!(applied.strategy, own.strategy);
        let beam = SearchChanges {
            beam_size: Some(2),
            ..Default::default()
        };
        assert_eq!(beam.apply(&own).strategy, StrategyConfig::Beam {});
    }
}
