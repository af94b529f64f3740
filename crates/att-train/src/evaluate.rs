use std::time::Instant;

use att_data::{Batch, Batcher, Corpus};
use att_decoder::search::SearchConfig;
use att_eval::Metric;
use att_model::{Seq2Seq, Translator};

use crate::Result;

/// How well a model does on a corpus.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Sources, each once, in the order of their first occurrence.
    pub sources: Vec<String>,
    /// The best output for each source.
    pub outputs: Vec<String>,
    /// All targets of each source in the corpus.
    pub references: Vec<Vec<String>>,
    /// The metric's score, in percent.
    pub score: f64,
    /// Seconds that the translation took, from text to text.
    pub seconds: f64,
}

/// Translates the sources of a corpus and scores the outputs; a source that occurs several times
/// is translated once, and each of its targets is a reference.
///
/// # Errors
///
/// If the search's settings are out of range or the corpus is empty.
pub fn evaluate(
    translator: &Translator,
    corpus: &Corpus,
    search: &SearchConfig,
    metric: Metric,
) -> Result<Evaluation> {
    let groups = corpus.group_by_source();
    let sources: Vec<String> = groups.iter().map(|group| group.src.clone()).collect();
    let references: Vec<Vec<String>> = groups.into_iter().map(|group| group.tgts).collect();
    let begun = Instant::now();
    let translations = translator.translate(&sources, search)?;
    let seconds = begun.elapsed().as_secs_f64();
    let outputs: Vec<String> = translations
        .into_iter()
        .map(|mut translation| translation.candidates.swap_remove(0).text)
        .collect();
    let score = metric.score(&outputs, &references)?;
    Ok(Evaluation {
        sources,
        outputs,
        references,
        score,
        seconds,
    })
}

/// Mean negative log-probability of a gold token, EOS included, in nats.
pub(crate) fn mean_nll(model: &Seq2Seq, batcher: &Batcher) -> Result<f64> {
    let (mut sum, mut tokens) = (0.0, 0);
    for indices in batcher.evaluation() {
        let (nll, n) = nll(model, &batcher.batch(&indices)?);
        sum += nll * n as f64;
        tokens += n;
    }
    Ok(sum / tokens as f64)
}

/// Of a batch, and of how many tokens.
pub(crate) fn nll(model: &Seq2Seq, batch: &Batch) -> (f64, usize) {
    let output = model.forward(batch);
    let n = output.gold.len();
    let nll: f64 = model.cross_entropy(&output, 0.0).nll.into_scalar();
    (nll, n)
}
