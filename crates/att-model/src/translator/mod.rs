mod alternatives;
mod edits;
mod ensemble;
mod feed;
mod names;
mod observed;
#[cfg(test)]
pub(crate) mod test_support;
mod translation;
mod windows;

use std::path::Path;

use att_core::ops::{Mixture, PreparedWeights, WeightFormat};
use att_data::{Batch, Example, ExtendedVocabulary, Pair, Shortlist, special};
use att_decoder::search::{Request, SearchConfig};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use crate::together::Together;
use crate::{Error, ModelDirectory, Result, Seq2Seq};
pub use alternatives::Alternative;
pub use edits::AttentionEdit;
use ensemble::Member;
pub use feed::TranslationFeed;
pub use names::TargetNames;
pub use observed::{FoundPiece, TranslationObserver};
pub(crate) use translation::with_eos;
pub use translation::{
    Candidate, CandidateAttention, HeadWeights, Translation, TranslationRequest,
};

/// Text in, text out, with the attention in between: with one model, or with several of one target
/// vocabulary ([`ensemble`](Self::ensemble)).
#[derive(Debug)]
pub struct Translator {
    /// One at least.
    members: Vec<Member>,
    /// Of each member.
    weights: Vec<f64>,
    mixture: Mixture,
    shortlist: Option<Shortlist>,
    batch_size: usize,
    pub(crate) head_weights: bool,
}

