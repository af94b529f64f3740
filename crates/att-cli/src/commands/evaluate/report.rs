use std::io::{self, Write};

use att_eval::{Confidence, Cutoffs, WordF1};
use serde::Serialize;

/// All that was found, as it stands in the JSON.
#[derive(Serialize)]
pub struct Report {
    pub references: Vec<String>,
    pub segments: usize,
    /// The test that compares each system with the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    pub systems: Vec<System>,
}

/// One file of outputs.
#[derive(Serialize)]
pub struct System {
    pub system: String,
    /// One a metric.
    pub scores: Vec<Score>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_frequency: Option<Frequencies>,
}

/// One metric's figures.
#[derive(Serialize)]
pub struct Score {
    pub metric: String,
    pub name: String,
    pub score: f64,
    pub higher_is_better: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Interval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    pub signature: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_length: Option<Vec<Bucket>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentences: Option<Vec<f64>>,
}

#[derive(Clone, Copy, Serialize)]
pub struct Interval {
    pub mean: f64,
    pub half_width: f64,
}

impl From<Confidence> for Interval {
    fn from(confidence: Confidence) -> Self {
        Self {
            mean: confidence.mean,
            half_width: confidence.half_width,
        }
    }
}

/// The score of the segments of a range of lengths.
#[derive(Serialize)]
pub struct Bucket {
    pub bucket: String,
    pub segments: usize,
    pub score: f64,
}

/// F1 of words, by how often training has seen them.
#[derive(Serialize)]
pub struct Frequencies(Vec<WordBucket>);

#[derive(Serialize)]
struct WordBucket {
    bucket: String,
    /// These words in the references.
    words: usize,
    f1: f64,
    precision: f64,
    recall: f64,
}

impl Frequencies {
    pub fn new(found: &[WordF1], cutoffs: Cutoffs) -> Self {
        let buckets = found.iter().enumerate().map(|(i, words)| WordBucket {
            bucket: cutoffs.name(i),
            words: words.reference,
            f1: words.f1(),
            precision: words.precision(),
            recall: words.recall(),
        });
        Self(buckets.collect())
    }
}

impl System {
    pub fn new(system: String) -> Self {
        Self {
            system,
            scores: Vec::new(),
            by_frequency: None,
        }
    }
}

impl Report {
    pub fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            writeln!(out)?;
        } else {
            self.print_tables(&mut out)?;
        }
        out.flush()
    }

    fn print_tables(&self, out: &mut impl Write) -> io::Result<()> {
        let references = self.references.join(", ");
        writeln!(out, "{} lines against {references}\n", self.segments)?;
        let metrics = &self.systems[0].scores;
        let mut table = Table::new("system", metrics.iter().map(|score| score.name.clone()));
        for system in &self.systems {
            table.row(&system.system, system.scores.iter().map(Score::cell));
        }
        table.print(out)?;
        for system in &self.systems {
            let details = system.scores.iter().filter_map(|score| {
                let detail = score.detail.as_ref()?;
                Some(format!("{}  {detail}\n", score.name))
            });
            let details: String = details.collect();
            if !details.is_empty() {
                write!(out, "\n{}\n{details}", system.system)?;
            }
        }
        if let Some(test) = &self.test {
            writeln!(
                out,
                "\np: {test}, against {}; * below 0.05",
                self.systems[0].system
            )?;
        }
        // A paired test's signature stands with the systems that it compares.
        let last = &self.systems[self.systems.len() - 1];
        writeln!(out)?;
        for score in &last.scores {
            writeln!(out, "{}|{}", score.name, score.signature)?;
        }
        for (i, score) in metrics.iter().enumerate() {
            let Some(buckets) = &score.by_length else {
                continue;
            };
            let of = |system: &System, bucket: usize| {
                let buckets = system.scores[i].by_length.as_ref();
                buckets.map_or(String::new(), |found| format!("{:.2}", found[bucket].score))
            };
            let systems = self.systems.iter().map(|system| system.system.clone());
            let title = format!("{} by length", score.name);
            let mut table = Table::new(&title, ["lines".to_owned()].into_iter().chain(systems));
            for (at, bucket) in buckets.iter().enumerate() {
                let scores = self.systems.iter().map(|system| of(system, at));
                table.row(
                    &bucket.bucket,
                    [bucket.segments.to_string()].into_iter().chain(scores),
                );
            }
            writeln!(out)?;
            table.print(out)?;
        }
        if let Some(Frequencies(buckets)) = &self.systems[0].by_frequency {
            let systems = self.systems.iter().map(|system| system.system.clone());
            let mut table = Table::new(
                "F1 by frequency",
                ["words".to_owned()].into_iter().chain(systems),
            );
            for (at, bucket) in buckets.iter().enumerate() {
                let scores = self.systems.iter().map(|system| {
                    let found = system.by_frequency.as_ref();
                    found.map_or(String::new(), |found| format!("{:.2}", found.0[at].f1))
                });
                table.row(
                    &bucket.bucket,
                    [bucket.words.to_string()].into_iter().chain(scores),
                );
            }
            writeln!(out)?;
            table.print(out)?;
        }
        self.print_sentences(out)
    }

    fn print_sentences(&self, out: &mut impl Write) -> io::Result<()> {
        for system in &self.systems {
            let asked = system.scores.iter().filter_map(|score| {
                let sentences = score.sentences.as_ref()?;
                Some((score.name.clone(), sentences))
            });
            let (names, columns): (Vec<String>, Vec<&Vec<f64>>) = asked.unzip();
            if names.is_empty() {
                continue;
            }
            let mut table = Table::new(&format!("line of {}", system.system), names.into_iter());
            for line in 0..self.segments {
                let cells = columns.iter().map(|column| format!("{:.2}", column[line]));
                table.row(&(line + 1).to_string(), cells);
            }
            writeln!(out)?;
            table.print(out)?;
        }
        Ok(())
    }
}

impl Score {
    /// `27.31 (27.29 ± 1.20, p = 0.0120*)`
    fn cell(&self) -> String {
        let mut notes = Vec::new();
        if let Some(Interval { mean, half_width }) = self.confidence {
            notes.push(format!("{mean:.2} ± {half_width:.2}"));
        }
        if let Some(p) = self.p_value {
            let mark = if p < 0.05 { "*" } else { "" };
            notes.push(format!("p = {p:.4}{mark}"));
        }
        if notes.is_empty() {
            format!("{:.2}", self.score)
        } else {
            format!("{:.2} ({})", self.score, notes.join(", "))
        }
    }
}

/// Columns of text, the first flush left and the others flush right.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(title: &str, columns: impl Iterator<Item = String>) -> Self {
        let mut table = Self { rows: Vec::new() };
        table.row(title, columns);
        table
    }

    fn row(&mut self, name: &str, cells: impl Iterator<Item = String>) {
        self.rows
            .push([name.to_owned()].into_iter().chain(cells).collect());
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        for row in &self.rows {
            write!(out, "{:<1$}", row[0], widths[0])?;
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(out, "  {cell:>width$}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}
