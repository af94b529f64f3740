use std::fmt::Write as _;
use std::io::{self, BufReader, IsTerminal, Write};
use std::path::PathBuf;

use att_data::{Lines, write_atomic};
use att_decoder::search::SearchConfig;
use att_inspect::{AttentionMap, AttentionRecord};
use att_model::{Translation, Translator};
use clap::Args;

use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, SearchOptions};

#[derive(Args)]
pub struct Options {
    /// The model directory
    model: PathBuf,
    /// Text to translate, a line each, plain or .gz [default: the standard input]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print this many hypotheses a line, as `id ||| text ||| score`
    #[arg(long, value_name = "N")]
    n_best: Option<usize>,
    /// Write the attention of each hypothesis to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    attention: Option<PathBuf>,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    device: DeviceOption,
}

/// How many batches are read before they are translated together, so that lines of like length
/// meet.
const BATCHES_READ: usize = 16;

pub fn run(options: &Options) -> CommandResult {
    let device = options.device.device.init()?;
    let translator =
        Translator::load(&options.model, &device)?.with_batch_size(options.search.batch_size);
    let search = options
        .search
        .apply(&translator.directory().search, options.n_best.unwrap_or(1));
    search.validate()?;
    att_core::check::size("batch_size", options.search.batch_size)?;
    let lines = match &options.input {
        Some(path) => Lines::open(path)?,
        None => Lines::new(BufReader::new(io::stdin()), "standard input")?,
    };
    // Someone who types wants an answer to each line.
    let interactive = options.input.is_none() && io::stdin().is_terminal();
    let chunk = if interactive {
        1
    } else {
        options.search.batch_size * BATCHES_READ
    };

    let mut job = Job {
        translator: &translator,
        search: &search,
        options,
        done: 0,
        attention: String::new(),
    };
    let mut pending = Vec::new();
    for line in lines {
        match line {
            Ok(line) => pending.push(line),
            Err(error) => {
                // What was read before the bad line is still good.
                job.translate(&mut pending)?;
                return Err(error.into());
            }
        }
        if pending.len() == chunk {
            job.translate(&mut pending)?;
        }
    }
    job.translate(&mut pending)?;
    if let Some(path) = &options.attention {
        write_atomic(path, job.attention.as_bytes())?;
    }
    Ok(Outcome::Done)
}

struct Job<'a> {
    translator: &'a Translator,
    search: &'a SearchConfig,
    options: &'a Options,
    /// Lines printed so far.
    done: usize,
    attention: String,
}

impl Job<'_> {
    fn translate(&mut self, lines: &mut Vec<String>) -> Result<(), Box<dyn std::error::Error>> {
        let translations = self.translator.translate(lines, self.search)?;
        let mut out = io::stdout().lock();
        for (line, translation) in lines.drain(..).zip(&translations) {
            let id = self.done;
            self.done += 1;
            if line.trim().is_empty() {
                // Nothing to translate; the output stays line by line with the input.
                match self.options.n_best {
                    Some(_) => writeln!(out, "{id} |||  ||| 0")?,
                    None => writeln!(out)?,
                }
                continue;
            }
            if self.options.n_best.is_some() {
                for candidate in &translation.candidates {
                    writeln!(
                        out,
                        "{id} ||| {} ||| {:.6}",
                        candidate.text, candidate.score
                    )?;
                }
            } else {
                let best = translation.candidates.first();
                writeln!(out, "{}", best.map_or("", |candidate| &candidate.text))?;
            }
            if self.options.attention.is_some() {
                for record in records(id, translation)? {
                    writeln!(self.attention, "{}", record.to_json())?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// The attention of each hypothesis of one line.
fn records(id: usize, translation: &Translation) -> Result<Vec<AttentionRecord>, String> {
    let candidates = translation.candidates.iter().enumerate();
    candidates
        .map(|(rank, candidate)| {
            let weights = candidate.weights.as_ref().ok_or(
                "this model has no attention: leave out --attention, or take a model with attention",
            )?;
            let map = AttentionMap::new(
                translation.src_tokens.clone(),
                candidate.tokens.clone(),
                weights.concat(),
            )
            .map_err(|error| error.to_string())?;
            Ok(AttentionRecord {
                id: Some(id.to_string()),
                rank,
                score: Some(candidate.score),
                text: candidate.text.clone(),
                map,
            })
        })
        .collect()
}
