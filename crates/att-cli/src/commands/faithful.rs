use std::collections::HashSet;
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use att_data::{Corpus, Pair, write_atomic};
use att_decoder::search::SearchConfig;
use att_eval::PharaohLink;
use att_faithful::{FaithfulConfig, Findings, Report, Sentence, sample, study};
use att_model::{ModelDirectory, Seq2Seq, Translator};
use att_train::{GoldAlignments, token_positions};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, read_corpus};

#[derive(Args)]
pub struct Options {
    /// The model directory, as `att train` leaves it
    model: PathBuf,
    /// Sentences to look at: one file with lines of `source<TAB>target`, or two parallel files; plain or
    /// .gz
    #[arg(long, num_args = 1..=2, required = true, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Look at the targets of the data, instead of what the model itself puts out for the sources
    #[arg(long)]
    gold: bool,
    /// With --gold: word alignments of the data, a line each, as `0-0 1-2 2p3`: adds how often the true source
    /// is ranked first. Positions are words, or characters where the tokeniser has those
    #[arg(long, requires = "gold", value_name = "FILE")]
    gold_alignments: Option<PathBuf>,
    /// Sentences looked at, drawn from the data; 0 is all
    #[arg(long, default_value_t = 300, value_name = "N")]
    limit: usize,
    /// Orders that the weights of each step are put in
    #[arg(long, default_value_t = FaithfulConfig::default().permutations, value_name = "N")]
    permutations: usize,
    /// Points of the integrated gradients
    #[arg(long, default_value_t = FaithfulConfig::default().integration_steps, value_name = "N")]
    integration_steps: usize,
    /// What is drawn: sentences, random rankings, orders, and the weights of the random model
    #[arg(long, default_value_t = FaithfulConfig::default().seed, value_name = "N")]
    seed: u64,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with the verdict, the curves and the table
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Draw the curves of comprehensiveness as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(options: &Options) -> CommandResult {
    let config = FaithfulConfig {
        permutations: options.permutations,
        integration_steps: options.integration_steps,
        seed: options.seed,
    };
    config.validate()?; // before anything is loaded
    let device = options.device.device.init()?;
    let translator = Translator::load(&options.model, &device)?;
    let name = options.model.display();
    let directory = translator.directory();
    if !directory.model.decoder.has_attention() {
        return Err(format!("{name} has no attention: take a model with attention").into());
    }
    let corpus = read_corpus(&options.data)?;
    let gold = match &options.gold_alignments {
        Some(path) => Some(read_alignments(path, &corpus, directory)?),
        None => None,
    };
    let limit = match options.limit {
        0 => usize::MAX,
        limit => limit,
    };
    // A source that occurs several times has one output.
    let mut seen = HashSet::new();
    let is_new = |number: &usize| options.gold || seen.insert(corpus.pairs[*number].src.as_str());
    let all: Vec<usize> = (0..corpus.pairs.len()).filter(is_new).collect();
    let of_all = all.len();
    let numbers = sample(all, limit, config.seed);
    let sentences = if options.gold {
        numbers
            .iter()
            .map(|&number| given(directory, number, &corpus.pairs[number], gold.as_ref()))
            .collect()
    } else {
        own_outputs(&translator, &numbers, &corpus)?
    };

    let model = measure(translator.model(), &sentences, &config, "model")?;
    let random = directory.init(config.seed, &device)?;
    let random = measure(&random, &sentences, &config, "random weights")?;
    let about = format!(
        "{} of {} sentences, {} target tokens{}; seed {}, {} permutations, {} points of integrated gradients",
        model.sentences,
        of_all,
        model.steps,
        if options.gold {
            " of the data"
        } else {
            " as the model puts them out"
        },
        config.seed,
        config.permutations,
        config.integration_steps,
    );
    let report = Report::new(name.to_string(), about, model, random);
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        write_atomic(path, json.as_bytes())?;
    }
    if let Some(path) = &options.html {
        write_atomic(path, report.page().as_bytes())?;
    }
    if let Some(path) = &options.svg {
        let chart = report.comprehensiveness_chart();
        write_atomic(path, chart.render().as_bytes())?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n", report.about)?;
    writeln!(out, "{}\n{}", report.markdown(), report.sentence)?;
    Ok(Outcome::Done)
}

/// A pair of the data.
fn given(
    directory: &ModelDirectory,
    number: usize,
    pair: &Pair,
    gold: Option<&GoldAlignments>,
) -> Sentence {
    let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
    let links = gold.and_then(|gold| gold.lines().nth(number));
    let true_sources = links.map(|line| {
        let links: Vec<PharaohLink> = line
            .split_whitespace()
            .filter_map(PharaohLink::parse)
            .collect();
        let src_positions = token_positions(&src.tokens(&pair.src), src.marks_words());
        let tgt_positions = token_positions(&tgt.tokens(&pair.tgt), tgt.marks_words());
        let of_token = |at: &usize| {
            let is_linked = |s: &usize| {
                let linked = |link: &PharaohLink| link.tgt == *at && link.src == src_positions[*s];
                links.iter().any(linked)
            };
            (0..src_positions.len()).filter(is_linked).collect()
        };
        tgt_positions.iter().map(of_token).collect()
    });
    Sentence {
        number,
        example: directory.model.example(pair, src, tgt),
        true_sources: true_sources.unwrap_or_default(),
    }
}

/// What the model puts out for some sources, by its own search.
fn own_outputs(
    translator: &Translator,
    numbers: &[usize],
    corpus: &Corpus,
) -> Result<Vec<Sentence>, Box<dyn Error>> {
    let lines = numbers.iter().map(|&number| &corpus.pairs[number].src);
    let lines: Vec<&String> = lines.collect();
    let search = SearchConfig {
        n_best: 1,
        ..translator.directory().search.clone()
    };
    let found = translator.translate(&lines, &search)?;
    let sentence =
        |((&number, line), found): ((&usize, &&String), &att_model::Translation)| Sentence {
            number,
            example: translator.candidate_example(line, &found.candidates[0]),
            true_sources: Vec::new(),
        };
    Ok(numbers
        .iter()
        .zip(&lines)
        .zip(&found)
        .map(sentence)
        .collect())
}

fn read_alignments(
    path: &std::path::Path,
    corpus: &Corpus,
    directory: &ModelDirectory,
) -> att_train::Result<GoldAlignments> {
    let gold = GoldAlignments::read(path, corpus, "given")?;
    let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
    gold.check(src.config(), tgt.config(), corpus)?;
    Ok(gold)
}

/// Measures one model, with a bar on a terminal.
fn measure(
    model: &Seq2Seq,
    sentences: &[Sentence],
    config: &FaithfulConfig,
    what: &str,
) -> att_faithful::Result<Findings> {
    let total = sentences.iter().filter(|one| one.is_measurable()).count();
    let bar = if io::stderr().is_terminal() {
        let style =
            ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} sentences, {eta} left");
        let style = style.expect("the template is right");
        ProgressBar::new(total as u64).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    bar.set_message(what.to_string());
    let found = study(model, sentences, config, || bar.inc(1));
    bar.finish_and_clear();
    found
}
