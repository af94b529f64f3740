use std::path::Path;

use att_core::on_kernel_threads;
use att_core::ops::{PreparedWeights, WeightFormat};
use att_core::special::EOS;
use att_data::{Batch, BatchLimit, Example, special};
use att_decoder::search::{Found, Request, ScoreTerms, SearchConfig, SearchTree};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use crate::{ModelDirectory, Result, Seq2Seq};

/// Text in, text out, with the attention in between.
#[derive(Debug)]
pub struct Translator {
    directory: ModelDirectory,
    model: Seq2Seq,
    batch_size: usize,
    prepared: PreparedWeights,
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
        Self {
            directory,
            model,
            batch_size: 64,
            prepared,
        }
    }

    /// Rounds the weights to this format in products on CPU (of [`new`](Self::new), f32): faster, and
    /// not quite the same results.
    #[must_use]
    pub fn with_weight_format(mut self, format: WeightFormat) -> Self {
        self.prepared = prepare(&self.model, format);
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

    /// The directory that the model came from.
    pub fn directory(&self) -> &ModelDirectory {
        &self.directory
    }

    /// The model.
    pub fn model(&self) -> &Seq2Seq {
        &self.model
    }

    /// One result a line, in the order of the lines. Lines of like length share a batch; a very
    /// long one is a batch of its own.
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
        search.validate()?;
        if !self.directory.model.decoder.has_attention() {
            search.validate_without_attention()?;
        }
        let (src, tgt) = (&self.directory.src_tokenizer, &self.directory.tgt_tokenizer);
        let examples: Vec<Example> = requests
            .iter()
            .map(|request| Example {
                src: src.encode(&request.line),
                tgt: Vec::new(),
            })
            .collect();
        let asked = |index: usize, src: &[u32]| {
            let asked: &TranslationRequest = &requests[index];
            Request {
                prefix: tgt.encode(&asked.prefix),
                constraints: asked
                    .constraints
                    .iter()
                    .map(|text| tgt.encode(text))
                    .collect(),
                record: asked.record,
                ..Request::new(src)
            }
        };
        let mut translations: Vec<Option<Translation>> = vec![None; requests.len()];
        for indices in self.batches(&examples) {
            let batch = Batch::new(&examples, &indices);
            let rows = indices.iter().enumerate();
            let asked: Vec<Request> = rows
                .map(|(row, &index)| asked(index, batch.src.row(row)))
                .collect();
            for request in &asked {
                request.validate(search)?;
            }
            let found = on_kernel_threads(|| self.model.search_requests(&batch.src, asked, search));
            for (index, found) in indices.into_iter().zip(found) {
                let line = &requests[index].line;
                translations[index] = Some(self.translation(line, found, search.replace_unk));
            }
        }
        Ok(translations.into_iter().flatten().collect())
    }

    /// The lines that are translated together, the shortest first.
    fn batches(&self, examples: &[Example]) -> Vec<Vec<usize>> {
        let width = |index: usize| examples[index].src.len() + 1; // with EOS
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|&index| (width(index), index));
        BatchLimit::of_rows(self.batch_size).cut(&order, width)
    }

    /// The tokens of a source as they stand in the place of a target's: with the mark before a word where
    /// the target has such marks, and without where it has none.
    fn copies(&self, src_tokens: &[String]) -> Vec<String> {
        let (src, tgt) = (&self.directory.src_tokenizer, &self.directory.tgt_tokenizer);
        let copy = |token: &String| match (src.marks_words(), tgt.marks_words()) {
            (false, true) => format!("▁{token}"),
            (true, false) => token.trim_start_matches('▁').to_string(),
            _ => token.clone(),
        };
        src_tokens.iter().map(copy).collect()
    }

    fn translation(&self, line: &str, found: Found, replace_unk: bool) -> Translation {
        let src_tokens = self.directory.src_tokenizer.tokens(line);
        let copies = if replace_unk {
            self.copies(&src_tokens)
        } else {
            Vec::new()
        };
        let src_tokens = with_eos(src_tokens);
        let tokenizer = &self.directory.tgt_tokenizer;
        let token = |&id: &u32| tokenizer.id_to_token(id).unwrap_or_default().to_string();
        let candidates = found
            .hypotheses
            .into_iter()
            .map(|hypothesis| Candidate {
                text: tokenizer.decode_with(&hypothesis.tokens, |step| {
                    let weights = hypothesis.weights.as_ref()?.get(step)?;
                    let copy = copies.get(heaviest(weights.get(..copies.len())?)?)?;
                    Some(copy.as_str())
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
            src_tokens,
            candidates,
            tree: found.tree,
        }
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
    use att_data::TokenizerConfig;
    use att_decoder::search::{Hypothesis, SamplingConfig, StrategyConfig};

    /// A translator with random weights, from letters to letters.
    fn translator(folder: &Path, decoder: &str) -> Translator {
        translator_of(folder, "kind = 'recurrent'", decoder)
    }

    pub(crate) fn translator_of(folder: &Path, encoder: &str, decoder: &str) -> Translator {
        let model = ModelConfig::from_toml(&format!(
            "src_embedding = {{ d_embed = 4 }}\ntgt_embedding = {{ d_embed = 4 }}\n\
             encoder = {{ {encoder}, d_hidden = 3 }}\n\
             decoder = {{ {decoder}, recurrent = {{ d_hidden = 6 }} }}"
        ))
        .unwrap();
        let letters = TokenizerConfig::char().train(["abcd"]).unwrap();
        let search = SearchConfig::default();
        let directory =
            ModelDirectory::create(folder, model, search, letters.clone(), letters).unwrap();
        let model = directory.init(3, &Device::flex()).unwrap();
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
            .map(|line| Example {
                src: translator.directory().src_tokenizer.encode(line),
                tgt: Vec::new(),
            })
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
            tgt: Vec::new(),
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
    fn copies_have_the_marks_of_the_target() {
        assert_eq!(heaviest(&[0.2, 0.5, 0.5]), Some(1));
        assert_eq!(heaviest(&[0.0, 0.0]), None);
        let folder = tempfile::tempdir().unwrap();
        let mut translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let words = TokenizerConfig::whitespace().train(["ab cd"]).unwrap();
        let subwords = TokenizerConfig::bpe(12).train(["ab cd"]).unwrap();
        let mut copies =
            |src: &att_data::Tokenizer, tgt: &att_data::Tokenizer, tokens: [&str; 2]| {
                translator.directory.src_tokenizer = src.clone();
                translator.directory.tgt_tokenizer = tgt.clone();
                translator.copies(&tokens.map(String::from))
            };
        assert_eq!(copies(&words, &words, ["ab", "x"]), ["ab", "x"]);
        assert_eq!(copies(&words, &subwords, ["ab", "x"]), ["▁ab", "▁x"]);
        assert_eq!(copies(&subwords, &words, ["▁a", "x"]), ["a", "x"]);
        assert_eq!(copies(&subwords, &subwords, ["▁a", "x"]), ["▁a", "x"]);
    }
}
