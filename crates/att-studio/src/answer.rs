use att_decoder::search::SearchConfig;
use att_inspect::{
    AttentionMap, AttentionNumbers, AttentionRecord, NumbersSum, SearchTree, coverage, entropy,
};
use att_model::{Alternative, Candidate, HeadWeights, TranslationObserver, Translator};
use serde::{Serialize, Serializer};

use crate::{Erasure, Hypothesis, Request, Result, alignment, search_tree};

/// A translation with all that explains it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    /// The tokens of the source, EOS the last; none of a blank text.
    pub src_tokens: Vec<String>,
    /// Best first; none of a blank text.
    pub hypotheses: Vec<Explained>,
    /// All that search weighed, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<SearchTree>,
}

/// An [`Answer`] with the name of the model that it is from, where there may be several.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedAnswer<'a> {
    /// What requests call the model.
    pub model: &'a str,
    /// In JSON its keys stand beside the name.
    #[serde(flatten)]
    pub answer: Answer,
}

/// A hypothesis with all that explains it. In JSON it begins as a [`Hypothesis`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// What search found.
    #[serde(flatten, serialize_with = "as_hypothesis")]
    pub candidate: Candidate,
    /// Of a model with attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
    /// The most probable tokens at each step, best first, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Vec<Alternative>>,
    /// What each source token matters, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erasure: Option<Erasure>,
}

fn as_hypothesis<S: Serializer>(candidate: &Candidate, to: S) -> Result<S::Ok, S::Error> {
    Hypothesis::from(candidate).serialize(to)
}

/// The attention of a hypothesis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attention {
    /// For each target token a row over the source tokens.
    pub weights: Vec<Vec<f32>>,
    /// The entropy of each row, in nats.
    pub entropy: Vec<f64>,
    /// The sum of each source token's weights.
    pub coverage: Vec<f64>,
    /// The source token that each target token looks at most, in the Pharaoh format, EOS left out.
    pub alignment: String,
    /// What the whole looks like in numbers.
    pub numbers: AttentionNumbers,
    /// Tokens merged to words, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<AttentionMap>,
    /// The weights of each layer and head, `[layer][head][target][source]`, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub head_weights: HeadWeights,
}

impl Request {
    /// Translates the sentence and says all that was asked for, on the calling thread.
    ///
    /// - `search`: that of [`search_of`](Self::search_of)
    /// - `observer`: may call it off; then there are no hypotheses, or fewer
    ///
    /// # Errors
    ///
    /// As of [`check`](Self::check).
    pub fn answer(
        &self,
        translator: &Translator,
        search: &SearchConfig,
        observer: &mut dyn TranslationObserver,
    ) -> Result<Answer> {
        self.check(translator, search)?;
        if self.text.trim().is_empty() {
            return Ok(Answer::default());
        }
        let request = self.translation();
        let found =
            translator.translate_observed(std::slice::from_ref(&request), search, observer)?;
        let found = found.into_iter().next().unwrap_or_default();
        let mut alternatives = Vec::new();
        if self.alternatives > 0 && observer.goes_on(0) {
            let k = self.alternatives;
            alternatives = translator.alternatives(&request, &found.candidates, k)?;
        }
        let mut alternatives = alternatives.into_iter();
        let tree = found.tree.map(|tree| {
            let named = search_tree(translator, &self.text, tree);
            named.expect("search has recorded it")
        });
        let src_tokens = found.src_tokens;
        // A pass over what was found would know nothing of edits.
        let erases = self.erasure && self.edits.is_empty();
        let explained = |candidate: Candidate| {
            let attention = self.attention(translator, &src_tokens, &candidate);
            let coverage = attention.as_ref().map(|one| one.coverage.as_slice());
            let erasure = (erases && observer.goes_on(0))
                .then(|| Erasure::new(translator, &self.text, &candidate, coverage));
            Explained {
                attention,
                alternatives: alternatives.next().unwrap_or_default(),
                erasure: erasure.flatten(),
                candidate,
            }
        };
        Ok(Answer {
            hypotheses: found.candidates.into_iter().map(explained).collect(),
            src_tokens,
            tree,
        })
    }

