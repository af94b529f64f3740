use std::error::Error;
use std::path::Path;

use att_data::{Corpus, write_atomic};
use att_eval::Metric;
use att_inspect::{BarChart, BarGroup, BarScale};
use att_train::ExperimentConfig;
use serde::Serialize;

use super::measure::Figures;
use crate::options::DeviceOption;

/// All that a comparison found so far.
#[derive(Serialize)]
pub struct Report {
    pub version: &'static str,
    pub device: String,
    pub train_pairs: usize,
    pub valid_pairs: usize,
    pub metric: String,
    pub higher_is_better: bool,
    pub max_epochs: usize,
    pub max_steps: usize,
    pub max_minutes: f64,
    pub rows: Vec<Row>,
}

/// One run.
#[derive(Serialize)]
pub struct Row {
    pub name: String,
    #[serde(flatten)]
    pub figures: Figures,
}

impl Report {
    /// `config`: any of the experiments, which agree in metric and budget.
    pub fn new(
        config: &ExperimentConfig,
        train: &Corpus,
        valid: &Corpus,
        device: &DeviceOption,
    ) -> Self {
        let metric: Metric = config.training.metric;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            device: device.device.to_string(),
            train_pairs: train.pairs.len(),
            valid_pairs: valid.pairs.len(),
            metric: metric.to_string(),
            higher_is_better: metric.higher_is_better(),
            max_epochs: config.training.max_epochs,
            max_steps: config.training.max_steps,
            max_minutes: config.training.max_minutes,
            rows: Vec::new(),
        }
    }

    /// Writes it as JSON, as a table and as a picture.
    pub fn write(&self, directory: &Path) -> Result<(), Box<dyn Error>> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        write_atomic(directory.join("compare.json"), json.as_bytes())?;
        write_atomic(directory.join("compare.md"), self.markdown().as_bytes())?;
        write_atomic(
            directory.join("compare.svg"),
            self.chart().render().as_bytes(),
        )?;
        Ok(())
    }

    /// The table, aligned so that it can be read as it is.
    pub fn markdown(&self) -> String {
        let mut header = vec!["name".to_string(), format!("{} %", self.metric)];
        header.extend(
            [
                "perplexity",
                "weights",
                "steps",
                "trained tokens/s",
                "decoded lines/s",
                "entropy (nats)",
            ]
            .map(String::from),
        );
        let has_aer = self.has_aer();
        header.extend(has_aer.then(|| "AER %".to_string()));
        let two = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
        let rows = self.rows.iter().map(|Row { name, figures }| {
            let mut row = vec![
                name.clone(),
                two(Some(figures.score)),
                two(Some(figures.perplexity)),
                figures.parameters.to_string(),
                figures.steps.to_string(),
                format!("{:.0}", figures.tgt_tokens_per_s),
                format!("{:.1}", figures.sentences_per_s),
                two(figures.attention_entropy),
            ];
            row.extend(has_aer.then(|| two(figures.aer)));
            row
        });
        let mut table: Vec<Vec<String>> = vec![header];
        table.extend(rows);
        format!("{}\n{}\n", aligned(&table), self.notes())
    }

    fn has_aer(&self) -> bool {
        self.rows.iter().any(|row| row.figures.aer.is_some())
    }

    /// What the table does not say of itself.
    fn notes(&self) -> String {
        let better = if self.higher_is_better {
            "higher"
        } else {
            "lower"
        };
        let mut limits = vec![format!("{} epochs", self.max_epochs)];
        if self.max_steps > 0 {
            limits.push(format!("{} steps", self.max_steps));
        }
        if self.max_minutes > 0.0 {
            limits.push(format!("{} minutes", self.max_minutes));
        }
        let repeatable = if self.max_minutes > 0.0 {
            "Under a limit of minutes nothing here is repeatable to the byte."
        } else {
            "All but the speeds is repeatable to the byte."
        };
        format!(
            "{} pairs to train on, {} to measure on, {}; at most {}. {repeatable} {} is better where \
             {better}; perplexity is that of a token, so it compares models with one target vocabulary; \
             speeds are target tokens in training and lines in decoding; entropy is that of the attention \
             weights, the mean over the steps of the gold targets.",
            self.train_pairs,
            self.valid_pairs,
            self.device,
            limits.join(", "),
            self.metric,
        )
    }

    fn chart(&self) -> BarChart {
        let better = if self.higher_is_better {
            "higher"
        } else {
            "lower"
        };
        let mut series = vec![format!("{} % ({better} is better)", self.metric)];
        if self.has_aer() {
            series.push("alignment error rate %".into());
        }
        let group = |Row { name, figures }: &Row| BarGroup {
            name: name.clone(),
            values: [Some(figures.score), figures.aer]
                .map(|value| value.unwrap_or(f64::NAN))
                .into(),
        };
        BarChart {
            title: format!("Compared on {} pairs", self.valid_pairs),
            series,
            groups: self.rows.iter().map(group).collect(),
            scale: BarScale::Amount,
        }
    }
}

/// A Markdown table: the first column to the left, numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows[0].len();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, &width))| match column {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| {
        let rule = "-".repeat(width - usize::from(column > 0));
        if column > 0 { rule + ":" } else { rule }
    });
    let rule = line(&rule.collect());
    let header = line(&rows[0]);
    let body: String = rows[1..].iter().map(line).collect();
    format!("{header}{rule}{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [["name", "wer %"], ["a", "1.25"], ["longer", "-"]];
        let rows = rows.map(|row| row.map(String::from).to_vec());
        assert_eq!(
            aligned(&rows),
            "| name   | wer % |\n| ------ | ----: |\n| a      |  1.25 |\n| longer |     - |\n"
        );
    }
}
