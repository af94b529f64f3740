use std::io::{self, Write};
use std::path::PathBuf;

use att_data::{Corpus, split_by_hash, write_atomic};
use att_eval::{Metric, error_rates};
use att_inspect::{AttentionMap, SvgHeatmap, TerminalHeatmap, TerminalStyle};
use att_model::Translator;
use att_train::{ExperimentConfig, Trainer};
use clap::Args;

use super::{CommandResult, Outcome};
use crate::options::DeviceOption;
use crate::progress::Progress;
use crate::run_files::RunFiles;

#[derive(Args)]
pub struct Options {
    /// Where the model goes
    #[arg(long, short, default_value = "runs/quickstart", value_name = "DIR")]
    out: PathBuf,
    /// Replace the run that is there
    #[arg(long)]
    overwrite: bool,
    /// Stop training after this many steps
    #[arg(long, value_name = "N")]
    max_steps: Option<usize>,
    #[command(flatten)]
    device: DeviceOption,
}

/// CMU's pronouncing dictionary; see assets/cmudict/README.md.
static CMUDICT: &[u8] = include_bytes!("../../assets/cmudict/cmudict.tsv.gz");

const EXPERIMENT: &str = include_str!("../../assets/quickstart.toml");

/// Shares of the words that validation and the final test hold out.
const VALID_SHARE: f64 = 0.004;
const TEST_SHARE: f64 = 0.02;

/// Words that no edition of the dictionary has.
const NEW_WORDS: [&str; 5] = [
    "ATTENTIONAL",
    "BAHDANAU",
    "RUSTACEAN",
    "SOFTMAXING",
    "UNGOOGLEABLE",
];

pub fn run(options: &Options) -> CommandResult {
    let mut out = io::stdout().lock();
    let device = options.device.device.init()?;
    let mut config = ExperimentConfig::from_toml(EXPERIMENT)?;
    if let Some(steps) = options.max_steps {
        config.training.max_steps = steps;
    }
    let split = split(&Corpus::read_tsv(CMUDICT, "cmudict.tsv.gz")?);
    writeln!(
        out,
        "English pronunciation from CMUdict: {} pronunciations to learn from, {} to validate, {} \
         to test.\nThe model reads a word letter by letter and writes its phones, looking back at \
         the letters.\n",
        split.train.pairs.len(),
        split.valid.pairs.len(),
        split.test.pairs.len()
    )?;
    let trainer = Trainer::create(
        config,
        &split.train,
        &split.valid,
        &options.out,
        options.overwrite,
    )?;
    let mut files = RunFiles::new(options.out.clone(), false, Progress::new()?);
    let summary = trainer.run(&device, &mut files)?;
    files.finish();
    drop(files);
    if summary.interrupted {
        return Ok(Outcome::Interrupted);
    }
    writeln!(out, "Trained {summary}.\n")?;

    let translator = Translator::load(&options.out, &device)?;
    let search = translator.directory().search.clone();
    let test = att_train::evaluate(&translator, &split.test, &search, Metric::Wer)?;
    let rates = error_rates(&test.outputs, &test.references)?;
    writeln!(
        out,
        "On {} held-out words: word error rate {:.1} %, phone error rate {:.1} % (stress removed).\n",
        test.sources.len(),
        rates.item_error_rate(),
        rates.token_error_rate()
    )?;

    writeln!(out, "Words that it has never seen:")?;
    let translations = translator.translate(&NEW_WORDS, &search)?;
    for (word, translation) in NEW_WORDS.iter().zip(&translations) {
        writeln!(out, "  {word:<14} {}", translation.candidates[0].text)?;
    }

    let drawn = &translations[0];
    let found = drawn.attention(0).ok_or("no attention")?;
    let map = AttentionMap::new(found.src_tokens, found.tgt_tokens, found.weights)?;
    let heatmap = TerminalHeatmap {
        style: TerminalStyle::of(&io::stdout()),
        ..Default::default()
    };
    writeln!(
        out,
        "\nWhere it looked while it pronounced {}:\n",
        NEW_WORDS[0]
    )?;
    writeln!(out, "{}", heatmap.render(&map))?;
    let picture = options.out.join("attention.svg");
    let svg = SvgHeatmap {
        title: format!("{} -> {}", NEW_WORDS[0], drawn.candidates[0].text),
        ..Default::default()
    };
    write_atomic(&picture, svg.render(&map).as_bytes())?;

    let run = options.out.display();
    writeln!(out, "The same as a picture: {}", picture.display())?;
    writeln!(out, "How it was trained: {run}/report.html\n")?;
    writeln!(out, "Next:")?;
    writeln!(
        out,
        "  echo YOURWORD | att translate {run}            pronounce any word (capital letters)"
    )?;
    writeln!(
        out,
        "  att translate {run} --n-best 3 --attention a.jsonl < words.txt"
    )?;
    writeln!(
        out,
        "  att inspect a.jsonl --html a.html              look at it, word by word"
    )?;
    writeln!(
        out,
        "  att inspect {run}                              what the model is made of"
    )?;
    writeln!(
        out,
        "  att train --help                               train on your own data"
    )?;
    Ok(Outcome::Done)
}

struct Split {
    train: Corpus,
    valid: Corpus,
    test: Corpus,
}

/// Each word goes by its own hash, so its pronunciations stay together and new editions of the
/// dictionary move no word.
fn split(corpus: &Corpus) -> Split {
    let mut split = Split {
        train: Corpus::default(),
        valid: Corpus::default(),
        test: Corpus::default(),
    };
    for pair in &corpus.pairs {
        let place = split_by_hash(&pair.src, 0);
        let part = if place < VALID_SHARE {
            &mut split.valid
        } else if place < VALID_SHARE + TEST_SHARE {
            &mut split.test
        } else {
            &mut split.train
        };
        part.pairs.push(pair.clone());
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_share_no_word() {
        let split = split(&Corpus::read_tsv(CMUDICT, "cmudict.tsv.gz").unwrap());
        let words = |corpus: &Corpus| {
            corpus
                .sources()
                .map(String::from)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let (train, valid, test) = (words(&split.train), words(&split.valid), words(&split.test));
        assert!(train.is_disjoint(&valid) && train.is_disjoint(&test) && valid.is_disjoint(&test));
        assert!(valid.len() > 300 && test.len() > 2000 && train.len() > 100_000);
        for word in NEW_WORDS {
            assert!(!train.contains(word), "{word}");
        }
    }
}
