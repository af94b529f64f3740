//! `report.html`: a run on one page that needs nothing else. All in it comes from the run's directory, so it
//! is the same whenever it is written.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use att_data::write_atomic;
use att_inspect::{AttentionMap, LineChart, Series, SvgHeatmap};
use att_train::{
    Event, Sample, SampleAttention, StepEvent, ValidationEvent, VocabularyEvent, clock, read_log,
};

use crate::commands::inspect::part;

const STYLE: &str = include_str!("../assets/report.css");
/// Points of a curve at most; where there are more, neighbours are averaged.
const MAX_POINTS: usize = 200;
/// Validations whose samples are shown at most.
const MAX_SHOWN: usize = 6;

/// Writes the report of a run into its directory; returns where.
///
/// # Errors
///
/// If the run's log or settings can't be read, or the report not be written.
pub fn write(run: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let log = read_log(run)?;
    let settings = run.join("experiment.toml");
    let settings = fs::read_to_string(&settings)
        .map_err(|error| format!("cannot read {}: {error}", settings.display()))?;
    // A path such as `.` has no name of its own.
    let whole = fs::canonicalize(run).unwrap_or_else(|_| run.into());
    let name = whole.file_name().unwrap_or(whole.as_os_str());
    let parts = weights_by_part(&run.join("model.safetensors")).unwrap_or_default();
    let path = run.join("report.html");
    let page = page(&name.to_string_lossy(), &log, &parts, &settings);
    write_atomic(&path, page.as_bytes())?;
    Ok(path)
}

/// Numbers of weights by part of the model, from the header of a safetensors file; the weights are not read.
fn weights_by_part(file: &Path) -> Option<BTreeMap<String, usize>> {
    let mut file = File::open(file).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let mut header = Vec::new();
    let mut file = file.take(u64::from_le_bytes(length));
    file.read_to_end(&mut header).ok()?;
    let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&header).ok()?;
    let mut parts = BTreeMap::new();
    for (name, weight) in &header {
        if let Some(shape) = weight["shape"].as_array() {
            let size: u64 = shape.iter().filter_map(|size| size.as_u64()).product();
            *parts.entry(part(name)).or_default() += size as usize;
        }
    }
    Some(parts)
}

fn page(name: &str, log: &[Event], parts: &BTreeMap<String, usize>, settings: &str) -> String {
    let (mut steps, mut validations) = (Vec::new(), Vec::new());
    for event in log {
        match event {
            Event::Step(step) => steps.push(step),
            Event::Validation(found) => validations.push(found),
            _ => {}
        }
    }
    let tiles: String = tiles(&steps, &validations)
        .map(|(figure, what)| format!("<div><b>{figure}</b> {}</div>\n", escape(&what)))
        .collect();
    let charts: String = charts(&steps, &validations)
        .iter()
        .map(|chart| format!("<figure>\n{}</figure>\n", chart.render()))
        .collect();
    let facts: String = facts(log, parts)
        .map(|(key, value)| {
            let (key, value) = (escape(key), escape(value));
            format!("<tr><th>{key}</th><td>{value}</td></tr>\n")
        })
        .collect();
    let samples = samples(&validations);
    let (name, settings) = (escape(name), escape(settings));
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name}: training report</title>
<style>
{STYLE}</style>
</head>
<body>
<h1>{name}</h1>
<section class="tiles">
{tiles}</section>
<section class="charts">
{charts}</section>
{samples}<h2>Model and data</h2>
<table>
{facts}</table>
<h2>Settings</h2>
<pre>{settings}</pre>
</body>
</html>
"#
    )
}

