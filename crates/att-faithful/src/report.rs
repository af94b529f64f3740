//! What was found, as a table, as curves and as a page.

use att_inspect::{LineChart, Series, escape};
use serde::Serialize;

use crate::{BINS, Figure, Findings, Ranking, RankingFindings, Verdict};

const STYLE: &str = include_str!("../assets/page.css");

/// What was found of a model, and of the same model with random weights.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whose findings they are, such as a path.
    pub name: String,
    /// What was looked at, in words.
    pub about: String,
    /// What it comes to.
    pub verdict: Verdict,
    /// [`Verdict::sentence`].
    pub sentence: String,
    /// Of the model.
    pub model: Findings,
    /// Of random weights, on the same targets.
    pub random_weights: Findings,
}

/// A line of the table.
struct Row {
    measure: String,
    /// Of the model, of random weights.
    figures: [Option<Figure>; 2],
    /// By chance.
    chance: Option<f64>,
}

impl Report {
    /// With its verdict.
    pub fn new(
        name: impl Into<String>,
        about: impl Into<String>,
        model: Findings,
        random_weights: Findings,
    ) -> Self {
        let verdict = Verdict::of(&model, &random_weights);
        Self {
            name: name.into(),
            about: about.into(),
            verdict,
            sentence: verdict.sentence(&model),
            model,
            random_weights,
        }
    }

