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
    /// The model directory, as `att train` leaves it
    model: PathBuf,
    /// Text to translate, a line each, plain or .gz [default: the standard input]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print this many hypotheses a line, as `id ||| text ||| score`; `id` is the line's number,
    /// from 0 [default: the model's own]
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
    let translator = options.search.load(&options.model, &options.device)?;
    let search = options
        .search
        .apply(&translator.directory().search, options.n_best);
    search.validate()?;
    if options.attention.is_some() && !translator.directory().model.decoder.has_attention() {
        let model = options.model.display();
        return Err(format!(
            "{model} has no attention: leave out --attention, or take a model with attention"
        )
        .into());
    }
    let lines = match &options.input {
        Some(path) => Lines::open(path)?,
        None => Lines::new(BufReader::new(io::stdin()), "standard input")?,
    };
    // Someone who types wants an answer to each line.
    let interactive = options.input.is_none() && io::stdin().is_terminal();
    if interactive {
        eprintln!("type a line to translate and press Enter; Ctrl-D ends");
    }
    let chunk = if interactive {
        1
    } else {
        options.search.batch_size * BATCHES_READ
    };

    let mut job = Job {
        translator: &translator,
        search: &search,
        n_best: options.n_best.is_some() || search.n_best > 1,
        done: 0,
        attention: options.attention.is_some().then(String::new),
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
    if let (Some(path), Some(attention)) = (&options.attention, &job.attention) {
        write_atomic(path, attention.as_bytes())?;
    }
    Ok(Outcome::Done)
}

struct Job<'a> {
    translator: &'a Translator,
    search: &'a SearchConfig,
    /// Whether each hypothesis is printed, as `id ||| text ||| score`.
    n_best: bool,
    /// Lines printed so far.
    done: usize,
    /// The records so far, where they are asked for.
    attention: Option<String>,
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
                if self.n_best {
                    writeln!(out, "{id} |||  ||| 0")?;
                } else {
                    writeln!(out)?;
                }
                continue;
            }
            if self.n_best {
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
            if let Some(attention) = &mut self.attention {
                for record in records(id, translation)? {
                    writeln!(attention, "{}", record.to_json())?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// The attention of each hypothesis of one line.
fn records(id: usize, translation: &Translation) -> att_inspect::Result<Vec<AttentionRecord>> {
    let candidates = translation.candidates.iter().enumerate();
    candidates
        .filter_map(|(rank, candidate)| Some((rank, candidate, translation.attention(rank)?)))
        .map(|(rank, candidate, found)| {
            Ok(AttentionRecord {
                id: Some(id.to_string()),
                rank,
                score: Some(candidate.score),
                text: candidate.text.clone(),
                map: AttentionMap::new(found.src_tokens, found.tgt_tokens, found.weights)?,
            })
        })
        .collect()
}