/// The figures that come first, and what they are.
fn tiles(
    steps: &[&StepEvent],
    validations: &[&ValidationEvent],
) -> impl Iterator<Item = (String, String)> {
    let best = validations.iter().rev().find(|found| found.best);
    let best = best.map(|best| {
        let what = format!("best {}, at step {}", best.metric, grouped(best.step));
        (format!("{:.2}", best.score), what)
    });
    let valid = validations.last().map(|last| {
        let what = format!("validation loss, perplexity {:.2}", last.ppl);
        (format!("{:.3}", last.loss), what)
    });
    let rest = steps.last().map(|last| {
        let loss = format!("training loss, perplexity {:.2}", last.ppl);
        let total = grouped(last.total_steps);
        let mean = |figure: fn(&StepEvent) -> f64| {
            let figures = steps.iter().map(|step| figure(step));
            let figures = figures.filter(|figure| figure.is_finite());
            figures.clone().sum::<f64>() / figures.count().max(1) as f64
        };
        let src = grouped(mean(|step| step.src_tokens_per_s) as usize);
        let tgt = grouped(mean(|step| step.tgt_tokens_per_s) as usize);
        let waiting = 100.0 * mean(|step| step.waiting);
        [
            (format!("{:.3}", last.loss), loss),
            (
                grouped(last.step),
                format!("of {total} steps, epoch {}", last.epoch),
            ),
            (clock(last.elapsed_s), "of training".into()),
            (
                src,
                format!("source and {tgt} target tokens a second, {waiting:.1}% waiting for data"),
            ),
        ]
    });
    best.into_iter()
        .chain(valid)
        .chain(rest.into_iter().flatten())
}

fn charts(steps: &[&StepEvent], validations: &[&ValidationEvent]) -> Vec<LineChart> {
    let train = |name: &str, of: fn(&StepEvent) -> f64| {
        let points = steps.iter().map(|step| (step.step as f64, of(step)));
        series(name, points.collect())
    };
    let valid = |name: &str, of: fn(&ValidationEvent) -> f64| {
        let points = validations
            .iter()
            .map(|found| (found.step as f64, of(found)));
        series(name, points.collect())
    };
    let metric = match validations.last() {
        Some(last) => last.metric.clone(),
        None => "score".into(),
    };
    let chart = |title: &str, y_label: &str, series: Vec<Series>| LineChart {
        title: title.into(),
        x_label: "steps".into(),
        y_label: y_label.into(),
        series,
        small: true,
    };
    vec![
        chart(
            "Loss",
            "nats a token",
            vec![
                train("training", |step| step.loss),
                valid("validation", |found| found.loss),
            ],
        ),
        chart(
            &metric,
            &format!("{metric} (%)"),
            vec![valid("validation", |found| found.score)],
        ),
        chart(
            "Learning rate",
            "learning rate",
            vec![train("of the last step", |step| step.lr)],
        ),
        chart(
            "Gradient norm",
            "norm",
            vec![train("before clipping", |step| step.grad_norm)],
        ),
        chart(
            "Speed",
            "tokens a second",
            vec![
                train("source", |step| step.src_tokens_per_s),
                train("target", |step| step.tgt_tokens_per_s),
            ],
        ),
        chart(
            "Waiting for data",
            "% of the time",
            vec![train("training", |step| 100.0 * step.waiting)],
        ),
    ]
}

fn series(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.into(),
        points: thinned(points),
    }
}

/// A curve of at most [`MAX_POINTS`] points, each the mean of its neighbourhood; what is not finite is left out.
pub fn thinned(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.retain(|(_, y)| y.is_finite());
    let size = points.len().div_ceil(MAX_POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let sum = part
            .iter()
            .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        let n = part.len() as f64;
        (sum.0 / n, sum.1 / n)
    };
    points.chunks(size).map(mean).collect()
}