impl Translator {
    /// Loads a model directory. Products take the format that its weights are stored in.
    ///
    /// # Errors
    ///
    /// If something is missing, damaged, or does not belong together.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let directory = ModelDirectory::open(path.as_ref())?;
        let (model, format) = directory.load_weights_and_format(device)?;
        Ok(Self::new(directory, model).with_weight_format(format))
    }

    /// From a model at hand, such as one in training.
    pub fn new(directory: ModelDirectory, model: Seq2Seq) -> Self {
        let prepared = prepare(&model, WeightFormat::F32);
        let member = Member {
            directory,
            model,
            prepared,
            reads_as_first: true,
        };
        Self {
            members: vec![member],
            weights: vec![1.0],
            mixture: Mixture::Average,
            shortlist: None,
            batch_size: 64,
            head_weights: false,
        }
    }

    /// Leaves each source the target tokens alone that the shortlist has for it, which must be of the
    /// (first) model's vocabularies: faster where the vocabulary is large.
    ///
    /// # Errors
    ///
    /// If the model copies tokens of the source: they may be in no list.
    pub fn with_shortlist(mut self, shortlist: Shortlist) -> Result<Self> {
        if let Some(member) = self.copying() {
            return member.refused("it can't have a shortlist");
        }
        self.shortlist = Some(shortlist);
        Ok(self)
    }

    /// Rounds the weights to this format in products on CPU (of [`new`](Self::new), f32): faster, and
    /// not quite the same results.
    #[must_use]
    pub fn with_weight_format(mut self, format: WeightFormat) -> Self {
        for member in &mut self.members {
            member.prepared = prepare(&member.model, format);
        }
        self
    }

    /// Translates up to that many lines at a time (64 unless told), at least one, and fewer where
    /// they are long; changes speed, not results.
    #[must_use]
    pub fn with_batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size.max(1);
        self
    }

    /// Lets [`score`](Self::score) and [`member_attention`](Self::member_attention) give the weights of each
    /// layer and head beside those of the step.
    #[must_use]
    pub fn with_head_weights(mut self) -> Self {
        self.head_weights = true;
        self
    }

    /// How many lines are translated at a time, at most.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The directory that the model came from; of an ensemble the first one's.
    pub fn directory(&self) -> &ModelDirectory {
        &self.members[0].directory
    }

    /// The model; of an ensemble the first one.
    pub fn model(&self) -> &Seq2Seq {
        &self.members[0].model
    }

    /// The directories of all models of an ensemble; otherwise one.
    pub fn directories(&self) -> impl Iterator<Item = &ModelDirectory> {
        self.members.iter().map(|member| &member.directory)
    }

    /// One result a line, in the order of the lines. Lines of like length share a batch; a very
    /// long one is a batch of its own. On a CPU batches are translated side by side, one thread
    /// each: the number of threads changes no result.
    ///
    /// # Errors
    ///
    /// If a setting of the search is out of its range.
    pub fn translate<S: AsRef<str>>(
        &self,
        lines: &[S],
        search: &SearchConfig,
    ) -> Result<Vec<Translation>> {
        let requests = lines
            .iter()
            .map(|line| TranslationRequest::new(line.as_ref()));
        self.translate_requests(&requests.collect::<Vec<_>>(), search)
    }

    /// As [`translate`](Self::translate), each line as it is asked for. Prefixes and phrases are cut into
    /// tokens on their own.
    ///
    /// # Errors
    ///
    /// If a setting of the search is out of its range, does not go with what is asked for, or needs
    /// attention that the model does not have.
    pub fn translate_requests(
        &self,
        requests: &[TranslationRequest],
        search: &SearchConfig,
    ) -> Result<Vec<Translation>> {
        let mut found = Vec::with_capacity(requests.len());
        let requests = requests.iter().cloned();
        self.translate_windows(requests, usize::MAX, search, |_, translation| {
            found.push(translation);
            Ok::<_, Error>(())
        })?;
        Ok(found)
    }

    /// Says what [`translate_requests`](Self::translate_requests) would say of a request, without
    /// translating it. Returns how many source tokens the (first) model reads, EOS not counted.
    ///
    /// # Errors
    ///
    /// As of that.
    pub fn check(&self, request: &TranslationRequest, search: &SearchConfig) -> Result<usize> {
        self.check_search(search)?;
        let src = self.example(&Pair::new(request.line.as_str(), "")).src;
        self.request(request, &src, search)?;
        Ok(src.len())
    }

    fn check_search(&self, search: &SearchConfig) -> Result<()> {
        search.validate()?;
        if !self.directory().model.decoder.has_attention() {
            search.validate_without_attention()?;
        }
        Ok(())
    }

    /// What search is asked for a line with these source tokens, EOS left out.
    fn request(
        &self,
        asked: &TranslationRequest,
        src: &[u32],
        search: &SearchConfig,
    ) -> Result<Request> {
        // As the model would copy it; for nothing the line need not be cut again.
        let target = |text: &String| {
            if text.is_empty() {
                return Vec::new();
            }
            let pair = Pair::new(asked.line.as_str(), text.as_str());
            self.example(&pair).tgt
        };
        let shortlist = self.shortlist.as_ref();
        let pinned = if asked.pinned.is_empty() {
            Vec::new()
        } else {
            self.target_names(&asked.line).ids(&asked.pinned)?
        };
        self.check_edits(&asked.edits, src.len() + 1)?;
        let request = Request {
            prefix: [target(&asked.prefix), pinned].concat(),
            constraints: asked.constraints.iter().map(target).collect(),
            record: asked.record,
            allowed: shortlist.map(|shortlist| shortlist.of(src)),
            ..Request::new(&[src, &[special::EOS]].concat())
        };
        request.validate(search)?;
        Ok(request)
    }

    /// All models as one.
    ///
    /// - `edits`: of the only source
    pub(crate) fn together<'a>(&'a self, edits: &'a [AttentionEdit]) -> Together<'a> {
        Together {
            edits,
            models: self.members.iter().map(|member| &member.model).collect(),
            weights: &self.weights,
            mixture: self.mixture,
            same_tokens: self.members.iter().all(|member| member.reads_as_first),
        }
    }

    /// For each model the pairs of `indices` as it reads them; `first` is how the first one does.
    pub(crate) fn as_members_read(
        &self,
        first: Batch,
        indices: &[usize],
        pair: impl Fn(usize) -> Pair,
    ) -> Vec<Batch> {
        let reads = |member: &Member| {
            if member.reads_as_first {
                return first.clone();
            }
            let read = |&index: &usize| member.example(&pair(index));
            let examples: Vec<Example> = indices.iter().map(read).collect();
            Batch::new(&examples, &(0..examples.len()).collect::<Vec<_>>())
        };
        self.members.iter().map(reads).collect()
    }

    /// A pair as the (first) model reads it.
    pub(crate) fn example(&self, pair: &Pair) -> Example {
        self.members[0].example(pair)
    }

    /// A line and a candidate of it, token by token as it came out, as ids that the (first) model reads: what
    /// forced decoding of it takes ([`force`](crate::force)).
    pub fn candidate_example(&self, line: &str, candidate: &Candidate) -> Example {
        let names = self.target_names(line);
        let id = |token: &String| names.id(token).unwrap_or(special::UNK);
        let ids = candidate.tokens.iter().map(id);
        Example {
            tgt: ids.take_while(|&id| id != special::EOS).collect(),
            ..self.example(&Pair::new(line, ""))
        }
    }

    /// Of a model that copies, the target vocabulary extended by the tokens of a line, which its outputs
    /// may have: of an ensemble the first one's.
    pub fn extended_vocabulary(&self, line: &str) -> Option<ExtendedVocabulary> {
        let ModelDirectory {
            model,
            src_tokenizer,
            tgt_tokenizer,
            ..
        } = self.directory();
        let copies = model.decoder.copies();
        copies.then(|| ExtendedVocabulary::new(src_tokenizer, tgt_tokenizer, line))
    }
}

