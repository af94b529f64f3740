use std::io::{self, Write};
use std::path::PathBuf;

use att_core::check;
use att_data::{Error as DataError, Lines, Pair};
use att_model::{Candidate, HeadWeights, ModelDirectory, Translation, Translator};
use clap::Args;
use serde::Serialize;

use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, EnsembleOptions, check_heads};

#[derive(Args)]
pub struct Options {
    /// The model directory, as `att train` leaves it
    model: PathBuf,
    /// Sources, a line each, plain or .gz
    #[arg(long, value_name = "FILE")]
    src: PathBuf,
    /// Their targets, line by line
    #[arg(long, value_name = "FILE")]
    tgt: PathBuf,
    /// Print each token with its log-probability behind that of the line, `token:-0.12`
    #[arg(long)]
    tokens: bool,
    /// Print a JSON object a line: log-probability, tokens and theirs
    #[arg(long, conflicts_with = "tokens")]
    json: bool,
    /// With --json: add the attention weights, a row for each target token
    #[arg(long, requires = "json")]
    attention: bool,
    /// With --attention: add the weights of each layer and head, of a model that has several
    #[arg(long, requires = "attention", conflicts_with = "ensemble")]
    heads: bool,
    /// Pairs scored together at most; changes speed, not results
    #[arg(long, default_value_t = 64, value_name = "N")]
    batch_size: usize,
    #[command(flatten)]
    together: EnsembleOptions,
    #[command(flatten)]
    device: DeviceOption,
}

/// How many batches are read before they are scored together, so that pairs of like length meet.
const BATCHES_READ: usize = 16;

pub fn run(options: &Options) -> CommandResult {
    check::size("batch_size", options.batch_size)?;
    let translator = options.together.load(&options.model, &options.device)?;
    let mut translator = translator.with_batch_size(options.batch_size);
    if options.heads {
        check_heads(&translator)?;
        translator = translator.with_head_weights();
    }
    if options.attention && !translator.directory().model.decoder.has_attention() {
        let model = options.model.display();
        return Err(format!(
            "{model} has no attention: leave out --attention, or take a model with attention"
        )
        .into());
    }
    let (mut src, mut tgt) = (Lines::open(&options.src)?, Lines::open(&options.tgt)?);
    let mut whole = Whole::default();
    let mut pending = Vec::new();
    let mut lines = 0;
    loop {
        let pair = (src.next().transpose()?, tgt.next().transpose()?);
        let (Some(src_line), Some(tgt_line)) = pair else {
            let rest = |lines: Lines| lines.count();
            let (more_src, more_tgt) =
                (usize::from(pair.0.is_some()), usize::from(pair.1.is_some()));
            if more_src + more_tgt > 0 {
                return Err(DataError::LineCounts {
                    src_path: options.src.clone(),
                    src_lines: lines + more_src + rest(src),
                    tgt_path: options.tgt.clone(),
                    tgt_lines: lines + more_tgt + rest(tgt),
                }
                .into());
            }
            break;
        };
        lines += 1;
        pending.push(Pair::new(src_line, tgt_line));
        if pending.len() == options.batch_size * BATCHES_READ {
            whole.score(&translator, &mut pending, options)?;
        }
    }
    if lines == 0 {
        let src = options.src.display();
        return Err(format!("{src} has no lines: there is nothing to score").into());
    }
    whole.score(&translator, &mut pending, options)?;
    eprintln!(
        "{lines} lines, {} target tokens, log-probability {:.4}, perplexity {:.4}",
        whole.tokens,
        whole.log_prob,
        (-whole.log_prob / whole.tokens as f64).exp()
    );
    Ok(Outcome::Done)
}

/// Sums over all pairs.
#[derive(Default)]
struct Whole {
    lines: usize,
    /// EOS included.
    tokens: usize,
    log_prob: f64,
}

impl Whole {
    fn score(
        &mut self,
        translator: &Translator,
        pairs: &mut Vec<Pair>,
        options: &Options,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let scored = translator.score(pairs);
        let mut out = io::stdout().lock();
        for (Pair { src, .. }, translation) in pairs.drain(..).zip(&scored) {
            let candidate = &translation.candidates[0];
            if options.json {
                let mut line = Line::new(self.lines, &src, translation);
                if options.attention {
                    line.add_attention(candidate, translator.directory());
                }
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            } else {
                write!(out, "{:.6}", candidate.log_prob)?;
                if options.tokens {
                    for (token, log_prob) in candidate.tokens.iter().zip(&candidate.token_log_probs)
                    {
                        write!(out, " {token}:{log_prob:.6}")?;
                    }
                }
                writeln!(out)?;
            }
            self.lines += 1;
            self.tokens += candidate.tokens.len();
            self.log_prob += candidate.log_prob;
        }
        out.flush()?;
        Ok(())
    }
}

/// A pair in JSON. With attention it is an attention record, as `att translate --attention` writes.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    score: f64,
    src: &'a str,
    text: &'a str,
    src_tokens: &'a [String],
    tgt_tokens: &'a [String],
    token_log_probs: &'a [f32],
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<&'a [Vec<f32>]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    src_words: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tgt_words: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_weights: Option<&'a HeadWeights>,
}

impl<'a> Line<'a> {
    fn new(id: usize, src: &'a str, translation: &'a Translation) -> Self {
        let candidate: &Candidate = &translation.candidates[0];
        Self {
            id: id.to_string(),
            score: candidate.log_prob,
            src,
            text: &candidate.text,
            src_tokens: &translation.src_tokens,
            tgt_tokens: &candidate.tokens,
            token_log_probs: &candidate.token_log_probs,
            weights: None,
            src_words: Vec::new(),
            tgt_words: Vec::new(),
            head_weights: None,
        }
    }

    fn add_attention(&mut self, candidate: &'a Candidate, directory: &ModelDirectory) {
        self.weights = candidate.weights.as_deref();
        self.src_words = directory.src_tokenizer.words(self.src_tokens);
        self.tgt_words = directory.tgt_tokenizer.words(self.tgt_tokens);
        let heads = &candidate.head_weights;
        self.head_weights = (!heads.is_empty()).then_some(heads);
    }
}
