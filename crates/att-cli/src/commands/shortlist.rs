use std::io::{self, Write};
use std::path::PathBuf;

use att_core::check;
use att_data::{Lexicon, Shortlist};
use att_model::ModelDirectory;
use clap::Args;

use super::{CommandResult, Outcome};
use crate::options::read_corpus;

#[derive(Args)]
pub struct Options {
    /// The model directory, as `att train` leaves it
    model: PathBuf,
    /// Pairs to learn from which tokens translate which, best those of training: one file with lines of
    /// `source<TAB>target`, or two parallel files; plain or .gz
    #[arg(long, num_args = 1..=2, required = true, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Target tokens for each source token, the most probable ones
    #[arg(long, default_value_t = 100, value_name = "N")]
    best: usize,
    /// Target tokens for every source, the most frequent ones
    #[arg(long, default_value_t = 100, value_name = "N")]
    frequent: usize,
    /// Passes over the pairs (IBM model 1)
    #[arg(long, default_value_t = 5, value_name = "N")]
    iterations: usize,
    /// Take the probabilities from this table, lines of `target source probability` as in Marian's
    /// lex.s2t, plain or .gz, instead of learning them
    #[arg(long, conflicts_with = "iterations", value_name = "FILE")]
    lexicon: Option<PathBuf>,
}

pub fn run(options: &Options) -> CommandResult {
    check::size("best", options.best)?;
    check::size("iterations", options.iterations)?;
    let directory = ModelDirectory::open(&options.model)?;
    let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
    let examples = read_corpus(&options.data)?.encode(src, tgt);
    let lexicon = match &options.lexicon {
        Some(path) => Lexicon::read(path, src, tgt)?,
        None => Lexicon::train(&examples, options.iterations),
    };
    let (best, frequent) = (options.best, options.frequent);
    let shortlist = Shortlist::new(&lexicon, src.vocab_size(), best, &examples, frequent);
    shortlist.save(&options.out, src, tgt)?;

    let (mut listed, mut tokens, mut found) = (0, 0, 0);
    for example in &examples {
        let allowed = shortlist.of(&example.src);
        let is_there = |id: &&u32| allowed.binary_search(id).is_ok();
        listed += allowed.len();
        tokens += example.tgt.len();
        found += example.tgt.iter().filter(is_there).count();
    }
    writeln!(
        io::stdout().lock(),
        "{}: {:.1} of {} target tokens for a source of these pairs, {:.2} % of its target among them",
        options.out.display(),
        listed as f64 / examples.len() as f64,
        tgt.vocab_size(),
        100.0 * found as f64 / tokens.max(1) as f64,
    )?;
    Ok(Outcome::Done)
}
