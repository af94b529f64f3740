use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use att_core::ops::{Mixture, PreparedWeights, WeightFormat};
use att_core::special::EOS;
use att_core::{Error as CoreError, on_kernel_threads, side_by_side};
use att_data::{
    Batch, BatchLimit, Example, ExtendedVocabulary, Pair, Shortlist, copied_tokens, special,
};
use att_decoder::search::{Found, Request, ScoreTerms, SearchConfig, SearchTree};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use crate::directory::TGT_TOKENIZER;
use crate::score::force;
use crate::together::Together;
use crate::{Error, ModelDirectory, Result, Seq2Seq};

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
}

/// One model of a [`Translator`].
#[derive(Debug)]
struct Member {
    directory: ModelDirectory,
    model: Seq2Seq,
    prepared: PreparedWeights,
    /// Whether it cuts sources as the first member does.
    reads_as_first: bool,
}

impl Member {
    /// A pair as it reads it.
    fn example(&self, pair: &Pair) -> Example {
        let directory = &self.directory;
        let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
        directory.model.example(pair, src, tgt)
    }

    fn copies(&self) -> bool {
        self.directory.model.decoder.copies()
    }

    /// The error of what does not go with a model that copies.
    fn refused<T>(&self, reason: &'static str) -> Result<T> {
        let path = self.directory.path().to_path_buf();
        Err(Error::Copying { path, reason })
    }
}

/// What became of one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// The tokens of the source, EOS the last.
    pub src_tokens: Vec<String>,
    /// Best first.
    pub candidates: Vec<Candidate>,
    /// All that search weighed, in ids of the target's tokeniser, where it was asked for.
    pub tree: Option<SearchTree>,
}

/// A line, and what is asked of its translation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranslationRequest {
    /// The line.
    pub line: String,
    /// What the translation begins with.
    pub prefix: String,
    /// Phrases that must stand in the translation.
    pub constraints: Vec<String>,
    /// Whether the search tree is recorded.
    pub record: bool,
}

impl TranslationRequest {
    /// Any translation of a line.
    pub fn new(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            ..Self::default()
        }
    }
}

/// One possible output.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The output; with [`SearchConfig::replace_unk`] it has tokens of the source in the place of
    /// unknown ones.
    pub text: String,
    /// The tokens as they came out, EOS the last.
    pub tokens: Vec<String>,
    /// What candidates are ranked by.
    pub score: f64,
    /// Natural logarithm of its probability.
    pub log_prob: f64,
    /// That of each token.
    pub token_log_probs: Vec<f32>,
    /// What makes the score of the log-probability.
    pub terms: ScoreTerms,
    /// For each of `tokens` the attention weights over the `src_tokens`, as
    /// [`Seq2Seq::search`] spreads them; none without attention.
    pub weights: Option<Vec<Vec<f32>>>,
}

/// The attention of a [`Candidate`] as plain data, named as in `att_inspect::AttentionMap::new`.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateAttention {
    /// The tokens of the source, EOS the last.
    pub src_tokens: Vec<String>,
    /// The tokens of the output, EOS the last.
    pub tgt_tokens: Vec<String>,
    /// Row-major `[tgt_len, src_len]`: a row of weights for each token of the output.
    pub weights: Vec<f32>,
}