    fn attention(
        &self,
        translator: &Translator,
        src_tokens: &[String],
        candidate: &Candidate,
    ) -> Option<Attention> {
        let weights = candidate.weights.clone()?;
        let (src, tgt) = (src_tokens.to_vec(), candidate.tokens.clone());
        let map = AttentionMap::new(src, tgt, weights.concat()).ok()?;
        let directory = translator.directory();
        let words = self.words.then(|| AttentionRecord {
            id: None,
            model: None,
            rank: 0,
            score: None,
            text: String::new(),
            src_words: directory.src_tokenizer.words(src_tokens),
            tgt_words: directory.tgt_tokenizer.words(&candidate.tokens),
            map: map.clone(),
            head_weights: Vec::new(),
        });
        let merged = words.map(|record| record.merged().expect("tokenisers number words"));
        // A pass over what was found would know nothing of edits.
        let heads = (self.heads && self.edits.is_empty()).then(|| {
            let of_members = translator.member_attention(&self.text, candidate);
            let first = of_members.into_iter().next().flatten();
            first.map_or_else(HeadWeights::new, |first| first.head_weights)
        });
        let mut numbers = NumbersSum::default();
        numbers.add(&map);
        Some(Attention {
            weights,
            entropy: entropy(&map),
            coverage: coverage(&map),
            alignment: alignment(src_tokens, candidate).unwrap_or_default(),
            numbers: numbers.numbers(),
            words: merged.map(|record| record.map),
            head_weights: heads.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::*;
    use att_model::AttentionEdit;

    fn ask(text: &str) -> Request {
        Request {
            text: text.into(),
            ..Request::default()
        }
    }

    fn answer(request: &Request, translator: &Translator) -> Answer {
        let search = request.search_of(&translator.directory().search);
        request.answer(translator, &search, &mut ()).unwrap()
    }

    #[test]
    fn an_answer_is_what_the_translator_says_with_all_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), LUONG);
        let request = Request {
            words: true,
            tree: true,
            alternatives: 3,
            erasure: true,
            ..ask("ab d")
        };
        let found = answer(&request, &translator);
        let search = request.search_of(&translator.directory().search);
        assert_eq!(search.n_best, 4, "all of a beam of four");
        let expected = translator.translate(&["ab d"], &search).unwrap().remove(0);
        assert_eq!(found.src_tokens, expected.src_tokens);
        assert_eq!(found.hypotheses.len(), expected.candidates.len());
        for (found, expected) in found.hypotheses.iter().zip(&expected.candidates) {
            assert_eq!(found.candidate, *expected);
            let attention = found.attention.as_ref().unwrap();
            assert_eq!(Some(&attention.weights), expected.weights.as_ref());
            let steps = expected.tokens.len();
            assert_eq!(attention.entropy.len(), steps);
            let covered: f64 = attention.coverage.iter().sum();
            assert!((covered - steps as f64).abs() < 1e-4, "rows sum to one");
            assert_eq!(attention.numbers.steps, steps);
            let words = attention.words.as_ref().unwrap();
            assert_eq!(words.src_tokens(), ["ab", "d", "</s>"]);
            assert_eq!(found.alternatives.len(), steps);
            assert_eq!(found.erasure.as_ref().unwrap().importance.len(), 5);
            for (alternatives, log_prob) in found.alternatives.iter().zip(&expected.token_log_probs)
            {
                assert_eq!(alternatives.len(), 3);
                assert!(alternatives[0].log_prob >= log_prob - 1e-5);
            }
        }
        let nodes = found.tree.unwrap().nodes().to_vec();
        let ranks = nodes.iter().filter(|node| node.rank.is_some()).count();
        assert_eq!(ranks, found.hypotheses.len());

        let plain = answer(&ask("ab d"), &translator);
        assert_eq!(plain.tree, None);
        for one in &plain.hypotheses {
            assert!(one.alternatives.is_empty() && one.erasure.is_none());
            let attention = one.attention.as_ref().unwrap();
            assert!(attention.words.is_none() && attention.head_weights.is_empty());
        }
        assert_eq!(answer(&ask(" "), &translator), Answer::default());
    }