/// Products with a model's matrices, arranged once for all batches.
fn prepare(model: &Seq2Seq, format: WeightFormat) -> PreparedWeights {
    struct Matrices(Vec<Tensor<2>>);
    impl ModuleVisitor for Matrices {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let [rows, cols] = param.shape()[..] {
                self.0.push(param.val().reshape([rows, cols]));
            }
        }
    }
    let mut matrices = Matrices(Vec::new());
    model.visit(&mut matrices);
    PreparedWeights::new(matrices.0, format)
}

#[cfg(test)]
mod tests {
    use super::test_support::*;
    use super::*;
    use att_decoder::search::{SamplingConfig, StrategyConfig};

    /// Of a source without letters there are the special tokens alone.
    #[test]
    fn with_a_shortlist_each_source_has_its_own_tokens_alone() {
        let folder = tempfile::tempdir().unwrap();
        let pairs: Vec<Example> = [[4, 5], [5, 6], [4, 6], [7, 5]]
            .map(|ids: [u32; 2]| Example {
                src: ids.to_vec(),
                tgt: ids.to_vec(),
                copy_ids: None,
            })
            .into();
        let lexicon = att_data::Lexicon::train(&pairs, 3);
        let shortlist = Shortlist::new(&lexicon, 8, 2, &pairs, 1);
        let together = |mixture| {
            let ensemble = Translator::ensemble(members(folder.path()), &[1.0; 3], mixture);
            ensemble.unwrap().with_shortlist(shortlist.clone()).unwrap()
        };
        let alone = || {
            let alone = translator(folder.path(), LUONG);
            alone.with_shortlist(shortlist.clone()).unwrap()
        };

        let found = alone().translate(&LINES, &search()).unwrap();
        let translator = alone();
        let model = translator.model();
        for (line, found) in LINES.iter().zip(&found) {
            let allowed = shortlist.of(&letters().encode(line));
            for candidate in &found.candidates {
                let output = model.forward(&known(&translator, line, candidate));
                let logits = att_core::host_vec(model.logits(&output));
                let steps = logits.chunks(8).zip(&output.gold);
                for ((logits, &gold), found) in steps.zip(&candidate.token_log_probs) {
                    assert!(allowed.contains(&gold), "{line}: {}", candidate.text);
                    let exp = |id: &u32| f64::from(logits[*id as usize]).exp();
                    let sum: f64 = allowed.iter().map(exp).sum();
                    let expected = (exp(&gold) / sum).ln();
                    assert!((f64::from(*found) - expected).abs() < 1e-5);
                }
            }
        }
        let average = together(Mixture::Average);
        let of_ensemble = average.translate(&LINES, &search()).unwrap();
        for batch_size in [1, 3] {
            let found_again = alone().with_batch_size(batch_size);
            let found_again = found_again.translate(&LINES, &search()).unwrap();
            assert_same(&found_again, &found);
            let found_again = together(Mixture::Average).with_batch_size(batch_size);
            let found_again = found_again.translate(&LINES, &search()).unwrap();
            assert_same(&found_again, &of_ensemble);
        }
    }

