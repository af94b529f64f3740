//! Lines that someone looks at while they are translated.

use std::collections::BTreeMap;

use att_decoder::search::SearchConfig;

use super::{Translation, TranslationRequest, Translator};
use crate::Result;

/// Looks on while requests are translated, and may call one off. Requests are counted as they were given.
pub trait TranslationObserver {
    /// Whether a request is still wanted; asked after each step. One that is not has the candidates that
    /// were complete, which may be none; the others do not notice.
    fn goes_on(&mut self, request: usize) -> bool {
        let _ = request;
        true
    }

    /// Whether the tokens of a request are wanted as they are found.
    fn streams(&self, request: usize) -> bool {
        let _ = request;
        false
    }

    /// The next token of a request that streams, where search has one hypothesis alone (greedy search, a
    /// single sample).
    fn piece(&mut self, request: usize, piece: FoundPiece) {
        let _ = (request, piece);
    }
}

/// Looks at nothing.
impl TranslationObserver for () {}

/// A token of an output that is under way.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundPiece {
    /// The token as it came out, EOS the last.
    pub token: String,
    /// Its log-probability.
    pub log_prob: f32,
    /// Its attention weights over the source tokens; none without attention.
    pub weights: Option<Vec<f32>>,
    /// The output up to here.
    pub text: String,
}

impl Translator {
    /// As [`translate_requests`](Self::translate_requests), with someone who looks on, and on the calling
    /// thread: up to [`batch_size`](Self::batch_size) lines at a time.
    ///
    /// # Errors
    ///
    /// As of [`translate_requests`](Self::translate_requests).
    pub fn translate_observed(
        &self,
        requests: &[TranslationRequest],
        search: &SearchConfig,
        observer: &mut dyn TranslationObserver,
    ) -> Result<Vec<Translation>> {
        self.check_search(search)?;
        let mut translations = BTreeMap::new();
        for job in self.jobs(requests, self.batch_size) {
            let found = self.translate_job(job, self.batch_size, search, observer);
            translations.extend(found);
        }
        translations.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translator::test_support::*;

    /// Streams all but the second request, and calls off the fourth after two steps.
    struct Notes {
        pieces: Vec<Vec<FoundPiece>>,
        steps: Vec<usize>,
        calls_off: bool,
    }

    impl TranslationObserver for Notes {
        fn goes_on(&mut self, request: usize) -> bool {
            self.steps[request] += 1;
            !(self.calls_off && request == 3 && self.steps[3] == 2)
        }

        fn streams(&self, request: usize) -> bool {
            request != 1
        }

        fn piece(&mut self, request: usize, piece: FoundPiece) {
            self.pieces[request].push(piece);
        }
    }

    fn observe(
        translator: &Translator,
        lines: &[&str],
        search: &SearchConfig,
        calls_off: bool,
    ) -> (Vec<Translation>, Notes) {
        let mut notes = Notes {
            pieces: vec![Vec::new(); lines.len()],
            steps: vec![0; lines.len()],
            calls_off,
        };
        let requests: Vec<_> = lines.iter().copied().map(TranslationRequest::new).collect();
        let found = translator.translate_observed(&requests, search, &mut notes);
        (found.unwrap(), notes)
    }

    #[test]
    fn pieces_are_those_of_what_comes_back() {
        let greedy = SearchConfig {
            beam_size: 1,
            replace_unk: true,
            max_len: 6,
            ..Default::default()
        };
        let lines = ["abcd", "d", "", "caßb", "dcba dcba", "öö"];
        for (encoder, decoder) in [
            ("kind = 'recurrent'", LUONG),
            ("kind = 'recurrent'", COPYING),
            ("kind = 'pyramidal', layers = 2", LUONG),
            ("kind = 'recurrent'", "kind = 'summary', d_output = 5"),
        ] {
            for batch_size in [2, 64] {
                let folder = tempfile::tempdir().unwrap();
                let translator = translator_of(folder.path(), encoder, decoder);
                let translator = translator.with_batch_size(batch_size);
                let expected = translator.translate(&lines, &greedy).unwrap();
                let (found, notes) = observe(&translator, &lines, &greedy, false);
                assert_same(&found, &expected);
                for (index, (found, pieces)) in found.iter().zip(&notes.pieces).enumerate() {
                    if index == 1 {
                        assert!(pieces.is_empty());
                        continue;
                    }
                    let best = &found.candidates[0];
                    let tokens: Vec<&String> = pieces.iter().map(|piece| &piece.token).collect();
                    assert_eq!(tokens, best.tokens.iter().collect::<Vec<_>>());
                    let log_probs: Vec<f32> = pieces.iter().map(|piece| piece.log_prob).collect();
                    assert_eq!(log_probs, best.token_log_probs);
                    let weights = pieces.iter().map(|piece| piece.weights.clone());
                    assert_eq!(weights.collect::<Option<Vec<_>>>(), best.weights);
                    assert_eq!(pieces.last().unwrap().text, best.text);
                    for pair in pieces.windows(2) {
                        assert!(pair[1].text.starts_with(&pair[0].text));
                    }
                }
            }
        }
    }

    #[test]
    fn a_request_that_is_called_off_ends_and_the_others_do_not_notice() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), LUONG);
        for beam_size in [1, 3] {
            let search = SearchConfig {
                beam_size,
                min_len: 4,
                ..Default::default()
            };
            let expected = translator.translate(&LINES, &search).unwrap();
            let (found, notes) = observe(&translator, &LINES, &search, true);
            assert_eq!(notes.steps[3], 2);
            assert!(found[3].candidates.is_empty());
            for index in [0, 1, 2, 4, 5, 6] {
                assert_same(&found[index..=index], &expected[index..=index]);
                assert!(beam_size == 1 || notes.pieces[index].is_empty());
            }
        }
    }

    #[test]
    fn what_would_be_refused_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), LUONG);
        let mut request = TranslationRequest::new("abc");
        assert_eq!(translator.check(&request, &search()).unwrap(), 3);
        request.constraints = vec![String::new()];
        let error = translator.check(&request, &search()).unwrap_err();
        assert!(error.to_string().contains("constraints"), "{error}");
        let wide = SearchConfig {
            beam_size: 0,
            ..search()
        };
        let error = translator.check(&TranslationRequest::new("abc"), &wide);
        assert!(error.unwrap_err().to_string().contains("beam_size"));
    }
}
