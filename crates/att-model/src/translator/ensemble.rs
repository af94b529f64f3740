//! Several models as one.

use att_core::ops::{Mixture, PreparedWeights};
use att_core::{Error as CoreError, on_kernel_threads};
use att_data::{Batch, Example, Pair};

use super::translation::with_eos;
use super::{Candidate, CandidateAttention, Translator};
use crate::directory::TGT_TOKENIZER;
use crate::score::force;
use crate::{Error, ModelDirectory, Result, Seq2Seq};

/// One model of a [`Translator`].
#[derive(Debug)]
pub(super) struct Member {
    pub(super) directory: ModelDirectory,
    pub(super) model: Seq2Seq,
    pub(super) prepared: PreparedWeights,
    /// Whether it cuts sources as the first member does.
    pub(super) reads_as_first: bool,
}

impl Member {
    /// A pair as it reads it.
    pub(super) fn example(&self, pair: &Pair) -> Example {
        let directory = &self.directory;
        let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
        directory.model.example(pair, src, tgt)
    }

    pub(super) fn copies(&self) -> bool {
        self.directory.model.decoder.copies()
    }

    /// The error of what does not go with a model that copies.
    pub(super) fn refused<T>(&self, reason: &'static str) -> Result<T> {
        let path = self.directory.path().to_path_buf();
        Err(Error::Copying { path, reason })
    }
}

impl Translator {
    /// Several models as one: at each step of search their probabilities are mixed (see
    /// [`Mixture`]). They may differ in all but the target vocabulary; each reads a line with its own
    /// tokeniser. All else is the first one's: how to search, its tokens of the source, and with them the
    /// attention, which is the mean of all models' where they read the same tokens.
    /// [`member_attention`](Self::member_attention) has that of each.
    ///
    /// - `weights`: one a model, scaled to a sum of 1; of an ensemble, all of its models share its weight
    ///
    /// # Errors
    ///
    /// If there is no model, or not one weight each, above zero; if a target vocabulary is not the
    /// first one's; and if some copy tokens of the source, but not all, or not of the same tokens.
    pub fn ensemble(models: Vec<Self>, weights: &[f64], mixture: Mixture) -> Result<Self> {
        let refuse = |reason: String| Err(CoreError::config("weights", reason).into());
        if models.is_empty() || models.len() != weights.len() {
            let (models, weights) = (models.len(), weights.len());
            return refuse(format!(
                "{weights} weights for {models} models: give one weight a model"
            ));
        }
        if let Some(bad) = weights.iter().find(|w| !(**w > 0.0 && w.is_finite())) {
            return refuse(format!("{bad} is no weight: it must be above 0"));
        }
        let mut models = models.into_iter().zip(weights);
        let (mut together, &weight) = models.next().expect("there is one");
        together.scale_weights(weight);
        for (mut other, &weight) in models {
            together.check_target(&other)?;
            other.scale_weights(weight);
            let tokenizer = &together.directory().src_tokenizer;
            for member in &mut other.members {
                member.reads_as_first = member.directory.src_tokenizer == *tokenizer;
            }
            together.members.extend(other.members);
            together.weights.extend(other.weights);
        }
        together.mixture = mixture;
        let fits = |member: &Member| member.copies() && member.reads_as_first;
        match together.copying() {
            Some(one) if !together.members.iter().all(fits) => one.refused(
                "the other models of its ensemble must copy too, and cut sources into the same tokens",
            ),
            _ => Ok(together),
        }
    }

