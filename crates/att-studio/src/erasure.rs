use att_core::on_kernel_threads;
use att_faithful::{Erasures, kendall_tau_b, mask};
use att_model::{Candidate, Translator};
use serde::Serialize;

/// Source and target ids of all erasures of a hypothesis at most; there are none of longer ones, which would
/// take longer than someone who types will wait.
const MAX_IDS: usize = 1 << 15;

/// What each source token matters to a hypothesis (leave-one-out; Li, Monroe and Jurafsky 2016).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Erasure {
    /// For each source token, EOS the last:
    ///
    /// ```text
    /// importance[s] = log p(y | x) - log p(y | x with UNK in the place of token s)
    /// ```
    ///
    /// Lengths and positions stay. EOS is not erased: its importance is 0.
    pub importance: Vec<f64>,
    /// Kendall's tau-b between the importance of the tokens and the attention that they got, EOS left out; none
    /// where either is the same everywhere, or without attention.
    pub rank_correlation: Option<f64>,
}

impl Erasure {
    /// Of a candidate of a line; of an ensemble the first model is asked. None where the two are too long.
    ///
    /// - `coverage`: the attention that each source token got, where there is any
    pub(crate) fn new(
        translator: &Translator,
        line: &str,
        candidate: &Candidate,
        coverage: Option<&[f64]>,
    ) -> Option<Self> {
        let whole = translator.candidate_example(line, candidate);
        let n = whole.src.len();
        let width = n.max(whole.tgt.len()) + 1; // with EOS
        if n * width > MAX_IDS {
            return None;
        }
        let places = || (0..n).map(|place| mask(&[place], n));
        let mut erasures = Erasures::new(translator.model(), &whole);
        on_kernel_threads(|| erasures.look_at(places().chain([mask(&[], n)])));
        let log_prob = |erased: &[bool]| -> f64 {
            let log_probs = erasures.log_probs(erased).iter();
            log_probs.copied().map(f64::from).sum()
        };
        let of_whole = log_prob(&mask(&[], n));
        let mut importance: Vec<f64> = places().map(|one| of_whole - log_prob(&one)).collect();
        let rank_correlation =
            coverage.and_then(|coverage| kendall_tau_b(&importance, &coverage[..n]));
        importance.push(0.0);
        Some(Self {
            importance,
            rank_correlation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::*;
    use att_data::Pair;

    /// `x` is in no vocabulary, so that a source with it in the place of a token is one with the token erased.
    #[test]
    fn importance_is_what_the_log_probability_loses() {
        for decoder in [LUONG, SUMMARY] {
            let folder = tempfile::tempdir().unwrap();
            let translator = translator(folder.path(), decoder);
            let known = translator.score(&[Pair::new("ab d", "dcb")]).remove(0);
            let candidate = &known.candidates[0];
            let erasure = Erasure::new(&translator, "ab d", candidate, None).unwrap();
            let score = |src: &str| {
                let pair = Pair::new(src, candidate.text.as_str());
                translator.score(&[pair]).remove(0).candidates[0].log_prob
            };
            let whole = score("ab d");
            for (place, src) in ["xb d", "ax d", "abxd", "ab x"].into_iter().enumerate() {
                let expected = whole - score(src);
                let error = (erasure.importance[place] - expected).abs();
                assert!(error < 1e-4, "{src}: {error}");
            }
            assert_eq!(erasure.importance[4..], [0.0]);
            assert_eq!(erasure.rank_correlation, None);
        }
    }

    #[test]
    fn attention_that_orders_tokens_as_they_matter_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), LUONG);
        let search = &translator.directory().search;
        let found = translator.translate(&["abcd"], search).unwrap().remove(0);
        let of = |coverage: &[f64]| {
            let candidate = &found.candidates[0];
            Erasure::new(&translator, "abcd", candidate, Some(coverage)).unwrap()
        };
        let importance = of(&[0.0; 5]).importance;
        let sign = |sign: f64| importance.iter().map(|one| sign * one).collect::<Vec<_>>();
        assert_eq!(of(&sign(1.0)).rank_correlation, Some(1.0));
        assert_eq!(of(&sign(-1.0)).rank_correlation, Some(-1.0));
        assert_eq!(of(&[1.0; 5]).rank_correlation, None);
    }

    #[test]
    fn very_long_texts_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), LUONG);
        let candidate = Candidate {
            tokens: vec!["a".into(), "</s>".into()],
            ..Default::default()
        };
        let erasure = |n: usize| Erasure::new(&translator, &"a".repeat(n), &candidate, None);
        assert_eq!(erasure(180).unwrap().importance.len(), 181);
        assert_eq!(erasure(182), None);
    }
}
