use att_data::{Batch, Pair};
use serde::Serialize;

use super::{Candidate, TranslationRequest, Translator};
use crate::Result;

/// A token that might have come at a step of an output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// The token.
    pub token: String,
    /// Natural logarithm of its probability there.
    pub log_prob: f32,
}

impl Translator {
    /// For each of these candidates of a line, and each of its tokens, the `k` most probable tokens at that
    /// step, best first: what the models say there, without what the settings of a search rule out.
    ///
    /// - `request`: what the candidates were found for
    ///
    /// # Errors
    ///
    /// If a candidate has a token that the model does not have for this line, or an edit does not fit.
    ///
    /// # Panics
    ///
    /// If `k` is zero.
    pub fn alternatives(
        &self,
        request: &TranslationRequest,
        candidates: &[Candidate],
        k: usize,
    ) -> Result<Vec<Vec<Vec<Alternative>>>> {
        let line = request.line.as_str();
        let names = self.target_names(line);
        let without_eos = |candidate: &Candidate| {
            let tokens = &candidate.tokens;
            names.ids(&tokens[..tokens.len().saturating_sub(1)])
        };
        let targets: Result<Vec<Vec<u32>>> = candidates.iter().map(without_eos).collect();
        let example = self.example(&Pair::new(line, ""));
        self.check_edits(&request.edits, example.src.len() + 1)?;
        let shortlist = self.shortlist.as_ref();
        let allowed = shortlist.and_then(|shortlist| {
            let allowed = Some(shortlist.of(&example.src));
            let prefix = targets.iter().flatten().flatten().copied().collect();
            let request = att_decoder::search::Request {
                allowed,
                prefix,
                ..Default::default()
            };
            request.vocabulary()
        });
        let sources =
            self.as_members_read(Batch::new(&[example], &[0]), &[0], |_| Pair::new(line, ""));
        let found = self
            .together(&request.edits)
            .best_next(&sources, &targets?, allowed, k);
        let named = |best: att_core::ops::TokenLogProb| Alternative {
            token: names.name(best.token).to_string(),
            log_prob: best.log_prob,
        };
        let of_step = |best: Vec<_>| best.into_iter().map(named).collect();
        let of_candidate = |steps: Vec<_>| steps.into_iter().map(of_step).collect();
        Ok(found.into_iter().map(of_candidate).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translator::test_support::*;
    use att_core::ops::Mixture;

    /// What the search says of its own tokens is what stands among the alternatives.
    #[track_caller]
    fn check(translator: &Translator, line: &str) {
        let request = TranslationRequest::new(line);
        let found = translator.translate(&[line], &search()).unwrap().remove(0);
        let k = 12; // all there are
        let of_all = translator.alternatives(&request, &found.candidates, k);
        for (candidate, steps) in found.candidates.iter().zip(of_all.unwrap()) {
            assert_eq!(steps.len(), candidate.tokens.len());
            let tokens = candidate.tokens.iter().zip(&candidate.token_log_probs);
            for (alternatives, (token, log_prob)) in steps.iter().zip(tokens) {
                let own = alternatives.iter().find(|other| other.token == *token);
                let error = (own.unwrap().log_prob - log_prob).abs();
                assert!(error < 1e-5, "{line} {token}: {error}");
                let sorted = alternatives.is_sorted_by(|a, b| a.log_prob >= b.log_prob);
                assert!(sorted, "{alternatives:?}");
                let sum: f32 = alternatives.iter().map(|one| one.log_prob.exp()).sum();
                // PAD and BOS have the rest.
                assert!(sum > 0.5 && sum < 1.0 + 1e-5, "{sum}");
            }
        }
    }

    #[test]
    fn what_was_found_is_among_what_might_have_come() {
        let folder = tempfile::tempdir().unwrap();
        for (encoder, decoder) in [
            ("kind = 'recurrent'", LUONG),
            ("kind = 'recurrent'", COPYING),
            ("kind = 'pyramidal', layers = 2", "kind = 'bahdanau'"),
            ("kind = 'recurrent'", "kind = 'summary', d_output = 5"),
        ] {
            let translator = translator_of(folder.path(), encoder, decoder);
            for line in ["abcd", "d", "aßö"] {
                check(&translator, line);
            }
            std::fs::remove_dir_all(folder.path()).unwrap();
        }
        let models = members(folder.path());
        let ensemble = Translator::ensemble(models, &[1.0; 3], Mixture::Average).unwrap();
        check(&ensemble, "abcd");
    }

    #[test]
    fn outputs_begin_with_what_is_pinned() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), COPYING);
        let pinned = ["d", "ß", "<unk>"].map(String::from).to_vec();
        let mut request = TranslationRequest {
            pinned: pinned.clone(),
            ..TranslationRequest::new("aßb")
        };
        let found = translator.translate_requests(&[request.clone()], &search());
        for candidate in &found.unwrap()[0].candidates {
            assert_eq!(candidate.tokens[..3], pinned);
        }
        for unknown in ["ö", "</s>"] {
            request.pinned[1] = unknown.into();
            let error = translator.check(&request, &search()).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("pinned") || error.contains("prefix"),
                "{error}"
            );
        }
    }
}