    /// A Markdown table, a row for each measure, that can be read as it is.
    pub fn markdown(&self) -> String {
        let header = ["measure", "model", "random weights", "chance"].map(String::from);
        let rows = self.rows().into_iter().map(|row| {
            let [model, floor] = row.figures.map(shown);
            [row.measure, model, floor, chance(row.chance)]
        });
        let rows: Vec<[String; 4]> = std::iter::once(header).chain(rows).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: [usize; 4] = std::array::from_fn(width);
        let line = |row: &[String; 4]| {
            let cells = row.iter().zip(widths).enumerate();
            let cells = cells.map(|(column, (cell, width))| match column {
                0 => format!(" {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            });
            format!("|{}\n", cells.collect::<String>())
        };
        let rule = widths.map(|width| format!(" {:-<1$}: |", "", width - 1));
        let rule = format!("| {:-<1$} |{2}\n", "", widths[0], rule[1..].concat());
        let body: String = rows[1..].iter().map(line).collect();
        format!("{}{rule}{body}", line(&rows[0]))
    }

    fn rows(&self) -> Vec<Row> {
        let both = [&self.model, &self.random_weights];
        let row = |measure: &str, of: fn(&Findings) -> Figure| Row {
            measure: measure.into(),
            figures: both.map(|findings| Some(of(findings))),
            chance: None,
        };
        let each = |measure: &str, of: fn(&RankingFindings) -> Option<Figure>| {
            let row = |ranking: Ranking| Row {
                measure: format!("{measure}: {}", ranking.name()),
                figures: both.map(|findings| of(findings.ranking(ranking))),
                chance: None,
            };
            Ranking::ALL.map(row)
        };
        let mut rows = vec![row("probability of a target token", |f| f.probability)];
        rows.extend(each("comprehensiveness", |r| Some(r.comprehensiveness)));
        rows.extend(each("sufficiency", |r| Some(r.sufficiency)));
        rows.extend([
            row("gain over random: attention", |f| f.gain),
            row("uniform weights: distance", |f| f.uniform_distance),
            row("uniform weights: other token", |f| f.uniform_changed),
            row("permuted weights: distance", |f| f.permuted_distance),
            row("permuted weights: other token", |f| f.permuted_changed),
        ]);
        // Attention from its end is its opposite.
        let correlations = each("tau with attention", |r| r.tau)
            .into_iter()
            .zip(Ranking::ALL);
        let others = correlations
            .filter(|(_, ranking)| !matches!(ranking, Ranking::Attention | Ranking::LeastAttended));
        rows.extend(others.map(|(row, _)| row));
        type Share = fn(&RankingFindings) -> Option<Figure>;
        let shares: [(&str, Share, Option<f64>); 2] = [
            (
                "first is most important",
                |ranking| Some(ranking.finds_top),
                Some(self.model.chance_of_top),
            ),
            (
                "first is a true source",
                |ranking| ranking.finds_true,
                self.model.chance_of_true,
            ),
        ];
        for (measure, of, chance) in shares {
            let shares = each(measure, of).into_iter();
            let shares = shares.filter(|row| row.figures.iter().any(Option::is_some));
            rows.extend(shares.map(|row| Row { chance, ..row }));
        }
        rows
    }

    /// Probability that is lost, by the share of tokens erased: those that each ranking has first, and those of
    /// attention with random weights.
    pub fn comprehensiveness_chart(&self) -> LineChart {
        self.chart(
            "Comprehensiveness: probability lost without the first tokens",
            "source tokens erased (%)",
            |ranking| &ranking.comprehensiveness_curve,
        )
    }

    /// The same with all other tokens erased.
    pub fn sufficiency_chart(&self) -> LineChart {
        self.chart(
            "Sufficiency: probability lost with the first tokens alone",
            "source tokens kept (%)",
            |ranking| &ranking.sufficiency_curve,
        )
    }

    fn chart(
        &self,
        title: &str,
        x_label: &str,
        of: fn(&RankingFindings) -> &Vec<f64>,
    ) -> LineChart {
        let series = |name: String, ranking: &RankingFindings| Series {
            name,
            points: BINS
                .into_iter()
                .zip(of(ranking))
                .map(|(bin, &lost)| (100.0 * bin, lost))
                .collect(),
        };
        let own = self.model.rankings.iter();
        let own = own.map(|ranking| series(ranking.ranking.name().into(), ranking));
        let floor = self.random_weights.ranking(Ranking::Attention);
        let floor = series("attention, random weights".into(), floor);
        LineChart {
            title: title.into(),
            x_label: x_label.into(),
            y_label: "probability lost".into(),
            series: own.chain([floor]).collect(),
            small: false,
        }
    }

    /// All of it on one page that fetches nothing, for light and dark screens.
    pub fn page(&self) -> String {
        let charts: String = [self.comprehensiveness_chart(), self.sufficiency_chart()]
            .iter()
            .map(|chart| format!("<figure>\n{}</figure>\n", chart.render()))
            .collect();
        let rows: String = self
            .rows()
            .into_iter()
            .map(|row| {
                let [model, floor] = row.figures.map(shown);
                format!(
                    "<tr><th>{}</th><td>{model}</td><td>{floor}</td><td>{}</td></tr>\n",
                    escape(&row.measure),
                    chance(row.chance)
                )
            })
            .collect();
        let (name, about, sentence) = (
            escape(&self.name),
            escape(&self.about),
            escape(&self.sentence),
        );
        format!(
            r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name}: faithfulness of attention</title>
<style>
{STYLE}</style>
</head>
<body>
<h1>{name}: does attention say what the model used?</h1>
<p class="verdict">{sentence}</p>
<p>{about}</p>
<section class="charts">
{charts}</section>
<table>
<tr><th></th><td>model</td><td>random weights</td><td>chance</td></tr>
{rows}</table>
<p>Means over target tokens, with 95 % confidence intervals by the bootstrap over sentences. Erased tokens are
unknown ones at the input; comprehensiveness and sufficiency are means over 1, 5, 10, 20 and 50 % of the source.
Distances are total variation distances of the next token's distribution. The most important token is the one
without which the probability falls most.</p>
</body>
</html>
"#
        )
    }
}

fn shown(figure: Option<Figure>) -> String {
    figure.map_or("-".into(), |figure| {
        // No zero below zero.
        let value = (1000.0 * figure.value).round() / 1000.0 + 0.0;
        format!("{value:.3} ± {:.3}", figure.half_width)
    })
}

fn chance(chance: Option<f64>) -> String {
    chance.map_or(String::new(), |chance| format!("{chance:.3}"))
}
