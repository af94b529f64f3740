use std::fmt;
use std::path::{Path, PathBuf};

use att_data::{Lines, read_lines};
use att_eval::{
    BleuTokenizer, Cutoffs, Resampling, Smoothing, Statistics, WordFrequencies, paired_bootstrap,
    paired_randomisation, word_f1_by_frequency,
};
use clap::{Args, ValueEnum};

use super::Options;
use super::named_metric::NamedMetric;
use super::report::{Bucket, Frequencies, Report, Score, System};
use crate::commands::{CommandResult, Outcome};

/// What is asked of files of outputs.
#[derive(Args)]
#[command(next_help_heading = "Files of outputs")]
pub struct FileOptions {
    /// References for the outputs, line by line, plain or .gz; may be given several times
    #[arg(long = "ref", value_name = "FILE")]
    pub references: Vec<PathBuf>,
    /// BLEU's tokens: 13a, intl, zh, char or none
    #[arg(long, default_value_t, requires = "references", value_name = "NAME")]
    pub tokenize: BleuTokenizer,
    /// BLEU's smoothing: exp, floor, floor:VALUE, add-k, add-k:K or none
    #[arg(
        long,
        default_value = "exp",
        requires = "references",
        value_name = "NAME"
    )]
    pub smooth: Smoothing,
    /// Ignore case in all metrics but TER and ROUGE, which do, and exact_match and aer
    #[arg(long, requires = "references")]
    pub lowercase: bool,
    /// Set off punctuation for TER
    #[arg(long, requires = "references")]
    pub ter_normalized: bool,
    /// Take out punctuation for TER
    #[arg(long, requires = "references")]
    pub ter_no_punct: bool,
    /// With the two before, make words of East Asian characters for TER
    #[arg(long, requires = "references")]
    pub ter_asian_support: bool,
    /// Let case count in TER
    #[arg(long, requires = "references")]
    pub ter_case_sensitive: bool,
    /// Cut words to their stems for ROUGE
    #[arg(long, requires = "references")]
    pub rouge_stem: bool,
    /// Give 95 % confidence intervals, by bootstrap resampling
    #[arg(long, requires = "references")]
    confidence: bool,
    /// Test whether each further file differs from the first
    #[arg(long, requires = "references", value_name = "TEST")]
    paired: Option<Test>,
    /// Resampled corpora [default: 1000, and 10000 for --paired randomisation]
    #[arg(long, requires = "references", value_name = "N")]
    samples: Option<usize>,
    /// Seed of the resampling; sacreBLEU's default
    #[arg(long, default_value_t = Resampling::BOOTSTRAP.seed, requires = "references", value_name = "N")]
    seed: u64,
    /// Also score by the first reference's length in words, or words by their frequency in --train
    #[arg(
        long,
        requires = "references",
        value_delimiter = ',',
        value_name = "WHAT"
    )]
    by: Vec<Breakdown>,
    /// Text that word frequencies are counted in, such as the targets of the training set
    #[arg(long, requires = "references", value_name = "FILE")]
    train: Option<PathBuf>,
    /// Also score each line by itself: with --json in the report, else as a table behind it
    #[arg(long, requires = "references")]
    pub sentences: bool,
    /// Print JSON
    #[arg(long, requires = "references")]
    json: bool,
}

/// Tests of significance.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Test {
    /// Paired bootstrap resampling (Koehn 2004)
    Bootstrap,
    /// Paired approximate randomisation (Riezler and Maxwell 2005)
    Randomisation,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Test::Bootstrap => "paired bootstrap",
            Test::Randomisation => "paired randomisation",
        })
    }
}

/// What scores are broken down by.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Breakdown {
    Length,
    Frequency,
}

pub fn run(options: &Options) -> CommandResult {
    let files = &options.files;
    if files.paired.is_some() && options.inputs.len() < 2 {
        return Err(
            "--paired compares files of outputs: give at least two, the baseline first".into(),
        );
    }
    if files.by.contains(&Breakdown::Frequency) != files.train.is_some() {
        return Err("--by frequency and --train FILE go together: give both".into());
    }
    if files.by.contains(&Breakdown::Frequency) && files.references.len() > 1 {
        return Err("--by frequency takes one reference: give one --ref".into());
    }
    let names = if options.metric.is_empty() {
        vec!["bleu".to_owned(), "chrf".to_owned()]
    } else {
        options.metric.clone()
    };
    let metrics: Vec<NamedMetric> = names
        .into_iter()
        .map(|name| NamedMetric::new(name, files))
        .collect::<Result<_, _>>()?;

    let first = &options.inputs[0];
    let outputs = read_parallel(&options.inputs, first)?;
    let streams = read_parallel(&files.references, first)?;
    for (path, lines) in files.references.iter().zip(&streams) {
        check_lines(first, outputs[0].len(), path, lines.len())?;
    }
    let frequencies = files.train.as_deref().map(read_frequencies).transpose()?;
    let segments = outputs[0].len();
    let references: Vec<Vec<&str>> = (0..segments)
        .map(|i| streams.iter().map(|lines| lines[i].as_str()).collect())
        .collect();
    let lengths: Vec<usize> = streams[0].iter().map(|line| length(line)).collect();

    let mut systems: Vec<System> = options
        .inputs
        .iter()
        .map(|path| System::new(path.display().to_string()))
        .collect();
    for metric in &metrics {
        let statistics: Vec<Statistics> = options
            .inputs
            .iter()
            .zip(&outputs)
            .map(|(path, lines)| {
                Statistics::new(metric.metric.as_ref(), lines, &references)
                    .map_err(|error| in_file(path, &files.references, error))
            })
            .collect::<Result<_, _>>()?;
        for (i, system) in systems.iter_mut().enumerate() {
            let baseline = (i > 0).then_some(&statistics[0]);
            let score = score(metric, &statistics[i], baseline, &lengths, files)?;
            system.scores.push(score);
        }
    }
    if let Some(frequencies) = &frequencies {
        let cutoffs = Cutoffs::FREQUENCIES;
        for (system, lines) in systems.iter_mut().zip(&outputs) {
            let found = word_f1_by_frequency(lines, &references, frequencies, cutoffs)?;
            system.by_frequency = Some(Frequencies::new(&found, cutoffs));
        }
    }
    let report = Report {
        references: files
            .references
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        segments,
        test: files.paired.map(|test| test.to_string()),
        systems,
    };
    report.print(files.json)?;
    Ok(Outcome::Done)
}

