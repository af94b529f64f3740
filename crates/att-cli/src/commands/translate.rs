use std::error::Error;
use std::io::{self, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};

use att_data::{AtomicFile, Lines};
use att_decoder::search::{ScoreTerms, StrategyConfig};
use att_inspect::{AttentionMap, AttentionRecord};
use att_model::{Candidate, ModelDirectory, Translation, TranslationRequest, Translator};
use att_studio::Hypothesis;
use clap::Args;
use serde::Serialize;

use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, SearchOptions, StrategyOptions, check_attention, check_heads};

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
    /// With --attention: add the weights of each layer and head, of a model that has several
    #[arg(long, requires = "attention")]
    heads: bool,
    /// Begin each output with this text
    #[arg(long, value_name = "TEXT", conflicts_with = "prefix_file")]
    prefix: Option<String>,
    /// Begin the outputs with the lines of this file, one for each line of the input; empty ones ask for
    /// nothing
    #[arg(long, value_name = "FILE")]
    prefix_file: Option<PathBuf>,
    /// Phrases that must stand in the outputs: for each line of the input a line of phrases with tabs in
    /// between; empty ones ask for nothing
    #[arg(long, value_name = "FILE", conflicts_with = "sample")]
    constraints: Option<PathBuf>,
    /// Print below each hypothesis its tokens with their log-probabilities, and what its score is made of
    #[arg(long)]
    explain: bool,
    /// Print each hypothesis as a JSON object, with its tokens and what its score is made of
    #[arg(long, conflicts_with = "explain")]
    json: bool,
    #[command(flatten)]
    strategy: StrategyOptions,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    device: DeviceOption,
}

/// How many batches are read before they are translated together, so that lines of like length
/// meet.
const BATCHES_READ: usize = 16;

pub fn run(options: &Options) -> CommandResult {
    let mut translator = options.search.load(&options.model, &options.device)?;
    if options.heads {
        check_heads(&translator)?;
        translator = translator.with_head_weights();
    }
    let own = &translator.directory().search;
    let mut search = options.search.apply(own, options.n_best);
    search.strategy = options.strategy.apply(search.strategy);
    search.validate()?;
    check_attention(&translator, &search)?;
    if options.constraints.is_some() && matches!(search.strategy, StrategyConfig::Sampling(_)) {
        let model = options.model.display();
        return Err(format!(
            "--constraints can't be sampled, as {model} does unless told: add --beam-size"
        )
        .into());
    }
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
    let beside = |path: &Option<PathBuf>| path.as_deref().map(Beside::open).transpose();
    let mut prefixes = beside(&options.prefix_file)?;
    let mut phrases = beside(&options.constraints)?;
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
        form: match (options.json, options.explain) {
            (true, _) => Form::Json,
            (false, explain) => Form::Text {
                n_best: options.n_best.is_some() || search.n_best > 1,
                explain,
            },
        },
        done: 0,
        attention: options
            .attention
            .as_ref()
            .map(AtomicFile::create)
            .transpose()?,
        heads: options.heads,
    };
    let request = |line: att_data::Result<String>| -> Result<TranslationRequest, Bad> {
        let line = line?;
        let prefix = match (&mut prefixes, &options.prefix) {
            (Some(prefixes), _) => prefixes.line()?,
            (None, prefix) => prefix.clone().unwrap_or_default(),
        };
        let constraints = phrases.as_mut().map_or(Ok(Vec::new()), Beside::phrases)?;
        Ok(TranslationRequest {
            prefix,
            constraints,
            ..TranslationRequest::new(line)
        })
    };
    // What was read before a bad line is still good.
    let mut bad = None;
    let requests = lines
        .map(request)
        .map_while(|request| request.map_err(|error| bad = Some(error)).ok());
    translator.translate_windows(requests, window, &search, |request, translation| {
        printer.print(&request.line, translation)
    })?;
    if let Some(error) = bad {
        return Err(error);
    }
    for beside in [prefixes, phrases].into_iter().flatten() {
        beside.end()?;
    }
    printer.attention.map(AtomicFile::commit).transpose()?;
    Ok(Outcome::Done)
}

/// An error that any thread may find.
type Bad = Box<dyn Error + Send + Sync>;

/// A file that has a line for each line of the input.
struct Beside {
    path: PathBuf,
    lines: Lines,
    read: usize,
}

impl Beside {
    fn open(path: &Path) -> att_data::Result<Self> {
        Ok(Self {
            path: path.into(),
            lines: Lines::open(path)?,
            read: 0,
        })
    }

    fn line(&mut self) -> Result<String, Bad> {
        let Self { path, lines, read } = self;
        let line = lines.next().ok_or_else(|| {
            let path = path.display();
            format!("{path} has {read} lines, fewer than the input: give it one for each line")
        })?;
        *read += 1;
        Ok(line?)
    }

    fn phrases(&mut self) -> Result<Vec<String>, Bad> {
        let line = self.line()?;
        if line.trim().is_empty() {
            return Ok(Vec::new());
        }
        let phrases: Vec<String> = line.split('\t').map(String::from).collect();
        if phrases.iter().any(|phrase| phrase.trim().is_empty()) {
            let (path, line) = (self.path.display(), self.read);
            return Err(format!("{path} line {line}: a phrase is empty; take out its tab").into());
        }
        Ok(phrases)
    }

