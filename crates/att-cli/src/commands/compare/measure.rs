use std::error::Error;
use std::fmt;

use att_data::Corpus;
use att_decoder::search::SearchConfig;
use att_eval::{AlignmentErrorRate, Metric, Statistics};
use att_inspect::{AttentionMap, entropy, hard_alignment};
use att_model::{Translator, weights};
use att_train::{GoldAlignments, Summary, evaluate, token_positions};
use serde::{Deserialize, Serialize};

/// What came out of a run.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Figures {
    /// In percent, with the experiment's search.
    pub score: f64,
    /// Of a gold token, EOS included.
    pub perplexity: f64,
    /// Weights of the model.
    pub parameters: usize,
    pub steps: usize,
    /// Seconds, validation included.
    pub train_s: f64,
    /// In training, validation left out.
    pub src_tokens_per_s: f64,
    pub tgt_tokens_per_s: f64,
    /// Sources decoded a second.
    pub sentences_per_s: f64,
    /// In nats, the mean over the gold target's steps, EOS included, that look at anything; none without
    /// attention.
    pub attention_entropy: Option<f64>,
    /// In percent; none without attention or gold alignments.
    pub aer: Option<f64>,
}

/// Measures the best model of a run on the validation pairs.
pub fn measure(
    translator: &Translator,
    valid: &Corpus,
    metric: Metric,
    gold: Option<&GoldAlignments>,
    summary: &Summary,
) -> Result<Figures, Box<dyn Error>> {
    let forced = translator.score(&valid.pairs);
    let (mut log_prob, mut tokens) = (0.0, 0);
    let (mut entropies, mut steps) = (0.0, 0);
    let mut alignments = Vec::new();
    for translation in &forced {
        log_prob += translation.candidates[0].log_prob;
        tokens += translation.candidates[0].tokens.len();
        if let Some(found) = translation.attention(0) {
            let map = AttentionMap::new(found.src_tokens, found.tgt_tokens, found.weights)?;
            entropies += entropy(&map).iter().sum::<f64>();
            steps += map
                .rows()
                .filter(|row| row.iter().any(|w| *w > 0.0))
                .count();
            alignments.push(alignment(&map, translator));
        }
    }
    let attends = !alignments.is_empty();
    let aer = match gold {
        Some(gold) if attends => {
            let gold: Vec<[&str; 1]> = gold.lines().map(|line| [line]).collect();
            Some(Statistics::new(&AlignmentErrorRate, &alignments, &gold)?.score())
        }
        _ => None,
    };

    let search = SearchConfig {
        n_best: 1,
        ..translator.directory().search.clone()
    };
    let found = evaluate(translator, valid, &search, metric)?;
    let shapes = weights::shapes(translator.model());
    Ok(Figures {
        score: found.score,
        perplexity: (-log_prob / tokens as f64).exp(),
        parameters: shapes
            .values()
            .map(|shape| shape.iter().product::<usize>())
            .sum(),
        steps: summary.steps,
        train_s: summary.elapsed_s,
        src_tokens_per_s: summary.src_tokens_per_s,
        tgt_tokens_per_s: summary.tgt_tokens_per_s,
        sentences_per_s: found.sources.len() as f64 / found.seconds,
        attention_entropy: attends.then(|| entropies / steps.max(1) as f64),
        aer,
    })
}

/// Where each target position looks at most, EOS on either side left out, as a line of links.
fn alignment(map: &AttentionMap, translator: &Translator) -> String {
    let directory = translator.directory();
    let src = token_positions(map.src_tokens(), directory.src_tokenizer.marks_words());
    let tgt = token_positions(map.tgt_tokens(), directory.tgt_tokenizer.marks_words());
    let (src_eos, tgt_eos) = (map.src_len() - 1, map.tgt_len() - 1);
    let looked_at = hard_alignment(map).into_iter().enumerate().take(tgt_eos);
    let links = looked_at.filter_map(|(t, s)| {
        let s = s.filter(|&s| s != src_eos)?;
        Some(format!("{}-{}", src[s], tgt[t]))
    });
    links.collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "score {:.2}, perplexity {:.2} after {} steps",
            self.score, self.perplexity, self.steps
        )
    }
}
