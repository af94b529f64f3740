use std::fmt;
use std::path::Path;

use att_data::{Corpus, write_atomic};
use att_decoder::search::SearchConfig;
use att_eval::Metric;
use att_model::Translator;
use burn::tensor::Device;
use serde::Serialize;

use crate::{Result, evaluate};

/// What a model that was trained further has forgotten: scores before and after on data of the kind that it
/// knew, beside those on the new kind. As text a table in Markdown.
#[derive(Clone, Debug, Serialize)]
pub struct ForgettingReport {
    /// Name of the metric.
    pub metric: String,
    /// On held-out data of the old domain.
    pub old: BeforeAndAfter,
    /// On the validation data of the new one.
    pub new: BeforeAndAfter,
}

/// How well a model did on some pairs before it was trained further, and after.
#[derive(Clone, Debug, Serialize)]
pub struct BeforeAndAfter {
    /// Number of pairs.
    pub pairs: usize,
    /// Of the model that training began with.
    pub before: DomainScore,
    /// Of the model that was saved.
    pub after: DomainScore,
}

/// How well a model does on some pairs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DomainScore {
    /// The metric's, in percent, by the model's own search.
    pub score: f64,
    /// Of a gold token, EOS included.
    pub perplexity: f64,
    /// Mean negative log-probability of a gold character in nats: comparable where vocabularies differ.
    pub nats_per_character: f64,
}

impl ForgettingReport {
    /// Compares the models of two directories.
    ///
    /// # Errors
    ///
    /// If one can't be read, or a corpus is empty.
    pub fn new(
        [before, after]: [&Path; 2],
        [old, new]: [&Corpus; 2],
        metric: Metric,
        device: &Device,
    ) -> Result<Self> {
        let [before, after] = [before, after].map(|path| Translator::load(path, device));
        let (before, after) = (before?, after?);
        let on = |corpus: &Corpus| -> Result<BeforeAndAfter> {
            Ok(BeforeAndAfter {
                pairs: corpus.pairs.len(),
                before: DomainScore::of(&before, corpus, metric)?,
                after: DomainScore::of(&after, corpus, metric)?,
            })
        };
        Ok(Self {
            metric: metric.to_string(),
            old: on(old)?,
            new: on(new)?,
        })
    }

    /// Writes `forgetting.json` and `forgetting.md` to a run's directory.
    ///
    /// # Errors
    ///
    /// If a file can't be written.
    pub fn write(&self, run: &Path) -> Result<()> {
        let [json, markdown] = FILES.map(|name| run.join(name));
        let text = serde_json::to_string_pretty(self).expect("numbers can be JSON") + "\n";
        write_atomic(json, text.as_bytes())?;
        Ok(write_atomic(markdown, self.to_string().as_bytes())?)
    }
}

/// What [`ForgettingReport::write`] adds to a run.
pub(crate) const FILES: [&str; 2] = ["forgetting.json", "forgetting.md"];

impl DomainScore {
    fn of(translator: &Translator, corpus: &Corpus, metric: Metric) -> Result<Self> {
        let (mut nats, mut tokens) = (0.0, 0);
        for forced in translator.score(&corpus.pairs) {
            nats -= forced.candidates[0].log_prob;
            tokens += forced.candidates[0].tokens.len();
        }
        // A line's end is to be predicted too.
        let characters: usize = corpus.targets().map(|text| text.chars().count() + 1).sum();
        let search = SearchConfig {
            n_best: 1,
            ..translator.directory().search.clone()
        };
        Ok(Self {
            score: evaluate(translator, corpus, &search, metric)?.score,
            perplexity: (nats / tokens as f64).exp(),
            nats_per_character: nats / characters as f64,
        })
    }
}

impl fmt::Display for ForgettingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = &self.metric;
        writeln!(
            f,
            "| data | pairs | {metric} before | {metric} after | change | perplexity before | after \
             | nats a character before | after |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for (name, data) in [("old domain", &self.old), ("new domain", &self.new)] {
            let BeforeAndAfter {
                pairs,
                before,
                after,
            } = data;
            writeln!(
                f,
                "| {name} | {pairs} | {:.2} | {:.2} | {:+.2} | {:.2} | {:.2} | {:.3} | {:.3} |",
                before.score,
                after.score,
                after.score - before.score,
                before.perplexity,
                after.perplexity,
                before.nats_per_character,
                after.nats_per_character,
            )?;
        }
        Ok(())
    }
}