    /// The input has ended, and so must the file.
    fn end(mut self) -> Result<(), Box<dyn Error>> {
        match self.lines.next().transpose()? {
            None => Ok(()),
            Some(_) => {
                let (path, read) = (self.path.display(), self.read);
                Err(format!("{path} has more lines than the input, which has {read}").into())
            }
        }
    }
}

struct Printer<'a> {
    translator: &'a Translator,
    form: Form,
    /// Lines printed so far.
    done: usize,
    /// For the records, where they are asked for.
    attention: Option<AtomicFile>,
    /// Whether the records have the weights of all heads.
    heads: bool,
}

/// How outputs are printed.
enum Form {
    Text {
        /// Whether each hypothesis is printed, as `id ||| text ||| score`.
        n_best: bool,
        /// Whether its parts follow.
        explain: bool,
    },
    Json,
}

impl Printer<'_> {
    fn print(&mut self, line: &str, mut translation: Translation) -> Result<(), Box<dyn Error>> {
        let mut out = io::stdout().lock();
        let id = self.done;
        self.done += 1;
        let empty = line.trim().is_empty();
        if empty {
            // Nothing to translate; the output stays line by line with the input.
            translation.candidates = vec![Candidate::default()];
        }
        match self.form {
            Form::Json => {
                for (rank, candidate) in translation.candidates.iter().enumerate() {
                    let line = Line {
                        id: id.to_string(),
                        rank,
                        src_tokens: &translation.src_tokens,
                        hypothesis: candidate.into(),
                    };
                    writeln!(out, "{}", serde_json::to_string(&line)?)?;
                }
            }
            Form::Text { n_best, explain } => {
                let shown = if n_best { usize::MAX } else { 1 };
                for candidate in translation.candidates.iter().take(shown) {
                    let Candidate { text, score, .. } = candidate;
                    if !n_best {
                        writeln!(out, "{text}")?;
                    } else if empty {
                        writeln!(out, "{id} |||  ||| 0")?;
                    } else {
                        writeln!(out, "{id} ||| {text} ||| {score:.6}")?;
                    }
                    if explain && !empty {
                        write_parts(&mut out, candidate)?;
                    }
                }
            }
        }
        if let (Some(attention), false) = (&mut self.attention, empty) {
            for record in records(id, line, &translation, self.translator, self.heads)? {
                attention.write(format!("{}\n", record.to_json()).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// The tokens of a hypothesis with their log-probabilities, and the terms of its score.
fn write_parts(out: &mut impl Write, candidate: &Candidate) -> io::Result<()> {
    let tokens = candidate.tokens.iter().zip(&candidate.token_log_probs);
    for (token, log_prob) in tokens {
        write!(out, "\t{token}:{log_prob:.6}")?;
    }
    let ScoreTerms {
        repetition,
        length,
        coverage,
    } = candidate.terms;
    let (score, log_prob) = (candidate.score, candidate.log_prob);
    writeln!(
        out,
        "\n\tscore {score:.6} = log-probability {log_prob:.6} + repetition {repetition:.6} \
         + length {length:.6} + coverage {coverage:.6}"
    )
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    rank: usize,
    src_tokens: &'a [String],
    #[serde(flatten)]
    hypothesis: Hypothesis<'a>,
}

/// The attention of each hypothesis of one line, and that of each model of an ensemble;
/// with `heads` the weights of layers and heads, too.
fn records(
    id: usize,
    line: &str,
    translation: &Translation,
    translator: &Translator,
    heads: bool,
) -> att_inspect::Result<Vec<AttentionRecord>> {
    let directories: Vec<&ModelDirectory> = translator.directories().collect();
    let mut records = Vec::new();
    for (rank, candidate) in translation.candidates.iter().enumerate() {
        let mut found = vec![(None, directories[0], translation.attention(rank))];
        let alone = directories.len() == 1;
        if heads || !alone {
            let members = translator.member_attention(line, candidate);
            if alone && let (Some(found), Some(Some(member))) = (&mut found[0].2, members.first()) {
                found.head_weights = member.head_weights.clone();
            }
            if !alone {
                let members = directories.iter().copied().zip(members);
                found.extend(members.map(|(of, found)| (Some(of.path()), of, found)));
            }
        }
        for (path, directory, found) in found {
            let Some(found) = found else { continue };
            records.push(AttentionRecord {
                id: Some(id.to_string()),
                model: path.map(|path| path.display().to_string()),
                rank,
                score: Some(candidate.score),
                text: candidate.text.clone(),
                src_words: directory.src_tokenizer.words(&found.src_tokens),
                tgt_words: directory.tgt_tokenizer.words(&found.tgt_tokens),
                map: AttentionMap::new(found.src_tokens, found.tgt_tokens, found.weights)?,
                head_weights: found.head_weights,
            });
        }
    }
    Ok(records)
}