    #[test]
    fn a_line_is_sampled_alike_wherever_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let mut translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let sampling = SearchConfig {
            strategy: StrategyConfig::Sampling(SamplingConfig::default()),
            n_best: 3,
            max_len: 6,
            ..Default::default()
        };
        let lines = ["abc", "d", "cab", "ba", "abcd", "dd"];
        let texts = |translator: &Translator, lines: &[&str]| -> Vec<Vec<String>> {
            let found = translator.translate(lines, &sampling).unwrap();
            let texts = |of: Translation| of.candidates.into_iter().map(|one| one.text).collect();
            found.into_iter().map(texts).collect()
        };
        let expected = texts(&translator, &lines);
        assert!(expected.windows(2).any(|pair| pair[0] != pair[1]));
        let reversed: Vec<&str> = lines.into_iter().rev().collect();
        let mut found = texts(&translator, &reversed);
        found.reverse();
        assert_eq!(found, expected);
        translator = translator.with_batch_size(2);
        assert_eq!(texts(&translator, &lines), expected);
    }

    #[test]
    fn prefixes_and_phrases_stand_in_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let mut requests: Vec<TranslationRequest> =
            ["abc", "d", "ba"].map(TranslationRequest::new).into();
        requests[0].prefix = "dd".into();
        requests[2].constraints = vec!["ca".into(), "b".into()];
        let found = translator.translate_requests(&requests, &search()).unwrap();
        for candidate in &found[0].candidates {
            assert!(candidate.text.starts_with("dd"), "{}", candidate.text);
        }
        for Candidate { text, .. } in &found[2].candidates {
            assert!(
                text.contains("ca") && text.replacen("ca", "", 1).contains('b'),
                "{text}"
            );
        }
        let plain = translator.translate(&["d"], &search()).unwrap();
        assert_eq!(found[1].candidates.len(), plain[0].candidates.len());
        assert_eq!(found[1].candidates[0].text, plain[0].candidates[0].text);

        requests[2].constraints.push(String::new());
        let error = translator
            .translate_requests(&requests, &search())
            .unwrap_err();
        assert!(error.to_string().contains("constraints"), "{error}");
    }

    #[test]
    fn coverage_of_a_model_without_attention_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let summary = translator(folder.path(), "kind = 'summary', d_output = 5");
        let coverage = SearchConfig {
            coverage_penalty: 0.2,
            ..search()
        };
        let error = summary.translate(&["abc"], &coverage).unwrap_err();
        assert!(error.to_string().contains("coverage_penalty"), "{error}");
    }

    /// All hypotheses of a model that copies, of lines with unknown letters, whatever batch they are in.
    #[test]
    fn copying_does_not_depend_on_the_batch() {
        for decoder in [
            "kind = 'luong', d_attentional = 5, input_feeding = true, copy = true",
            "kind = 'bahdanau', copy = true",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let translator = translator(folder.path(), decoder);
            let lines = ["öab", "", "ßüßö", "abcd", "zzzzzzy"];
            let search = SearchConfig {
                beam_size: 12,
                n_best: 12,
                ..search()
            };
            let together = translator.translate(&lines, &search).unwrap();
            let mut copied = 0;
            for (line, found) in lines.iter().zip(together) {
                let alone = translator.translate(&[line], &search).unwrap();
                for (a, b) in found.candidates.iter().zip(&alone[0].candidates) {
                    assert_eq!(a.tokens, b.tokens);
                    assert!(a.log_prob.is_finite() && (a.log_prob - b.log_prob).abs() < 1e-5);
                    let unknown = |token: &&String| "öüßzy".contains(token.as_str());
                    copied += a.tokens.iter().filter(unknown).count();
                    let own = |token: &String| {
                        line.contains(token.as_str()) || tokenizer_has(&translator, token)
                    };
                    assert!(a.tokens.iter().all(own), "{line}: {:?}", a.tokens);
                }
            }
            assert!(copied > 0);
        }
    }

    /// What the vocabulary lacks can be asked for too.
    #[test]
    fn prefixes_and_phrases_may_be_copied() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), COPYING);
        let request = TranslationRequest {
            prefix: "ß".into(),
            constraints: vec!["öa".into()],
            ..TranslationRequest::new("aöbß")
        };
        let found = translator
            .translate_requests(&[request], &search())
            .unwrap();
        for Candidate { text, log_prob, .. } in &found[0].candidates {
            assert!(text.starts_with("ß") && text.contains("öa"), "{text}");
            assert!(log_prob.is_finite());
        }
    }
}