    /// A model that copies, if there is one.
    pub(super) fn copying(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.copies())
    }

    /// To a sum of `weight`.
    fn scale_weights(&mut self, weight: f64) {
        let sum: f64 = self.weights.iter().sum();
        for own in &mut self.weights {
            *own *= weight / sum;
        }
    }

    fn check_target(&self, other: &Self) -> Result<()> {
        let vocabulary = |translator: &Self| {
            let tokenizer = &translator.directory().tgt_tokenizer;
            tokenizer.vocabulary().tokens().to_vec()
        };
        let (own, others) = (vocabulary(self), vocabulary(other));
        let reason = if own.len() != others.len() {
            format!("{} tokens and {}", own.len(), others.len())
        } else if let Some(id) = (0..own.len()).find(|&id| own[id] != others[id]) {
            format!("id {id} is '{}' and '{}'", own[id], others[id])
        } else {
            return Ok(());
        };
        let path = |translator: &Self| translator.directory().path().join(TGT_TOKENIZER);
        Err(Error::TargetVocabularies {
            first: path(self),
            other: path(other),
            reason,
        })
    }

    /// The attention of each model of an ensemble for one of the candidates of a line, over the tokens that
    /// this model reads; none of a model without attention. It is that of a pass over the known target,
    /// which search does not keep.
    pub fn member_attention(
        &self,
        line: &str,
        candidate: &Candidate,
    ) -> Vec<Option<CandidateAttention>> {
        let tgt = self.candidate_example(line, candidate).tgt;
        let attention = |member: &Member| {
            let tokenizer = &member.directory.src_tokenizer;
            let example = Example {
                tgt: tgt.clone(),
                ..member.example(&Pair::new(line, ""))
            };
            let batch = Batch::new(&[example], &[0]);
            let forced =
                on_kernel_threads(|| force(&member.model, &batch, self.head_weights)).remove(0);
            Some(CandidateAttention {
                src_tokens: with_eos(tokenizer.tokens(line)),
                tgt_tokens: candidate.tokens.clone(),
                weights: forced.weights?.concat(),
                head_weights: forced.head_weights,
            })
        };
        self.members.iter().map(attention).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Forced;
    use crate::translator::test_support::*;
    use att_core::special::EOS;
    use att_data::{Shortlist, Tokenizer, TokenizerConfig};

    #[test]
    fn a_model_twice_is_the_model() {
        let folder = tempfile::tempdir().unwrap();
        for mixture in [Mixture::Average, Mixture::LogLinear] {
            let alone = translator(folder.path(), LUONG);
            let expected = alone.translate(&LINES, &search()).unwrap();
            let twice = vec![alone, translator(folder.path(), LUONG)];
            let twice = Translator::ensemble(twice, &[0.5, 0.5], mixture).unwrap();
            let found = twice.translate(&LINES, &search()).unwrap();
            assert_same(&found, &expected);
            for (found, expected) in found.iter().zip(&expected) {
                for (found, expected) in found.candidates.iter().zip(&expected.candidates) {
                    assert_eq!(found.text, expected.text);
                    let error = (found.score - expected.score).abs();
                    assert!(error < 1e-6 * expected.score.abs().max(1.0), "{error}");
                }
            }
        }
    }

    #[test]
    fn an_ensemble_mixes_the_probabilities_of_its_models() {
        let folder = tempfile::tempdir().unwrap();
        let weights = [0.5, 0.3, 0.2];
        let members_alone = members(&folder.path().join("alone"));
        let models = members(folder.path());
        let ensemble = Translator::ensemble(models, &[5.0, 3.0, 2.0], Mixture::Average).unwrap();
        let ensemble = ensemble.with_batch_size(1);
        let found = ensemble.translate(&LINES, &search()).unwrap();
        for (line, found) in LINES.iter().zip(&found) {
            for candidate in &found.candidates {
                let by_member: Vec<Forced> = members_alone
                    .iter()
                    .map(|member| {
                        force(member.model(), &known(member, line, candidate), false).remove(0)
                    })
                    .collect();
                for (step, found) in candidate.token_log_probs.iter().enumerate() {
                    let p = by_member.iter().zip(weights).map(|(member, weight)| {
                        weight * f64::from(member.token_log_probs[step]).exp()
                    });
                    let error = (f64::from(*found) - p.sum::<f64>().ln()).abs();
                    assert!(error < 1e-5, "{line} {step}: {error}");
                }
                // The models do not read the same tokens, so attention is that of the first.
                let first = by_member[0].weights.clone().unwrap().concat();
                let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
                let reported = candidate.weights.clone().unwrap().concat();
                assert!(reported.iter().zip(&first).all(near));
                let kept = ensemble.member_attention(line, candidate);
                assert_eq!(kept.len(), 3);
                for ((kept, forced), member) in kept.into_iter().zip(by_member).zip(&members_alone)
                {
                    let kept = kept.unwrap();
                    let tokens = member.directory().src_tokenizer.tokens(line);
                    assert_eq!(kept.src_tokens, with_eos(tokens));
                    assert_eq!(kept.weights, forced.weights.unwrap().concat());
                }
            }
        }
        for batch_size in [2, 64] {
            let models = members(folder.path());
            let ensemble = Translator::ensemble(models, &weights, Mixture::Average).unwrap();
            let ensemble = ensemble.with_batch_size(batch_size);
            assert_same(&ensemble.translate(&LINES, &search()).unwrap(), &found);
        }
    }

    #[test]
    fn attention_is_the_mean_of_models_that_read_the_same_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let mut models = members(folder.path());
        models.truncate(2);
        let ensemble = Translator::ensemble(models, &[1.0, 2.0], Mixture::LogLinear).unwrap();
        let found = ensemble.translate(&["abcd"], &search()).unwrap().remove(0);
        let candidate = &found.candidates[0];
        let members = ensemble.member_attention("abcd", candidate);
        let [one, two] = [0, 1].map(|member: usize| members[member].clone().unwrap().weights);
        let mean = one.iter().zip(&two).map(|(one, two)| (one + two) / 2.0);
        let found = candidate.weights.clone().unwrap().concat();
        assert_eq!(found.len(), one.len());
        assert!(found.iter().zip(mean).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(one.iter().zip(&two).any(|(a, b)| (a - b).abs() > 1e-3));
    }

    #[test]
    fn an_ensemble_has_one_target_vocabulary_and_a_weight_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |other: Tokenizer, weights: &[f64], parts: &[&str]| {
            let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
            let encoder = "kind = 'recurrent'";
            let models = vec![
                translator_with(&a, encoder, LUONG, [letters(), letters()], 1),
                translator_with(&b, encoder, LUONG, [letters(), other], 2),
            ];
            let error = Translator::ensemble(models, weights, Mixture::Average).unwrap_err();
            let message = error.to_string();
            for part in parts {
                assert!(message.contains(part), "'{part}' is not in: {message}");
            }
        };
        let files = ["/a/tgt.tokenizer.json", "/b/tgt.tokenizer.json"];
        let others = TokenizerConfig::char().train(["abce"]).unwrap();
        refused(others, &[1.0; 2], &[&files[..], &["'d' and 'e'"]].concat());
        let more = TokenizerConfig::char().train(["abcde"]).unwrap();
        refused(more, &[1.0; 2], &[&files[..], &["8 tokens and 9"]].concat());
        refused(letters(), &[1.0], &["weights", "1 weights for 2 models"]);
        refused(letters(), &[1.0, 0.0], &["weights", "above 0"]);
    }

    #[test]
    fn an_ensemble_copies_where_all_its_models_do() {
        let folder = tempfile::tempdir().unwrap();
        let model = |name: &str, decoder: &str, src: Tokenizer, seed| {
            let folder = folder.path().join(name);
            translator_with(
                &folder,
                "kind = 'recurrent'",
                decoder,
                [src, letters()],
                seed,
            )
        };
        let two = |a, b| Translator::ensemble(vec![a, b], &[1.0; 2], Mixture::Average);
        let one = || model("one", COPYING, letters(), 1);
        let lines = ["öab", "", "ßüßö", "abcd", "zzzzzzy"];
        let expected = one().translate(&lines, &search()).unwrap();
        let twice = two(one(), one()).unwrap();
        assert_same(&twice.translate(&lines, &search()).unwrap(), &expected);

        let bahdanau = || model("two", "kind = 'bahdanau', copy = true", letters(), 2);
        let found = two(one(), bahdanau()).unwrap();
        let found = found.translate(&lines, &search()).unwrap();
        for (line, found) in lines.iter().zip(&found) {
            for candidate in &found.candidates {
                let by_member = [one(), bahdanau()].map(|member| {
                    let extended = member.extended_vocabulary(line).unwrap();
                    let id = |token: &String| {
                        let known = member.directory().tgt_tokenizer.token_to_id(token);
                        let extra = extended.src_ids().iter().copied();
                        let extra = extra.filter(|&id| extended.token(id) == Some(token.as_str()));
                        known.or(extra.max()).unwrap()
                    };
                    let mut tgt: Vec<u32> = candidate.tokens.iter().map(id).collect();
                    assert_eq!(tgt.pop(), Some(EOS));
                    let example = Example {
                        tgt,
                        ..member.example(&Pair::new(*line, ""))
                    };
                    force(member.model(), &Batch::new(&[example], &[0]), false).remove(0)
                });
                for (step, found) in candidate.token_log_probs.iter().enumerate() {
                    let p = by_member
                        .iter()
                        .map(|member| member.token_log_probs[step].exp());
                    let error = (found - (p.sum::<f32>() / 2.0).ln()).abs();
                    assert!(error < 1e-5, "{line} {step}: {error}");
                }
            }
        }

        let refused = |found: Result<Translator>| {
            let message = found.unwrap_err().to_string();
            assert!(message.contains("/one is a model that copies"), "{message}");
        };
        refused(two(one(), model("plain", LUONG, letters(), 3)));
        refused(two(model("plain", LUONG, letters(), 3), one()));
        let pieces = TokenizerConfig::bpe(9).train(["abcd ab cd"]).unwrap();
        refused(two(one(), model("pieces", COPYING, pieces, 4)));
        let lexicon = att_data::Lexicon::train(&[], 1);
        refused(one().with_shortlist(Shortlist::new(&lexicon, 8, 2, &[], 1)));
    }
}