impl Translation {
    /// The attention of the candidate at `rank` (0 is the best); none if there is no such
    /// candidate, or the model has no attention.
    pub fn attention(&self, rank: usize) -> Option<CandidateAttention> {
        let candidate = self.candidates.get(rank)?;
        Some(CandidateAttention {
            src_tokens: self.src_tokens.clone(),
            tgt_tokens: candidate.tokens.clone(),
            weights: candidate.weights.as_ref()?.concat(),
        })
    }
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
        }
    }

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
    fn copying(&self) -> Option<&Member> {
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

    /// As [`translate_requests`](Self::translate_requests), but of lines as they come: hands each with its
    /// result to `done`, in their order. Batches are made of one `window` of lines after the other. The
    /// next lines are read while the last ones are translated, but not far ahead: memory does not grow with
    /// the number of lines.
    ///
    /// # Errors
    ///
    /// As of [`translate_requests`](Self::translate_requests), and the first of `done`.
    pub fn translate_windows<E: From<Error>>(
        &self,
        requests: impl Iterator<Item = TranslationRequest> + Send,
        window: usize,
        search: &SearchConfig,
        mut done: impl FnMut(&TranslationRequest, Translation) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        search.validate().map_err(Error::from)?;
        if !self.directory().model.decoder.has_attention() {
            let fits = search.validate_without_attention();
            fits.map_err(Error::from)?;
        }
        let mut requests = requests.fuse();
        let windows = std::iter::from_fn(|| {
            let requests: Vec<_> = requests.by_ref().take(window).collect();
            (!requests.is_empty()).then(|| self.window(requests))
        });
        let work = |Job { window, indices }: Job| {
            let found = self.search(&window, &indices, search)?;
            let found = indices.into_iter().zip(found).map(|(index, found)| {
                let line = &window.requests[index].line;
                (index, self.translation(line, found, search.replace_unk))
            });
            let found: Vec<(usize, Translation)> = found.collect();
            Ok::<_, Error>((window, found))
        };
        let mut of_window = BTreeMap::new();
        let device = self.model().device();
        side_by_side(&device, windows.flatten(), work, |result| {
            let (window, found) = result?;
            of_window.extend(found);
            if of_window.len() == window.requests.len() {
                let translations = std::mem::take(&mut of_window).into_values();
                for (request, translation) in window.requests.iter().zip(translations) {
                    done(request, translation)?;
                }
            }
            Ok(())
        })
    }

    /// What is found for some lines of a window, in one batch.
    fn search(
        &self,
        window: &Window,
        indices: &[usize],
        search: &SearchConfig,
    ) -> Result<Vec<Found>> {
        let first = Batch::new(&window.examples, indices);
        let source = |member: &Member| {
            if member.reads_as_first {
                return first.clone();
            }
            let line = |&index: &usize| {
                member.example(&Pair::new(window.requests[index].line.as_str(), ""))
            };
            let examples: Vec<Example> = indices.iter().map(line).collect();
            Batch::new(&examples, &(0..examples.len()).collect::<Vec<_>>())
        };
        let sources: Vec<Batch> = self.members.iter().map(source).collect();
        let request = |(row, &index): (usize, &usize)| -> Result<Request> {
            let asked = &window.requests[index];
            // As the model would copy it; for nothing the line need not be cut again.
            let target = |text: &String| {
                if text.is_empty() {
                    return Vec::new();
                }
                let pair = Pair::new(asked.line.as_str(), text.as_str());
                self.example(&pair).tgt
            };
            let request = Request {
                prefix: target(&asked.prefix),
                constraints: asked.constraints.iter().map(target).collect(),
                record: asked.record,
                allowed: self
                    .shortlist
                    .as_ref()
                    .map(|shortlist| shortlist.of(&window.examples[index].src)),
                ..Request::new(first.src.row(row))
            };
            request.validate(search)?;
            Ok(request)
        };
        let requests: Result<Vec<Request>> = indices.iter().enumerate().map(request).collect();
        let together = Together {
            models: self.members.iter().map(|member| &member.model).collect(),
            weights: &self.weights,
            mixture: self.mixture,
            same_tokens: self.members.iter().all(|member| member.reads_as_first),
        };
        Ok(together.search(&sources, requests?, search))
    }

    /// The attention of each model of an ensemble for one of the candidates of a line, over the tokens that
    /// this model reads; none of a model without attention. It is that of a pass over the known target,
    /// which search does not keep.
    pub fn member_attention(
        &self,
        line: &str,
        candidate: &Candidate,
    ) -> Vec<Option<CandidateAttention>> {
        let ids = candidate.tokens.iter().map(|token| {
            let id = self.directory().tgt_tokenizer.token_to_id(token);
            id.unwrap_or(special::UNK)
        });
        let tgt: Vec<u32> = ids.take_while(|&id| id != EOS).collect();
        let attention = |member: &Member| {
            let tokenizer = &member.directory.src_tokenizer;
            let example = Example {
                tgt: tgt.clone(),
                ..member.example(&Pair::new(line, ""))
            };
            let batch = Batch::new(&[example], &[0]);
            let forced = on_kernel_threads(|| force(&member.model, &batch)).remove(0);
            Some(CandidateAttention {
                src_tokens: with_eos(tokenizer.tokens(line)),
                tgt_tokens: candidate.tokens.clone(),
                weights: forced.weights?.concat(),
            })
        };
        self.members.iter().map(attention).collect()
    }

    /// The batches of some lines, those that take longest first.
    fn window(&self, requests: Vec<TranslationRequest>) -> Vec<Job> {
        let line =
            |request: &TranslationRequest| self.example(&Pair::new(request.line.as_str(), ""));
        let examples: Vec<Example> = requests.iter().map(line).collect();
        let batches = self.batches(&examples);
        let window = Arc::new(Window { requests, examples });
        let job = |indices| Job {
            window: window.clone(),
            indices,
        };
        batches.into_iter().rev().map(job).collect()
    }

    /// The lines that are translated together, the shortest first.
    fn batches(&self, examples: &[Example]) -> Vec<Vec<usize>> {
        let width = |index: usize| examples[index].src.len() + 1; // with EOS
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|&index| (width(index), index));
        // A few lines are cut too, so that two threads have something to do.
        let rows = examples.len().div_ceil(LEAST_BATCHES).max(LEAST_ROWS);
        BatchLimit::of_rows(self.batch_size.min(rows)).cut(&order, width)
    }

    /// A pair as the (first) model reads it.
    pub(crate) fn example(&self, pair: &Pair) -> Example {
        self.members[0].example(pair)
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

    fn translation(&self, line: &str, found: Found, replace_unk: bool) -> Translation {
        let directory = self.directory();
        let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
        let extended = self.extended_vocabulary(line);
        // Behind the vocabulary.
        let extra = |id: u32| extended.as_ref()?.token(id);
        let replacements = if replace_unk {
            copied_tokens(src, tgt, line)
        } else {
            Vec::new()
        };
        let token = |&id: &u32| {
            let token = extra(id).or_else(|| tgt.id_to_token(id));
            token.unwrap_or_default().to_string()
        };
        let candidates = found
            .hypotheses
            .into_iter()
            .map(|hypothesis| Candidate {
                text: tgt.decode_with(&hypothesis.tokens, |step| {
                    extra(hypothesis.tokens[step]).or_else(|| {
                        let weights = hypothesis.weights.as_ref()?.get(step)?;
                        let looked_at = heaviest(weights.get(..replacements.len())?)?;
                        Some(replacements[looked_at].as_str())
                    })
                }),
                tokens: with_eos(hypothesis.tokens.iter().map(token).collect()),
                score: hypothesis.score,
                log_prob: hypothesis.log_prob,
                token_log_probs: hypothesis.token_log_probs,
                terms: hypothesis.terms,
                weights: hypothesis.weights,
            })
            .collect();
        Translation {
            src_tokens: with_eos(src.tokens(line)),
            candidates,
            tree: found.tree,
        }
    }
}

