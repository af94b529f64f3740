//! `att inspect`: what a model is made of, and what its attention looked at.

mod drawing;
mod model;
mod numbers;
mod records;

use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;

use att_data::{AtomicFile, write_atomic};
use att_inspect::{AlignmentMethod, AttentionPage, View};
use clap::Args;
use serde::Serialize;

use super::{CommandResult, Outcome};
use drawing::Drawing;
pub use model::part;
use records::{Records, Sentence};

#[derive(Args)]
pub struct Options {
    /// A model directory, to be described; or a file of attention, as `att translate --attention FILE` and
    /// `att score --json --attention` write it
    #[arg(value_name = "MODEL|ATTENTION")]
    of: PathBuf,
    /// Of a model: list each weight with its shape
    #[arg(long)]
    weights: bool,
    #[command(flatten)]
    attention: AttentionOptions,
}

/// What is read from a file of attention, and what is made of it. Without a file to write or numbers, heat
/// maps are printed.
#[derive(Args)]
#[command(next_help_heading = "Of attention")]
struct AttentionOptions {
    /// Merge subwords, or characters, to words
    #[arg(long)]
    words: bool,
    /// Which weights: `weights`, what the decoder reports; of the file's layers and heads (--heads of the
    /// commands that write it) `mean`, a layer such as 2, a head such as 2.0; `best`, the one that aligns best;
    /// or `all`
    #[arg(long, default_value = "weights", value_name = "HEAD")]
    head: HeadOption,
    /// Only the sentence with this id: the line's number, from 0
    #[arg(long, value_name = "ID")]
    line: Option<String>,
    /// The hypothesis at this place of its n-best list, from 0
    #[arg(long, default_value_t = 0, value_name = "N")]
    rank: usize,
    /// Of an ensemble: the attention of this model, instead of that of all together
    #[arg(long, value_name = "MODEL")]
    member: Option<String>,
    /// Draw the first of the sentences as SVG; with --head all its heads side by side
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The same as PNG, with fonts of this system
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Write a page with all sentences, where words light up what they look at
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How words are linked: argmax, threshold:T, or, with --reverse, intersection, union, grow-diag,
    /// grow-diag-final or grow-diag-final-and
    #[arg(long, default_value = "argmax", value_name = "METHOD")]
    align: AlignmentMethod,
    /// Attention of the other direction, target to source, of the same sentences
    #[arg(long, value_name = "ATTENTION")]
    reverse: Option<PathBuf>,
    /// Write the links in the Pharaoh format, a line for each line of the input, without EOS
    #[arg(long, value_name = "FILE")]
    pharaoh: Option<PathBuf>,
    /// Write the links as JSON with words and weights, an object a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print entropy, sharpness, coverage, monotonicity, diagonality and repetition of all sentences, by head,
    /// and which head aligns best
    #[arg(long)]
    numbers: bool,
    /// Write these numbers as JSON
    #[arg(long, value_name = "FILE")]
    numbers_json: Option<PathBuf>,
    /// Gold links, a line for each line of the input in the Pharaoh format (0p1 is possible): the numbers have
    /// the alignment error rate
    #[arg(long, value_name = "FILE")]
    gold: Option<PathBuf>,
}

/// What --head takes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum HeadOption {
    One(View),
    Best,
    All,
}

impl FromStr for HeadOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "best" => Ok(Self::Best),
            "all" => Ok(Self::All),
            text => match text.parse() {
                Ok(view) => Ok(Self::One(view)),
                Err(error) => Err(format!("{error}; or best, or all")),
            },
        }
    }
}

/// A page with more bytes of weights would not load well.
const LARGEST_PAGE: usize = 100 << 20;

pub fn run(options: &Options) -> CommandResult {
    if !options.of.is_file() {
        options.attention.is_not_asked_for(&options.of)?;
        return model::describe(&options.of, options.weights);
    }
    if options.weights {
        return Err("--weights lists those of a model: give a model directory".into());
    }
    look(options)
}