/// The samples, each at several points of the training.
fn samples(validations: &[&ValidationEvent]) -> String {
    let with: Vec<_> = validations
        .iter()
        .filter(|found| !found.samples.is_empty())
        .collect();
    let Some(last) = with.last() else {
        return String::new();
    };
    // The first, the last, and some in between.
    let shown = with.len().min(MAX_SHOWN);
    let places = (0..shown).map(|i| i * (with.len() - 1) / (shown - 1).max(1));
    let shown: Vec<_> = places.map(|at| with[at]).collect();
    let mut text = String::from(
        "<h2>Samples of the validation set</h2>\n<p>Attention: rows are output tokens, columns source \
         tokens; the stronger the colour, the more. The last token is the end of the text.</p>\n",
    );
    for (at, sample) in last.samples.iter().enumerate() {
        let source = escape(&sample.source);
        text += &format!("<h3 dir=\"auto\">{source}</h3>\n");
        for reference in &sample.references {
            let reference = escape(reference);
            text += &format!("<p class=\"gold\" dir=\"auto\">{reference}</p>\n");
        }
        text += "<section class=\"samples\">\n";
        for found in &shown {
            let Some(sample) = found.samples.get(at) else {
                continue;
            };
            let step = grouped(found.step);
            let (output, map) = (escape(&sample.output), heatmap(sample));
            text += &format!(
                "<figure>\n<figcaption>step {step}<br><b dir=\"auto\">{output}</b></figcaption>\n{map}</figure>\n"
            );
        }
        text += "</section>\n";
    }
    text
}

/// The attention of a sample, where it is kept.
fn heatmap(sample: &Sample) -> String {
    let Some(map) = sample.attention.as_ref().and_then(attention_map) else {
        return String::new();
    };
    let heatmap = SvgHeatmap {
        compact: true,
        ..Default::default()
    };
    heatmap.render(&map)
}

/// The attention of a sample as it is drawn.
pub fn attention_map(attention: &SampleAttention) -> Option<AttentionMap> {
    let SampleAttention {
        src_tokens,
        tgt_tokens,
        weights,
    } = attention;
    AttentionMap::new(src_tokens.clone(), tgt_tokens.clone(), weights.concat()).ok()
}

/// What was trained, and on what.
fn facts(log: &[Event], parts: &BTreeMap<String, usize>) -> impl Iterator<Item = (String, String)> {
    let mut facts = Vec::new();
    let mut fact = |key: &str, value: String| facts.push((key.to_string(), value));
    let (mut skipped, mut resumed) = (0, Vec::new());
    for event in log {
        match event {
            Event::Start {
                parameters,
                examples,
                left_out,
                valid_examples,
                src_vocab,
                tgt_vocab,
                ..
            } => {
                fact("weights", grouped(*parameters));
                for (part, weights) in parts {
                    fact(&format!("of these {part}"), grouped(*weights));
                }
                fact("training examples", grouped(*examples));
                fact("left out as too long", grouped(*left_out));
                fact("validation examples", grouped(*valid_examples));
                fact("source vocabulary", grouped(*src_vocab));
                fact("target vocabulary", grouped(*tgt_vocab));
            }
            Event::Data(data) => {
                let pairs: Vec<String> = data.pairs.iter().map(|n| grouped(*n)).collect();
                fact("training pairs", pairs.join(" + "));
                fact("of these", data.dropped.to_string());
            }
            Event::Vocabulary(found) => {
                let VocabularyEvent {
                    side,
                    kept,
                    new,
                    dropped,
                } = found;
                let [kept, new, dropped] = [kept, new, dropped].map(|n| grouped(*n));
                fact(
                    &format!("{side} tokens of the model before"),
                    format!("{kept} kept, {new} new, {dropped} dropped"),
                );
            }
            Event::Warning { text } => fact("warning", text.clone()),
            Event::Resume { step, .. } => resumed.push(grouped(*step)),
            Event::Skipped(_) => skipped += 1,
            _ => {}
        }
    }
    fact("skipped steps", grouped(skipped));
    if !resumed.is_empty() {
        fact("resumed after step", resumed.join("; "));
    }
    facts.into_iter()
}