/// Lines that are cut into batches together.
struct Window {
    requests: Vec<TranslationRequest>,
    examples: Vec<Example>,
}

/// The lines of a window that one thread translates together.
struct Job {
    window: Arc<Window>,
    indices: Vec<usize>,
}

/// How many batches a few lines are cut into, whatever the number of threads ...
const LEAST_BATCHES: usize = 2;
/// ... unless they would have fewer rows than this: smaller batches read the weights more often than
/// another thread makes up for.
const LEAST_ROWS: usize = 32;

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

/// The tokens, and EOS behind them.
pub(crate) fn with_eos(mut tokens: Vec<String>) -> Vec<String> {
    tokens.push(special::NAMES[EOS as usize].to_string());
    tokens
}

/// The place of the greatest weight, the first among equals; none where all are zero.
fn heaviest(weights: &[f32]) -> Option<usize> {
    let places = (0..weights.len()).rev();
    places
        .filter(|&place| weights[place] > 0.0)
        .max_by(|&a, &b| weights[a].total_cmp(&weights[b]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ModelConfig;
    use crate::score::Forced;
    use att_data::{Tokenizer, TokenizerConfig};
    use att_decoder::search::{Hypothesis, SamplingConfig, StrategyConfig};

    /// A translator with random weights, from letters to letters.
    fn translator(folder: &Path, decoder: &str) -> Translator {
        translator_of(folder, "kind = 'recurrent'", decoder)
    }

    pub(crate) fn translator_of(folder: &Path, encoder: &str, decoder: &str) -> Translator {
        let letters = TokenizerConfig::char().train(["abcd"]).unwrap();
        translator_with(folder, encoder, decoder, [letters.clone(), letters], 3)
    }

    /// With these tokenisers and this seed.
    fn translator_with(
        folder: &Path,
        encoder: &str,
        decoder: &str,
        [src, tgt]: [Tokenizer; 2],
        seed: u64,
    ) -> Translator {
        let model = ModelConfig::from_toml(&format!(
            "src_embedding = {{ d_embed = 4 }}\ntgt_embedding = {{ d_embed = 4 }}\n\
             encoder = {{ {encoder}, d_hidden = 3 }}\n\
             decoder = {{ {decoder}, recurrent = {{ d_hidden = 6 }} }}"
        ))
        .unwrap();
        let search = SearchConfig::default();
        let directory = ModelDirectory::create(folder, model, search, src, tgt).unwrap();
        let model = directory.init(seed, &Device::flex()).unwrap();
        Translator::new(directory, model)
    }

    fn search() -> SearchConfig {
        SearchConfig {
            beam_size: 2,
            n_best: 2,
            max_len: 4,
            ..Default::default()
        }
    }

    #[test]
    fn a_very_long_line_stands_alone_and_changes_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let mut lines: Vec<String> = ["abc", "d", "", "cab", "ba", "abcd", "dd"]
            .map(String::from)
            .into();
        lines.insert(3, "abcd".repeat(800));
        let examples: Vec<Example> = lines
            .iter()
            .map(|line| translator.example(&Pair::new(line, "")))
            .collect();
        let batches = translator.batches(&examples);
        assert_eq!(batches, [vec![2, 1, 5, 7, 0, 4, 6], vec![3]]);

        let together = translator.translate(&lines, &search()).unwrap();
        for (line, found) in lines.iter().zip(together) {
            let alone = translator.translate(&[line], &search()).unwrap();
            let texts = |of: &Translation| of.candidates.clone().into_iter().map(|c| c.text);
            assert!(texts(&found).eq(texts(&alone[0])), "{line:.9}");
            assert_eq!(found.src_tokens, alone[0].src_tokens);
        }
    }

    #[test]
    fn windows_change_no_result_and_come_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let lines: Vec<String> = (0..40).map(|n| "abcd".repeat(n % 7 + 1)).collect();
        let expected = translator.translate(&lines, &search()).unwrap();
        for window in [1, 3, 16, 40] {
            let mut found = Vec::new();
            let done = |request: &TranslationRequest, translation| {
                assert_eq!(request.line, lines[found.len()]);
                found.push(translation);
                Ok::<_, Error>(())
            };
            let requests = lines.iter().map(TranslationRequest::new);
            let done = translator.translate_windows(requests, window, &search(), done);
            done.unwrap();
            assert_same(&found, &expected);
        }
    }

    /// Up to rounding.
    #[track_caller]
    fn assert_same(found: &[Translation], expected: &[Translation]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.src_tokens, expected.src_tokens);
            assert_eq!(found.candidates.len(), expected.candidates.len());
            for (found, expected) in found.candidates.iter().zip(&expected.candidates) {
                assert_eq!(found.tokens, expected.tokens);
                assert!((found.score - expected.score).abs() < 1e-5);
                let weights = |of: &Candidate| of.weights.clone().map(|rows| rows.concat());
                let (found, expected) = (weights(found), weights(expected));
                assert_eq!(found.is_some(), expected.is_some());
                let found = found.into_iter().flatten();
                for (found, expected) in found.zip(expected.into_iter().flatten()) {
                    assert!((found - expected).abs() < 1e-5);
                }
            }
        }
    }

    fn letters() -> Tokenizer {
        TokenizerConfig::char().train(["abcd"]).unwrap()
    }

    const LUONG: &str = "kind = 'luong', d_attentional = 5";
    const LINES: [&str; 7] = ["abcd", "d", "", "cab", "ba", "dcba dcba", "aa"];

    /// Three models of one target vocabulary: the second has another encoder and decoder, the third reads
    /// other tokens.
    fn members(folder: &Path) -> Vec<Translator> {
        let pieces = TokenizerConfig::bpe(9).train(["abcd ab cd"]).unwrap();
        let sources = [letters(), letters(), pieces];
        let parts = [
            ["kind = 'recurrent'", LUONG],
            [
                "kind = 'convolutional'",
                "kind = 'bahdanau', bridge = 'mean'",
            ],
            ["kind = 'pyramidal', layers = 2", "kind = 'bahdanau'"],
        ];
        let members = (0..).zip(sources).zip(parts);
        members
            .map(|((seed, src), [encoder, decoder])| {
                let folder = folder.join(seed.to_string());
                translator_with(&folder, encoder, decoder, [src, letters()], seed)
            })
            .collect()
    }

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

    /// A line and a candidate as a pair of one batch.
    fn known(translator: &Translator, line: &str, candidate: &Candidate) -> Batch {
        let ModelDirectory {
            src_tokenizer,
            tgt_tokenizer,
            ..
        } = translator.directory();
        let id = |token: &String| tgt_tokenizer.token_to_id(token).unwrap();
        let mut tgt: Vec<u32> = candidate.tokens.iter().map(id).collect();
        assert_eq!(tgt.pop(), Some(EOS));
        let src = src_tokenizer.encode(line);
        let example = Example {
            src,
            tgt,
            copy_ids: None,
        };
        Batch::new(&[example], &[0])
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
                    .map(|member| force(member.model(), &known(member, line, candidate)).remove(0))
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

    #[test]
    fn a_batch_has_no_more_lines_than_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let translator = translator.with_batch_size(2);
        let example = Example {
            src: vec![4],
            ..Default::default()
        };
        let batches = translator.batches(&vec![example; 5]);
        assert_eq!(batches, [vec![0, 1], vec![2, 3], vec![4]]);
    }

    #[test]
    fn attention_has_a_row_for_each_token_of_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let luong = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let found = luong.translate(&["abc"], &search()).unwrap().remove(0);
        for (rank, candidate) in found.candidates.iter().enumerate() {
            let attention = found.attention(rank).unwrap();
            assert_eq!(attention.src_tokens, ["a", "b", "c", "</s>"]);
            assert_eq!(attention.tgt_tokens, candidate.tokens);
            assert_eq!(attention.weights.len(), 4 * candidate.tokens.len());
            let first: f32 = attention.weights[..4].iter().sum();
            assert!((first - 1.0).abs() < 1e-5);
        }
        assert_eq!(found.attention(2), None);

        let folder = tempfile::tempdir().unwrap();
        let summary = translator(folder.path(), "kind = 'summary', d_output = 5");
        let found = summary.translate(&["abc"], &search()).unwrap().remove(0);
        assert_eq!(found.attention(0), None);
    }

    #[test]
    fn attention_is_over_tokens_also_where_a_state_stands_for_several() {
        let folder = tempfile::tempdir().unwrap();
        let pyramid = "kind = 'pyramidal', layers = 2";
        let decoder = "kind = 'luong', d_attentional = 5";
        let translator = translator_of(folder.path(), pyramid, decoder);
        let lines = ["abcd", "d", "abc"];
        for beam_size in [1, 2] {
            let search = SearchConfig {
                beam_size,
                n_best: 1,
                ..search()
            };
            for (line, found) in lines
                .iter()
                .zip(translator.translate(&lines, &search).unwrap())
            {
                let attention = found.attention(0).unwrap();
                let src_len = line.len() + 1; // with EOS
                assert_eq!(attention.src_tokens.len(), src_len);
                for weights in attention.weights.chunks(src_len) {
                    assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                    assert_eq!(weights[0], weights[1]);
                }
            }
        }
    }

    /// A hypothesis made by hand: UNK, a known token, UNK; the weights are over the source and EOS.
    #[test]
    fn unknown_tokens_become_those_that_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let known = translator
            .directory()
            .tgt_tokenizer
            .token_to_id("a")
            .unwrap();
        let hypothesis = |weights: Option<Vec<Vec<f32>>>| Hypothesis {
            tokens: vec![special::UNK, known, special::UNK],
            score: 0.0,
            log_prob: 0.0,
            token_log_probs: vec![0.0; 4],
            terms: ScoreTerms::default(),
            weights,
        };
        let text = |weights, replace_unk| {
            let found = Found {
                hypotheses: vec![hypothesis(weights)],
                tree: None,
            };
            let mut found = translator.translation("ößb", found, replace_unk);
            found.candidates.remove(0).text
        };
        let weights = || {
            let rows = [
                [0.1, 0.3, 0.2, 0.4],
                [0.0, 1.0, 0.0, 0.0],
                [0.6, 0.1, 0.2, 0.1],
                [0.0; 4],
            ];
            Some(rows.map(Vec::from).to_vec())
        };
        assert_eq!(text(weights(), true), "ßaö");
        assert_eq!(text(weights(), false), "<unk>a<unk>");
        assert_eq!(text(None, true), "<unk>a<unk>");
        // A head that has left the source looks at nothing.
        assert_eq!(text(Some(vec![vec![0.0; 4]; 4]), true), "<unk>a<unk>");
    }

    #[test]
    fn the_heaviest_is_the_first_of_equals() {
        assert_eq!(heaviest(&[0.2, 0.5, 0.5]), Some(1));
        assert_eq!(heaviest(&[0.0, 0.0]), None);
    }

    /// A hypothesis made by hand: two tokens of the source that the vocabulary lacks, a known one, UNK.
    #[test]
    fn copied_tokens_are_those_of_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(
            folder.path(),
            "kind = 'luong', d_attentional = 5, copy = true",
        );
        let tokenizer = &translator.directory().tgt_tokenizer;
        let (first, a) = (
            tokenizer.vocab_size() as u32,
            tokenizer.token_to_id("a").unwrap(),
        );
        let hypothesis = Hypothesis {
            tokens: vec![first + 1, a, first, special::UNK],
            score: 0.0,
            log_prob: 0.0,
            token_log_probs: vec![0.0; 5],
            terms: ScoreTerms::default(),
            weights: Some(vec![vec![0.1, 0.2, 0.6, 0.1]; 5]),
        };
        for (replace_unk, expected) in [(false, "ßaö<unk>"), (true, "ßaöb")] {
            let found = Found {
                hypotheses: vec![hypothesis.clone()],
                tree: None,
            };
            let found = translator.translation("ößb", found, replace_unk);
            assert_eq!(found.candidates[0].text, expected);
            let tokens = &found.candidates[0].tokens;
            assert_eq!(tokens, &["ß", "a", "ö", "<unk>", "</s>"]);
        }
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

    const COPYING: &str = "kind = 'luong', d_attentional = 5, copy = true";

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
                    force(member.model(), &Batch::new(&[example], &[0])).remove(0)
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

    fn tokenizer_has(translator: &Translator, token: &str) -> bool {
        let tokenizer = &translator.directory().tgt_tokenizer;
        tokenizer.token_to_id(token).is_some()
    }
}