fn look(options: &Options) -> CommandResult {
    let asked = &options.attention;
    let records = Records::open(&options.of, asked)?;
    let table = asked.numbers || asked.numbers_json.is_some();
    let mut view = match asked.head {
        HeadOption::One(view) => Some(view),
        HeadOption::Best | HeadOption::All => None,
    };
    if table || asked.head == HeadOption::Best {
        let found = numbers::Table::of(&records)?;
        if asked.numbers {
            found.print()?;
        }
        if let Some(path) = &asked.numbers_json {
            write_json(path, &found)?;
        }
        if asked.head == HeadOption::Best {
            view = Some(found.best());
        }
    }

    let mut outputs = Outputs::new(options, view)?;
    if !outputs.are_asked_for() {
        if table {
            return Ok(Outcome::Done);
        }
        outputs.terminal = true;
    }
    let mut found = 0;
    for sentence in records.sentences()? {
        outputs.add(&records, &sentence?)?;
        found += 1;
    }
    if found == 0 {
        return Err(records.nothing_found().into());
    }
    outputs.finish()?;
    Ok(Outcome::Done)
}

impl AttentionOptions {
    /// An error if something of attention is asked of what is no file.
    fn is_not_asked_for(&self, of: &std::path::Path) -> Result<(), String> {
        let asked = [
            (self.words, "--words"),
            (self.head != HeadOption::One(View::Weights), "--head"),
            (self.line.is_some(), "--line"),
            (self.rank != 0, "--rank"),
            (self.member.is_some(), "--member"),
            (self.align != AlignmentMethod::Argmax, "--align"),
            (self.svg.is_some(), "--svg"),
            (self.png.is_some(), "--png"),
            (self.html.is_some(), "--html"),
            (self.pharaoh.is_some(), "--pharaoh"),
            (self.json.is_some(), "--json"),
            (self.numbers, "--numbers"),
            (self.numbers_json.is_some(), "--numbers-json"),
            (self.reverse.is_some(), "--reverse"),
            (self.gold.is_some(), "--gold"),
        ];
        match asked.iter().find(|(asked, _)| *asked) {
            None => Ok(()),
            Some((_, option)) => Err(format!(
                "{option} reads a file of attention, and {} is none: write one with `att translate MODEL \
                 --attention FILE`, or `att score MODEL --src FILE --tgt FILE --json --attention`",
                of.display()
            )),
        }
    }
}

/// The files that are written in one pass over the sentences.
struct Outputs<'a> {
    options: &'a AttentionOptions,
    name: String,
    /// None for all.
    view: Option<View>,
    terminal: bool,
    drawing: Option<Drawing>,
    page: Option<AttentionPage>,
    pharaoh: Option<AtomicFile>,
    /// The line of the Pharaoh file that comes next.
    next_line: usize,
    json: Option<AtomicFile>,
}

impl<'a> Outputs<'a> {
    fn new(options: &'a Options, view: Option<View>) -> Result<Self, Box<dyn Error>> {
        let asked = &options.attention;
        for (path, option) in [(&asked.pharaoh, "--pharaoh"), (&asked.json, "--json")] {
            if path.is_some() && view.is_none() {
                return Err(format!("{option} takes one --head, not all").into());
            }
        }
        let create = |path: &Option<PathBuf>| path.as_ref().map(AtomicFile::create).transpose();
        Ok(Self {
            options: asked,
            name: options
                .of
                .file_name()
                .unwrap_or_default()
                .display()
                .to_string(),
            view,
            terminal: false,
            drawing: None,
            page: None,
            pharaoh: create(&asked.pharaoh)?,
            next_line: 0,
            json: create(&asked.json)?,
        })
    }