    #[test]
    fn json_begins_as_a_hypothesis() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), LUONG);
        let found = answer(&ask("abcd"), &translator);
        let json = serde_json::to_value(&found).unwrap();
        let first = &json["hypotheses"][0];
        let hypothesis = Hypothesis::from(&found.hypotheses[0].candidate);
        let hypothesis = serde_json::to_value(&hypothesis).unwrap();
        for (key, value) in hypothesis.as_object().unwrap() {
            assert_eq!(first[key], *value, "{key}");
        }
        assert_eq!(
            first["attention"]["weights"][0].as_array().unwrap().len(),
            5
        );
        assert!(first.get("alternatives").is_none() && json.get("tree").is_none());
    }

    #[test]
    fn models_with_heads_show_them_and_those_without_attention_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let heads = "kind = 'convolutional', d_hidden = 6, layers = 2";
        let translator = translator(folder.path(), heads).with_head_weights();
        let request = Request {
            heads: true,
            ..ask("abc")
        };
        let found = answer(&request, &translator);
        let first = &found.hypotheses[0];
        let weights = &first.attention.as_ref().unwrap().head_weights;
        assert_eq!([weights.len(), weights[0].len()], [2, 1]);
        assert_eq!(weights[0][0].len(), first.candidate.tokens.len());

        let folder = tempfile::tempdir().unwrap();
        let summary = crate::test_support::translator(folder.path(), SUMMARY);
        let found = answer(&request, &summary);
        assert!(found.hypotheses.iter().all(|one| one.attention.is_none()));
    }

    #[test]
    fn a_step_looks_where_it_is_told_and_search_goes_on_from_there() {
        for decoder in [LUONG, "kind = 'convolutional', d_hidden = 6, layers = 2"] {
            let folder = tempfile::tempdir().unwrap();
            let translator = translator(folder.path(), decoder).with_head_weights();
            let plain = answer(&ask("abcd"), &translator);
            let first = plain.hypotheses[0].candidate.tokens[0].clone();
            let mut request = Request {
                pinned: vec![first.clone()],
                edits: vec![AttentionEdit {
                    step: 1,
                    weights: vec![0.0, 0.0, 0.0, 3.0, 1.0],
                }],
                alternatives: 4,
                heads: true,
                erasure: true,
                ..ask("abcd")
            };
            let edited = answer(&request, &translator);
            request.edits.clear();
            let pinned = answer(&request, &translator);
            let steps = |answer: &Answer| answer.hypotheses[0].alternatives.clone();
            assert_eq!(
                steps(&edited)[0],
                steps(&pinned)[0],
                "what came before is as it was"
            );
            assert_ne!(
                steps(&edited)[1],
                steps(&pinned)[1],
                "the step says something else"
            );
            for one in &edited.hypotheses {
                assert_eq!(one.candidate.tokens[0], first);
                let attention = one.attention.as_ref().unwrap();
                for (found, expected) in
                    attention.weights[1].iter().zip([0.0, 0.0, 0.0, 0.75, 0.25])
                {
                    assert!((found - expected).abs() < 1e-6);
                }
                // Neither comes from the search.
                assert!(attention.head_weights.is_empty() && one.erasure.is_none());
                let steps = one.candidate.tokens.iter().zip(&one.alternatives);
                for ((token, alternatives), log_prob) in steps.zip(&one.candidate.token_log_probs) {
                    let own = alternatives.iter().find(|other| other.token == *token);
                    if let Some(own) = own {
                        assert!((own.log_prob - log_prob).abs() < 1e-5);
                    }
                }
            }
            // The model's own weights change nothing.
            let own = pinned.hypotheses[0].attention.as_ref().unwrap().weights[1].clone();
            if decoder == LUONG {
                request.edits.push(AttentionEdit {
                    step: 1,
                    weights: own,
                });
                let same = answer(&request, &translator);
                for (same, pinned) in same.hypotheses.iter().zip(&pinned.hypotheses) {
                    assert_eq!(same.candidate.tokens, pinned.candidate.tokens);
                    assert!((same.candidate.log_prob - pinned.candidate.log_prob).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), LUONG);
        let refused = |request: Request, key: &str| {
            let search = request.search_of(&translator.directory().search);
            let answer = request.answer(&translator, &search, &mut ());
            let message = answer.unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        };
        let many = Request {
            alternatives: 51,
            ..ask("abc")
        };
        refused(many, "alternatives");
        let pinned = Request {
            pinned: vec!["z".into()],
            ..ask("abc")
        };
        refused(pinned, "pinned");
        for weights in [
            vec![1.0; 3],
            vec![0.0; 4],
            vec![1.0, -1.0, 1.0, 0.0],
            vec![f32::NAN; 4],
        ] {
            let edited = Request {
                edits: vec![AttentionEdit { step: 0, weights }],
                ..ask("abc")
            };
            refused(edited, "edits: step 0");
        }
        let mut wide = ask("abc");
        wide.search.beam_size = Some(0);
        refused(wide, "beam_size");
        for unknown in [
            r#"{"text": "a", "beam": 3}"#,
            r#"{"text": "a", "search": {"beams": 3}}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<Request>(unknown).is_err());
        }
    }
}
