use att_core::Error as CoreError;
use serde::Deserialize;

use super::Translator;
use crate::Result;

/// Where a step of decoding is to look: "what if it had looked there?"
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionEdit {
    /// The step, counted from 0.
    pub step: usize,
    /// A weight for each source token, EOS the last, none negative; they are divided by their sum.
    pub weights: Vec<f32>,
}

impl Translator {
    /// Whether steps can look there.
    ///
    /// - `src_len`: tokens of the source, EOS included
    ///
    /// # Errors
    ///
    /// If not.
    pub(super) fn check_edits(&self, edits: &[AttentionEdit], src_len: usize) -> Result<()> {
        if edits.is_empty() {
            return Ok(());
        }
        let refuse = |reason: String| Err(CoreError::config("edits", reason).into());
        if !self.directory().model.decoder.has_attention() {
            return refuse("the model has no attention: leave them out".into());
        }
        if !self.members.iter().all(|member| member.reads_as_first) {
            return refuse("the models of the ensemble read different tokens".into());
        }
        for AttentionEdit { step, weights } in edits {
            if weights.len() != src_len {
                let found = weights.len();
                return refuse(format!(
                    "step {step} has {found} weights for {src_len} source tokens, </s> included"
                ));
            }
            let fits = |weight: &f32| weight.is_finite() && *weight >= 0.0;
            let sum: f32 = weights.iter().sum();
            let good = weights.iter().all(fits) && sum.is_finite() && sum > 0.0;
            if !good {
                return refuse(format!(
                    "step {step}: weights must be numbers from 0 up, and not all 0"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TranslationRequest;
    use crate::translator::test_support::*;
    use att_core::ops::Mixture;
    use att_decoder::search::SearchConfig;

    #[test]
    fn a_step_looks_where_it_is_told_and_other_lines_do_not_notice() {
        for (encoder, decoder) in [
            ("kind = 'recurrent'", LUONG),
            ("kind = 'recurrent'", COPYING),
            ("kind = 'pyramidal', layers = 2", "kind = 'bahdanau'"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let translator = translator_of(folder.path(), encoder, decoder);
            let lines = ["abcd", "dcba", "cab"].map(TranslationRequest::new);
            let mut requests = lines.to_vec();
            let search = SearchConfig {
                min_len: 2,
                ..search()
            };
            let plain = translator.translate_requests(&requests, &search).unwrap();
            requests[1].edits = vec![AttentionEdit {
                step: 1,
                weights: vec![4.0, 0.0, 0.0, 0.0, 0.0],
            }];
            let found = translator.translate_requests(&requests, &search).unwrap();
            assert_same(&found[..1], &plain[..1]);
            assert_same(&found[2..], &plain[2..]);
            for candidate in &found[1].candidates {
                let weights = candidate.weights.as_ref().unwrap();
                let tokens_per_state = translator.model().encoder.tokens_per_state();
                let share = 1.0 / tokens_per_state.min(5) as f32;
                let expected = |token| if token < tokens_per_state { share } else { 0.0 };
                for (token, weight) in weights[1].iter().enumerate() {
                    assert!((weight - expected(token)).abs() < 1e-6, "{weights:?}");
                }
                // The steps around it look where they want to.
                assert!(weights[0].iter().all(|weight| *weight < 0.999));
            }
            let log_prob = |of: &crate::Translation| of.candidates[0].log_prob;
            assert!((log_prob(&found[1]) - log_prob(&plain[1])).abs() > 1e-6);
        }
    }

    #[test]
    fn models_that_read_different_tokens_cannot_look_at_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let edited = TranslationRequest {
            edits: vec![AttentionEdit {
                step: 0,
                weights: vec![1.0; 5],
            }],
            ..TranslationRequest::new("abcd")
        };
        let together = |n: usize| {
            let mut models = members(&folder.path().join(n.to_string()));
            models.truncate(n);
            let weights = vec![1.0; n];
            Translator::ensemble(models, &weights, Mixture::Average).unwrap()
        };
        let found = together(2).translate_requests(&[edited.clone()], &search());
        for candidate in &found.unwrap()[0].candidates {
            let weights = &candidate.weights.as_ref().unwrap()[0];
            assert!(weights.iter().all(|weight| (weight - 0.2).abs() < 1e-6));
        }
        let error = together(3).check(&edited, &search()).unwrap_err();
        assert!(error.to_string().starts_with("edits: "), "{error}");
    }
}