    fn are_asked_for(&self) -> bool {
        let Self { options, .. } = self;
        let files = [
            &options.svg,
            &options.png,
            &options.html,
            &options.pharaoh,
            &options.json,
        ];
        files.iter().any(|path| path.is_some())
    }

    fn add(&mut self, records: &Records, sentence: &Sentence) -> Result<(), Box<dyn Error>> {
        let options = self.options;
        if self.terminal {
            let views = self
                .view
                .map_or_else(|| sentence.record.views(), |view| vec![view]);
            drawing::print(sentence, &views)?;
        }
        if self.drawing.is_none() && (options.svg.is_some() || options.png.is_some()) {
            self.drawing = Some(Drawing::new(sentence, self.view)?);
        }
        if options.html.is_some() {
            let page = self.page.get_or_insert_with(|| {
                let views = self
                    .view
                    .map_or_else(|| sentence.record.views(), |view| vec![view]);
                let merged = if options.words {
                    ", merged to words"
                } else {
                    ""
                };
                AttentionPage::new(format!("Attention: {}", self.name), views).about(format!(
                    "Where each step of the output looked in the source{merged}."
                ))
            });
            page.add(&sentence.record)
                .map_err(|error| sentence.at(error))?;
            if page.size() > LARGEST_PAGE {
                return Err(
                    "the page would have more than 100 MB: choose one --head, or a --line".into(),
                );
            }
        }
        if let (Some(view), true) = (self.view, self.pharaoh.is_some() || self.json.is_some()) {
            let links = records.links(sentence, view)?;
            if let Some(file) = &mut self.pharaoh {
                // Lines without words have no record, and links of other lines must not take their place.
                if let Some(line) = sentence.line() {
                    while options.line.is_none() && self.next_line < line {
                        file.write(b"\n")?;
                        self.next_line += 1;
                    }
                }
                file.write(format!("{links}\n").as_bytes())?;
                self.next_line += 1;
            }
            if let Some(file) = &mut self.json {
                let line = AlignedLine::new(sentence, view, &links)?;
                file.write((serde_json::to_string(&line)? + "\n").as_bytes())?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Box<dyn Error>> {
        let Self { options, .. } = self;
        if let Some(drawing) = &self.drawing {
            if let Some(path) = &options.svg {
                write_atomic(path, drawing.svg().as_bytes())?;
            }
            if let Some(path) = &options.png {
                write_atomic(path, &drawing.png()?)?;
            }
        }
        if let (Some(page), Some(path)) = (&self.page, &options.html) {
            write_atomic(path, page.render().as_bytes())?;
        }
        for file in [self.pharaoh, self.json].into_iter().flatten() {
            file.commit()?;
        }
        Ok(())
    }
}

/// The links of a sentence in JSON.
#[derive(Serialize)]
struct AlignedLine<'a> {
    id: &'a Option<String>,
    rank: usize,
    text: &'a str,
    src_tokens: &'a [String],
    tgt_tokens: &'a [String],
    /// Source position, target position, weight.
    links: Vec<(usize, usize, f32)>,
}

impl<'a> AlignedLine<'a> {
    fn new(
        sentence: &'a Sentence,
        view: View,
        links: &att_inspect::Alignment,
    ) -> Result<Self, Box<dyn Error>> {
        let record = &sentence.record;
        let map = record.view(view).map_err(|error| sentence.at(error))?;
        let links = links.links.iter();
        Ok(Self {
            id: &record.id,
            rank: record.rank,
            text: &record.text,
            src_tokens: record.map.src_tokens(),
            tgt_tokens: record.map.tgt_tokens(),
            links: links
                .map(|link| (link.src, link.tgt, map.weight(link.tgt, link.src)))
                .collect(),
        })
    }
}

fn write_json(path: &PathBuf, value: &impl Serialize) -> Result<(), Box<dyn Error>> {
    let json = serde_json::to_string_pretty(value)? + "\n";
    Ok(write_atomic(path, json.as_bytes())?)
}