/// One metric's figures for one system.
fn score(
    metric: &NamedMetric,
    statistics: &Statistics,
    baseline: Option<&Statistics>,
    lengths: &[usize],
    files: &FileOptions,
) -> att_eval::Result<Score> {
    let resampling = |default: Resampling| Resampling {
        samples: files.samples.unwrap_or(default.samples),
        seed: files.seed,
    };
    let bootstrap = resampling(Resampling::BOOTSTRAP);
    let mut score = Score {
        metric: metric.name.clone(),
        name: metric.metric.name(),
        score: statistics.score(),
        higher_is_better: metric.metric.higher_is_better(),
        detail: statistics.detail(),
        confidence: None,
        p_value: None,
        signature: statistics.signature(),
        by_length: None,
        sentences: None,
    };
    if files.confidence || files.paired == Some(Test::Bootstrap) {
        score.confidence = Some(statistics.confidence(bootstrap)?.into());
        score.signature = statistics.confidence_signature(bootstrap);
    }
    if let (Some(test), Some(baseline)) = (files.paired, baseline) {
        let found = match test {
            Test::Bootstrap => paired_bootstrap(baseline, statistics, bootstrap)?,
            Test::Randomisation => {
                let trials = resampling(Resampling::RANDOMISATION);
                paired_randomisation(baseline, statistics, trials)?
            }
        };
        score.p_value = Some(found.p_value);
        score.signature = found.signature;
    }
    if files.by.contains(&Breakdown::Length) {
        let cutoffs = Cutoffs::LENGTHS;
        let keys: Vec<usize> = lengths
            .iter()
            .map(|&length| cutoffs.bucket(length))
            .collect();
        let buckets = statistics.by_bucket(&keys)?.into_iter();
        let named = buckets.map(|(bucket, found)| Bucket {
            bucket: cutoffs.name(bucket),
            segments: found.segments,
            score: found.score,
        });
        score.by_length = Some(named.collect());
    }
    if files.sentences {
        score.sentences = Some(statistics.segment_scores());
    }
    Ok(score)
}

/// Files of as many lines as `first` has.
fn read_parallel(
    paths: &[PathBuf],
    first: &Path,
) -> Result<Vec<Vec<String>>, Box<dyn std::error::Error>> {
    let mut read: Vec<Vec<String>> = Vec::with_capacity(paths.len());
    for path in paths {
        let lines = read_lines(path)?;
        if lines.is_empty() {
            return Err(
                format!("{} has no lines: there is nothing to score", path.display()).into(),
            );
        }
        if let Some(before) = read.first() {
            check_lines(first, before.len(), path, lines.len())?;
        }
        read.push(lines);
    }
    Ok(read)
}

fn check_lines(
    first: &Path,
    first_lines: usize,
    path: &Path,
    lines: usize,
) -> att_data::Result<()> {
    if lines == first_lines {
        return Ok(());
    }
    Err(att_data::Error::LineCounts {
        src_path: first.into(),
        src_lines: first_lines,
        tgt_path: path.into(),
        tgt_lines: lines,
    })
}

fn read_frequencies(path: &Path) -> att_data::Result<WordFrequencies> {
    let mut frequencies = WordFrequencies::default();
    for line in Lines::open(path)? {
        frequencies.add(&line?);
    }
    Ok(frequencies)
}

/// Names the file and the line of what a metric could not read.
fn in_file(path: &Path, references: &[PathBuf], error: att_eval::Error) -> String {
    match &error {
        att_eval::Error::Link {
            side,
            item,
            word,
            text,
        } => format!(
            "{} line {}: word {word}, `{text}`, is not a link such as 0-1 (sure) or 0p1 (possible)",
            if *side == "hypothesis" {
                path
            } else {
                &references[0]
            }
            .display(),
            item + 1
        ),
        _ => format!("{}: {error}", path.display()),
    }
}

fn length(line: &str) -> usize {
    line.split_whitespace().count()
}
