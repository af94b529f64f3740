use std::path::Path;

use att_core::on_kernel_threads;
use att_core::ops::{PreparedWeights, WeightFormat};
use att_core::special::EOS;
use att_data::{Batch, BatchLimit, Example, ExtendedVocabulary, Pair, copied_tokens, special};
use att_decoder::search::{Hypothesis, SearchConfig};
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
        search.validate()?;
        let examples: Vec<Example> = lines
            .iter()
            .map(|line| self.example(&Pair::new(line.as_ref(), "")))
            .collect();
        let mut translations: Vec<Option<Translation>> = vec![None; lines.len()];
        for indices in self.batches(&examples) {
            let batch = Batch::new(&examples, &indices);
            let found = on_kernel_threads(|| self.model.search(&batch, search));
            for (index, hypotheses) in indices.into_iter().zip(found) {
                let line = lines[index].as_ref();
                translations[index] = Some(self.translation(line, hypotheses, search.replace_unk));
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

    /// A pair as the model reads it.
    pub(crate) fn example(&self, pair: &Pair) -> Example {
        let directory = &self.directory;
        let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
        directory.model.example(pair, src, tgt)
    }

    fn translation(
        &self,
        line: &str,
        hypotheses: Vec<Hypothesis>,
        replace_unk: bool,
    ) -> Translation {
        let (src, tgt) = (&self.directory.src_tokenizer, &self.directory.tgt_tokenizer);
        let copies = self.directory.model.decoder.copies();
        let extended = copies.then(|| ExtendedVocabulary::new(src, tgt, line));
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
        let candidates = hypotheses
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
                weights: hypothesis.weights,
            })
            .collect();
        Translation {
            src_tokens: with_eos(src.tokens(line)),
            candidates,
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
            weights,
        };
        let text = |weights, replace_unk| {
            let mut found = translator.translation("ößb", vec![hypothesis(weights)], replace_unk);
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
            weights: Some(vec![vec![0.1, 0.2, 0.6, 0.1]; 5]),
        };
        for (replace_unk, expected) in [(false, "ßaö<unk>"), (true, "ßaöb")] {
            let found = translator.translation("ößb", vec![hypothesis.clone()], replace_unk);
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

    fn tokenizer_has(translator: &Translator, token: &str) -> bool {
        let tokenizer = &translator.directory().tgt_tokenizer;
        tokenizer.token_to_id(token).is_some()
    }
}