/// A number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text for HTML; control characters are replaced.
fn escape(text: impl Display) -> String {
    let mut escaped = String::new();
    for c in text.to_string().chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c if c.is_control() && c != '\n' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use att_data::Dropped;
    use att_train::DataEvent;

    use super::*;

    fn log() -> Vec<Event> {
        let start = Event::Start {
            parameters: 1234567,
            examples: 29000,
            left_out: 3,
            valid_examples: 1014,
            src_vocab: 100,
            tgt_vocab: 200,
            total_steps: 1000,
        };
        let step = |step: usize| {
            Event::Step(StepEvent {
                step,
                total_steps: 1000,
                epoch: 1,
                loss: f64::NAN,
                ppl: 12.0,
                lr: 1e-3,
                grad_norm: 0.5,
                skipped: 0,
                src_tokens_per_s: 1000.0,
                tgt_tokens_per_s: f64::INFINITY,
                waiting: 0.025,
                elapsed_s: step as f64,
                left_s: 75.0,
            })
        };
        let validation = |step: usize| {
            let sample = Sample {
                source: "a <b>".into(),
                output: format!("out{step}&"),
                references: vec!["<gold>".into()],
                attention: Some(SampleAttention {
                    src_tokens: vec!["a".into(), "<b>".into()],
                    tgt_tokens: vec!["x".into()],
                    weights: vec![vec![0.25, 0.75]],
                }),
            };
            Event::Validation(ValidationEvent {
                step,
                loss: 1.0,
                ppl: 2.5,
                metric: "bleu".into(),
                score: step as f64 / 10.0,
                best: step == 200,
                sample: ["ab", "b", "b a"].map(String::from),
                samples: vec![sample],
                elapsed_s: step as f64,
            })
        };
        let data = Event::Data(DataEvent {
            pairs: vec![29003, 40],
            dropped: Dropped {
                too_long: 3,
                ..Default::default()
            },
            cache: None,
        });
        let vocabulary = Event::Vocabulary(VocabularyEvent {
            side: "source".into(),
            kept: 90,
            new: 10,
            dropped: 7,
        });
        let warning = Event::Warning {
            text: "slow & <steady>".into(),
        };
        let rest = (1..=10).flat_map(|i| [step(100 * i), validation(100 * i)]);
        let begun = [data, start, vocabulary, warning];
        begun.into_iter().chain(rest).collect()
    }

    #[test]
    fn a_page_has_all_of_a_run_and_fetches_nothing() {
        let parts = BTreeMap::from([("encoder".to_string(), 1000)]);
        let page = page("runs & <one>", &log(), &parts, "seed = 1 # <");
        for part in [
            "<title>runs &amp; &lt;one&gt;: training report</title>",
            "<b>20.00</b> best bleu, at step 200",
            "<b>1,000</b> of 1,000 steps, epoch 1",
            "Learning rate",
            "Gradient norm",
            "Speed",
            "2.5% waiting for data",
            "% of the time",
            "a &lt;b&gt;",
            "&lt;gold&gt;",
            "<tr><th>weights</th><td>1,234,567</td></tr>",
            "<tr><th>of these encoder</th><td>1,000</td></tr>",
            "<tr><th>training pairs</th><td>29,003 + 40</td></tr>",
            "<tr><th>of these</th><td>3 left out (3 too long)</td></tr>",
            "<tr><th>source tokens of the model before</th><td>90 kept, 10 new, 7 dropped</td></tr>",
            "<tr><th>warning</th><td>slow &amp; &lt;steady&gt;</td></tr>",
            "seed = 1 # &lt;",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        // Six of ten validations, the first and the last among them.
        assert_eq!(page.matches("<figcaption>").count(), 6);
        assert!(page.contains("out100&amp;") && page.contains("out1000&amp;"));
        let names = page.replace("http://www.w3.org/2000/svg", ""); // a name, not an address
        for fetching in ["http", "src=", "@import", "url(", "<script", "<link"] {
            assert!(!names.contains(fetching), "{fetching}");
        }
    }

    #[test]
    fn a_run_that_has_only_begun_has_a_page() {
        let page = page("run", &log()[..2], &BTreeMap::new(), "");
        assert!(page.contains("29,000") && !page.contains("<h3"));
    }

    #[test]
    fn long_curves_are_averaged_and_gaps_left_out() {
        let points = (0..1000).map(|i| (f64::from(i), f64::from(i % 2)));
        let curve = thinned(points.collect());
        assert_eq!(curve.len(), 200);
        assert_eq!(curve[0], (2.0, 0.4));
        assert_eq!(thinned(vec![(1.0, f64::NAN), (2.0, 5.0)]), [(2.0, 5.0)]);
    }
}
