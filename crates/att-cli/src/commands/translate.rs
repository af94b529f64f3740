use std::error::Error;
use std::io::{self, BufReader, IsTerminal, Write};
use std::path::PathBuf;

use att_data::{AtomicFile, Lines};
use att_inspect::{AttentionMap, AttentionRecord};
use att_model::{ModelDirectory, Translation, Translator};
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
    /// Write the attention of each hypothesis to this file, one JSON object a line; of an ensemble also
    /// that of each model
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
    let window = if interactive {
        1
    } else {
        options.search.batch_size * BATCHES_READ
    };

    let mut printer = Printer {
        translator: &translator,
        n_best: options.n_best.is_some() || search.n_best > 1,
        done: 0,
        attention: options
            .attention
            .as_ref()
            .map(AtomicFile::create)
            .transpose()?,
    };
    // What was read before a bad line is still good.
    let mut bad = None;
    let lines = lines.map_while(|line| line.map_err(|error| bad = Some(error)).ok());
    translator.translate_windows(lines, window, &search, |line, translation| {
        printer.print(line, &translation)
    })?;
    if let Some(error) = bad {
        return Err(error.into());
    }
    printer.attention.map(AtomicFile::commit).transpose()?;
    Ok(Outcome::Done)
}

struct Printer<'a> {
    translator: &'a Translator,
    /// Whether each hypothesis is printed, as `id ||| text ||| score`.
    n_best: bool,
    /// Lines printed so far.
    done: usize,
    /// For the records, where they are asked for.
    attention: Option<AtomicFile>,
}

impl Printer<'_> {
    fn print(&mut self, line: &str, translation: &Translation) -> Result<(), Box<dyn Error>> {
        let mut out = io::stdout().lock();
        let id = self.done;
        self.done += 1;
        if line.trim().is_empty() {
            // Nothing to translate; the output stays line by line with the input.
            if self.n_best {
                writeln!(out, "{id} |||  ||| 0")?;
            } else {
                writeln!(out)?;
            }
            return Ok(());
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
            for record in records(id, line, translation, self.translator)? {
                attention.write(format!("{}\n", record.to_json()).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// The attention of each hypothesis of one line, and that of each model of an ensemble.
fn records(
    id: usize,
    line: &str,
    translation: &Translation,
    translator: &Translator,
) -> att_inspect::Result<Vec<AttentionRecord>> {
    let directories: Vec<&ModelDirectory> = translator.directories().collect();
    let mut records = Vec::new();
    for (rank, candidate) in translation.candidates.iter().enumerate() {
        let mut found = vec![(None, translation.attention(rank))];
        if directories.len() > 1 {
            let paths = directories.iter().map(|directory| Some(directory.path()));
            found.extend(paths.zip(translator.member_attention(line, candidate)));
        }
        for (path, found) in found {
            let Some(found) = found else { continue };
            records.push(AttentionRecord {
                id: Some(id.to_string()),
                model: path.map(|path| path.display().to_string()),
                rank,
                score: Some(candidate.score),
                text: candidate.text.clone(),
                map: AttentionMap::new(found.src_tokens, found.tgt_tokens, found.weights)?,
            });
        }
    }
    Ok(records)
}
