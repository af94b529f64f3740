use std::io::{self, Write};
use std::path::PathBuf;

use att_data::write_atomic;
use att_inspect::SvgTree;
use att_model::TranslationRequest;
use att_studio::search_tree;
use clap::Args;

use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, SearchOptions, StrategyOptions, check_attention};

#[derive(Args)]
pub struct Options {
    /// The model directory, as `att train` leaves it
    model: PathBuf,
    /// The line to translate
    line: String,
    /// Write the tree to this file as JSON [default, without --svg: to the standard output]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the tree as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// With --svg: leave out what was pruned
    #[arg(long, requires = "svg")]
    kept: bool,
    /// How many hypotheses come back [default: the model's own]
    #[arg(long, value_name = "N")]
    n_best: Option<usize>,
    /// Begin the output with this text
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,
    /// A phrase that must stand in the output; may be told several times
    #[arg(long, value_name = "PHRASE", conflicts_with = "sample")]
    constraint: Vec<String>,
    #[command(flatten)]
    strategy: StrategyOptions,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(options: &Options) -> CommandResult {
    let translator = options.search.load(&options.model, &options.device)?;
    let own = &translator.directory().search;
    let mut search = options.search.apply(own, options.n_best);
    search.strategy = options.strategy.apply(search.strategy);
    check_attention(&translator, &search)?;
    if options.line.trim().is_empty() {
        return Err("the line is empty: give a line to translate".into());
    }
    let request = TranslationRequest {
        prefix: options.prefix.clone(),
        constraints: options.constraint.clone(),
        record: true,
        ..TranslationRequest::new(&options.line)
    };
    let found = translator.translate_requests(&[request], &search)?;
    let tree = found.into_iter().find_map(|found| found.tree);
    let tree = search_tree(&translator, &options.line, tree.unwrap_or_default())?;
    let json = serde_json::to_string(&tree)? + "\n";
    match &options.json {
        Some(path) => write_atomic(path, json.as_bytes())?,
        None if options.svg.is_none() => io::stdout().lock().write_all(json.as_bytes())?,
        None => {}
    }
    if let Some(path) = &options.svg {
        let drawing = SvgTree {
            title: options.line.clone(),
            pruned: !options.kept,
        };
        write_atomic(path, drawing.render(&tree).as_bytes())?;
    }
    Ok(Outcome::Done)
}
