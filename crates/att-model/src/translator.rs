use std::path::Path;

use att_core::special::EOS;
use att_data::{Batch, Example, special};
use att_decoder::search::{Hypothesis, SearchConfig};
use burn::tensor::Device;

use crate::{ModelDirectory, Result, Seq2Seq};

/// Text in, text out, with the attention in between.
#[derive(Debug)]
pub struct Translator {
    directory: ModelDirectory,
    model: Seq2Seq,
    batch_size: usize,
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
    /// The output.
    pub text: String,
    /// Its tokens, EOS the last.
    pub tokens: Vec<String>,
    /// What candidates are ranked by.
    pub score: f64,
    /// Natural logarithm of its probability.
    pub log_prob: f64,
    /// That of each token.
    pub token_log_probs: Vec<f32>,
    /// For each of `tokens` the attention weights over the `src_tokens`; none without attention.
    pub weights: Option<Vec<Vec<f32>>>,
}

impl Translator {
    /// Loads a model directory.
    ///
    /// # Errors
    ///
    /// If something is missing, damaged, or does not belong together.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let directory = ModelDirectory::open(path.as_ref())?;
        let model = directory.load_weights(device)?;
        Ok(Self::new(directory, model))
    }

    /// From a model at hand, such as one in training.
    pub fn new(directory: ModelDirectory, model: Seq2Seq) -> Self {
        Self {
            directory,
            model,
            batch_size: 64,
        }
    }

    /// Translates that many lines at a time (64 unless told), at least one; changes speed, not
    /// results.
    #[must_use]
    pub fn with_batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size.max(1);
        self
    }

    /// The directory that the model came from.
    pub fn directory(&self) -> &ModelDirectory {
        &self.directory
    }

    /// The model.
    pub fn model(&self) -> &Seq2Seq {
        &self.model
    }

    /// One result a line, in the order of the lines. Lines of like length share a batch.
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
            .map(|line| Example {
                src: self.directory.src_tokenizer.encode(line.as_ref()),
                tgt: Vec::new(),
            })
            .collect();
        let mut order: Vec<usize> = (0..lines.len()).collect();
        order.sort_by_key(|&index| (examples[index].src.len(), index));
        let mut translations: Vec<Option<Translation>> = vec![None; lines.len()];
        for indices in order.chunks(self.batch_size) {
            let batch = Batch::new(&examples, indices);
            let found = self.model.search(&batch.src, search);
            for (&index, hypotheses) in indices.iter().zip(found) {
                let line = lines[index].as_ref();
                translations[index] = Some(self.translation(line, hypotheses));
            }
        }
        Ok(translations.into_iter().flatten().collect())
    }

    fn translation(&self, line: &str, hypotheses: Vec<Hypothesis>) -> Translation {
        let eos = special::NAMES[EOS as usize].to_string();
        let mut src_tokens = self.directory.src_tokenizer.tokens(line);
        src_tokens.push(eos.clone());
        let tokenizer = &self.directory.tgt_tokenizer;
        let token = |&id: &u32| tokenizer.id_to_token(id).unwrap_or_default().to_string();
        let candidates = hypotheses
            .into_iter()
            .map(|hypothesis| Candidate {
                text: tokenizer.decode(&hypothesis.tokens),
                tokens: hypothesis
                    .tokens
                    .iter()
                    .map(token)
                    .chain([eos.clone()])
                    .collect(),
                score: hypothesis.score,
                log_prob: hypothesis.log_prob,
                token_log_probs: hypothesis.token_log_probs,
                weights: hypothesis.weights,
            })
            .collect();
        Translation {
            src_tokens,
            candidates,
        }
    }
}
