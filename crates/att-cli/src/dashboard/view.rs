//! What the dashboard shows, drawn on any of ratatui's backends.

use std::time::Instant;

use att_inspect::TerminalHeatmap;
use att_train::{Event, Sample, StepEvent, ValidationEvent, VocabularyEvent, clock};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph, Sparkline, Wrap};

use crate::report::thinned;

/// Columns in which a chart can be read.
const MIN_CHART: u16 = 36;
/// Columns that the text of a sample needs beside its attention.
const MIN_TEXT: u16 = 32;

/// A run up to now.
pub struct View {
    run: String,
    colors: bool,
    steps: Vec<StepEvent>,
    /// Samples of the last one alone.
    validations: Vec<ValidationEvent>,
    skipped: usize,
    /// Of the sides whose vocabulary is another than that of the model that the run began with.
    vocabularies: Vec<VocabularyEvent>,
    total_steps: usize,
    /// What was said last.
    said: String,
    /// Which of the samples is shown.
    sample: usize,
    /// When the last event came.
    seen: Instant,
}

impl View {
    pub fn new(run: String, colors: bool) -> Self {
        Self {
            run,
            colors,
            steps: Vec::new(),
            validations: Vec::new(),
            skipped: 0,
            vocabularies: Vec::new(),
            total_steps: 0,
            said: String::new(),
            sample: 0,
            seen: Instant::now(),
        }
    }

    pub fn observe(&mut self, event: &Event) {
        self.seen = Instant::now();
        match event {
            Event::Start { total_steps, .. } | Event::Resume { total_steps, .. } => {
                self.total_steps = *total_steps;
            }
            Event::Vocabulary(found) => self.vocabularies.push(found.clone()),
            Event::Skipped(_) => self.skipped += 1,
            Event::Step(step) => self.steps.push(step.clone()),
            Event::Validation(found) => {
                if let Some(last) = self.validations.last_mut() {
                    last.samples = Vec::new();
                }
                self.validations.push(found.clone());
            }
            _ => {}
        }
    }

    /// Shows a line until the next one.
    pub fn say(&mut self, text: &str) {
        self.said = text.lines().next().unwrap_or_default().into();
    }

    pub fn next_sample(&mut self) {
        self.sample += 1;
    }

    /// Seconds since the last event.
    pub fn seconds(&self) -> f64 {
        self.seen.elapsed().as_secs_f64()
    }

    /// Draws all, `seconds` after the last event.
    pub fn render(&self, frame: &mut Frame, seconds: f64, stopping: bool) {
        let map = self.heatmap();
        let figures = 6 + u16::from(!self.vocabularies.is_empty());
        let rest = frame.area().height.saturating_sub(4 + figures);
        // Attention is shown where room is left for it behind charts that can be read.
        let least = map.as_ref().map_or(0, |map| map.lines().count() as u16 + 2);
        let samples = least
            .max(rest / 2)
            .min(rest.saturating_sub(8))
            .max(rest.min(5));
        let [title, gauge, charts, figures, samples, said, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(figures),
            Constraint::Length(samples),
            Constraint::Length(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let dim = Style::new().add_modifier(Modifier::DIM);
        let epoch = self.steps.last().map_or(1, |step| step.epoch);
        let name = vec![
            Span::styled(self.run.clone(), bold),
            Span::raw(format!("  epoch {epoch}")),
        ];
        frame.render_widget(Line::from(name), title);
        frame.render_widget(self.gauge(seconds), gauge);
        if charts.height >= 4 {
            self.render_charts(frame, charts);
        }
        self.render_figures(frame, figures);
        if samples.height >= 3 {
            self.render_sample(frame, samples, map.as_deref());
        }
        frame.render_widget(Line::styled(self.said.as_str(), dim), said);
        let help = match stopping {
            true => "stopping: the state is being saved; Ctrl-C leaves at once",
            false => "q: stop and save   s: another sample",
        };
        frame.render_widget(Line::styled(help, dim), keys);
    }

    fn color(&self, color: Color) -> Style {
        match self.colors {
            true => Style::new().fg(color),
            false => Style::new(),
        }
    }

    fn gauge(&self, seconds: f64) -> Gauge<'_> {
        let total = self.total_steps.max(1);
        let (step, time) = match self.steps.last() {
            None => (0, clock(seconds)),
            Some(last) => {
                let left = clock((last.left_s - seconds).max(0.0));
                (
                    last.step,
                    format!("{}, {left} left", clock(last.elapsed_s + seconds)),
                )
            }
        };
        let share = (step as f64 / total as f64).min(1.0);
        let label = format!("step {step}/{total}  {:.0} %  {time}", 100.0 * share);
        let style = self.color(Color::Blue);
        let gauge = Gauge::default().ratio(share).label(label);
        gauge.use_unicode(true).gauge_style(style)
    }

    fn render_charts(&self, frame: &mut Frame, area: Rect) {
        let train = self.steps.iter().map(|s| (s.step as f64, s.loss));
        let found = self.validations.iter();
        let valid = found.clone().map(|v| (v.step as f64, v.loss));
        let score = found.map(|v| (v.step as f64, v.score));
        let [train, valid, score] =
            [train.collect(), valid.collect(), score.collect()].map(thinned);
        let metric = self.validations.last().map(|last| last.metric.clone());
        let curve = |name, color, points| Curve {
            name,
            color,
            points,
        };
        let loss = [
            curve("training", Color::Cyan, train),
            curve("validation", Color::Yellow, valid),
        ];
        let score = [curve("validation", Color::Yellow, score)];
        if area.width < 2 * MIN_CHART {
            return self.render_chart(frame, area, "loss", &loss);
        }
        let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
        self.render_chart(frame, left, "loss", &loss);
        let metric = metric.as_deref().unwrap_or("score");
        self.render_chart(frame, right, metric, &score);
    }

    fn render_chart(&self, frame: &mut Frame, area: Rect, title: &str, curves: &[Curve]) {
        let curves: Vec<&Curve> = curves
            .iter()
            .filter(|curve| !curve.points.is_empty())
            .collect();
        let points = curves.iter().flat_map(|curve| &curve.points);
        let (x, y) = points.fold(([f64::MAX, f64::MIN], [f64::MAX, f64::MIN]), |(x, y), p| {
            let grow = |[low, high]: [f64; 2], value: f64| [low.min(value), high.max(value)];
            (grow(x, p.0), grow(y, p.1))
        });
        let mut heading = vec![Span::raw(format!(" {title}  "))];
        for Curve { name, color, .. } in &curves {
            heading.push(Span::styled(format!("{name} "), self.color(*color)));
        }
        let block = Block::bordered().title(Line::from(heading));
        if curves.is_empty() {
            return frame.render_widget(block, area);
        }
        let y = match y[0] < y[1] {
            true => y,
            false => [y[0] - 1.0, y[1] + 1.0],
        };
        let sets = curves.iter().map(|curve| {
            let line = Dataset::default().marker(Marker::Braille);
            line.graph_type(GraphType::Line)
                .style(self.color(curve.color))
                .data(&curve.points)
        });
        let axis = |bounds: [f64; 2], decimals: usize| {
            let labels = bounds.map(|bound| format!("{bound:.decimals$}"));
            Axis::default().bounds(bounds).labels(labels)
        };
        let chart = Chart::new(sets.collect()).legend_position(None);
        let chart = chart.block(block).x_axis(axis(x, 0)).y_axis(axis(y, 2));
        frame.render_widget(chart, area);
    }

    /// The learning rate, the norm, the speed and the time without data with their past, new vocabularies, and
    /// the best score.
    fn render_figures(&self, frame: &mut Frame, area: Rect) {
        let last = self.steps.last();
        let figure = |of: fn(&StepEvent) -> String| last.map_or("-".into(), of);
        let rows: [(&str, String, Figure); 5] = [
            ("learning rate", figure(|s| format!("{:.1e}", s.lr)), |s| {
                s.lr
            }),
            (
                "gradient norm",
                figure(|s| format!("{:.2}", s.grad_norm)),
                |s| s.grad_norm,
            ),
            (
                "source tokens/s",
                figure(|s| format!("{:.0}", s.src_tokens_per_s)),
                |s| s.src_tokens_per_s,
            ),
            (
                "target tokens/s",
                figure(|s| format!("{:.0}", s.tgt_tokens_per_s)),
                |s| s.tgt_tokens_per_s,
            ),
            (
                "waits for data",
                figure(|s| format!("{:.1}%", 100.0 * s.waiting)),
                |s| s.waiting,
            ),
        ];
        let mut places = area.rows();
        for ((name, now, of), place) in rows.into_iter().zip(places.by_ref()) {
            let [text, past] =
                Layout::horizontal([Constraint::Length(28), Constraint::Fill(1)]).areas(place);
            frame.render_widget(Line::raw(format!("{name:<16}{now:>10}")), text);
            let shown = self.steps.len().saturating_sub(past.width.into());
            let bars = bars(&self.steps[shown..].iter().map(of).collect::<Vec<f64>>());
            let line = Sparkline::default().data(bars).max(BAR);
            frame.render_widget(line.style(self.color(Color::Cyan)), past);
        }
        if !self.vocabularies.is_empty() {
            let side = |found: &VocabularyEvent| {
                let VocabularyEvent {
                    side,
                    kept,
                    new,
                    dropped,
                } = found;
                format!("{side} {kept} kept, {new} new, {dropped} gone")
            };
            let sides: Vec<String> = self.vocabularies.iter().map(side).collect();
            let text = format!("{:<16}{}", "vocabulary", sides.join("; "));
            frame.render_widget(Line::raw(text), places.next().unwrap_or_default());
        }
        let mut best = String::from("not yet validated");
        if let Some(last) = self.validations.last() {
            let of = |v: &ValidationEvent| format!("{:.2} at step {}", v.score, v.step);
            let top = self.validations.iter().rev().find(|found| found.best);
            best = format!("{}  last {}", last.metric, of(last));
            if let Some(top) = top {
                best += &format!("  best {}", of(top));
            }
        }
        if self.skipped > 0 {
            best += &format!("  {} steps skipped", self.skipped);
        }
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(Line::styled(best, bold), places.next().unwrap_or_default());
    }

    fn sample(&self) -> Option<&Sample> {
        let samples = &self.validations.last()?.samples;
        samples.get(self.sample % samples.len().max(1))
    }

    /// The attention of the sample that is shown.
    fn heatmap(&self) -> Option<String> {
        let attention = self.sample()?.attention.as_ref()?;
        let map = crate::report::attention_map(attention)?;
        let drawing = TerminalHeatmap::default().render(&map);
        let mut lines: Vec<&str> = drawing.lines().map(str::trim_end).collect();
        lines.pop(); // the legend
        Some(lines.join("\n"))
    }

    fn render_sample(&self, frame: &mut Frame, area: Rect, map: Option<&str>) {
        let step = self.validations.last().map_or(0, |last| last.step);
        let title = format!(" sample of the validation at step {step} ");
        let Some(sample) = self.sample() else {
            let title = " samples: after the first validation ";
            return frame.render_widget(Block::bordered().title(title), area);
        };
        let block = Block::bordered().title(title);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let row = |name: &'static str, text: &str, style: Style| {
            let name = Span::styled(name, Style::new().add_modifier(Modifier::DIM));
            Line::from(vec![name, Span::styled(text.to_string(), style)])
        };
        let plain = Style::new();
        let text = vec![
            row("source ", &sample.source, plain),
            row("output ", &sample.output, self.color(Color::Yellow)),
            row("gold   ", &sample.references.join(" | "), plain),
        ];
        let text = Paragraph::new(text).wrap(Wrap { trim: false });
        let size = |map: &str| {
            let lines: Vec<Line> = map.lines().map(Line::raw).collect();
            let width = lines.iter().map(Line::width).max().unwrap_or(0);
            (width as u16, lines.len() as u16)
        };
        match map.map(|map| (map, size(map))) {
            Some((map, (width, height)))
                if height <= inner.height && width + MIN_TEXT < inner.width =>
            {
                let [left, right] =
                    Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)])
                        .spacing(1)
                        .areas(inner);
                frame.render_widget(text, left);
                frame.render_widget(Paragraph::new(map), right);
            }
            _ => frame.render_widget(text, inner),
        }
    }
}

/// One line of a chart.
struct Curve {
    name: &'static str,
    color: Color,
    points: Vec<(f64, f64)>,
}

/// A number of a report.
type Figure = fn(&StepEvent) -> f64;

/// The height of a full bar.
const BAR: u64 = 64;

/// Values as heights of bars: the least is low, the greatest full.
fn bars(values: &[f64]) -> Vec<u64> {
    let finite = values.iter().filter(|value| value.is_finite());
    let low = finite.clone().copied().fold(f64::MAX, f64::min);
    let high = finite.copied().fold(f64::MIN, f64::max);
    let height = |value: &f64| {
        let share = match high > low {
            true => (value - low) / (high - low),
            false => 0.5 + 0.0 * value,
        };
        // What is not finite has no bar.
        (8.0 + share * (BAR - 8) as f64) as u64
    };
    values.iter().map(height).collect()
}

#[cfg(test)]
mod tests {
    use att_train::SampleAttention;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn view(colors: bool) -> View {
        let mut view = View::new("runs/letters".into(), colors);
        view.observe(&Event::Resume {
            step: 0,
            total_steps: 400,
            damaged: Vec::new(),
            elapsed_s: 0.0,
        });
        for i in 1..=10 {
            let falls = f64::from(11 - i);
            view.observe(&Event::Step(StepEvent {
                step: 20 * i as usize,
                total_steps: 400,
                epoch: 2,
                loss: falls / 4.0,
                ppl: 12.0,
                lr: 1e-3 * falls,
                grad_norm: 0.75,
                skipped: 0,
                src_tokens_per_s: 1000.0,
                tgt_tokens_per_s: f64::INFINITY,
                waiting: 0.001 * f64::from(i),
                elapsed_s: 6.0 * f64::from(i),
                left_s: 90.0,
            }));
        }
        for step in [100, 200] {
            view.observe(&Event::Validation(ValidationEvent {
                step,
                loss: 500.0 / step as f64,
                ppl: 2.5,
                metric: "per".into(),
                score: step as f64 / 10.0,
                best: step == 100,
                sample: ["ab", "b", "b a"].map(String::from),
                samples: vec![Sample {
                    source: "abc".into(),
                    output: "c b a".into(),
                    references: vec!["c b \u{1b}[2J".into()],
                    attention: Some(SampleAttention {
                        src_tokens: ["a", "b", "c"].map(String::from).into(),
                        tgt_tokens: ["c", "b", "a"].map(String::from).into(),
                        weights: vec![
                            vec![0.0, 0.0, 1.0],
                            vec![0.0, 1.0, 0.0],
                            vec![0.5, 0.5, 0.0],
                        ],
                    }),
                }],
                elapsed_s: 60.0,
            }));
        }
        view.say("step 7 skipped\nmore");
        view
    }

    /// What stands on a terminal of this size.
    fn drawn(view: &View, width: u16, height: u16, stopping: bool) -> (Vec<String>, bool) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| view.render(frame, 5.0, stopping))
            .unwrap();
        let buffer = terminal.backend().buffer();
        let rows = buffer.content.chunks(width.into()).map(|row| {
            let line: String = row.iter().map(|cell| cell.symbol()).collect();
            line.trim_end().to_string()
        });
        let colors = buffer.content.iter();
        let colors = colors.filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        (rows.collect(), colors.count() > 0)
    }

    #[test]
    fn a_terminal_of_80_by_24_has_all_of_it() {
        let (lines, colors) = drawn(&view(true), 80, 24, false);
        assert!(colors);
        assert_eq!(lines, SNAPSHOT, "{}", lines.join("\n"));
    }

    #[rustfmt::skip]
    const SNAPSHOT: [&str; 24] = [
        "runs/letters  epoch 2",
        "██████████████████████step 200/400  50 %  1:05, 1:25 left",
        "┌ loss  training validation ───────────┐┌ per  validation ─────────────────────┐",
        "│5.00│              ⠈⠉⠒⠒⠤⠤⢄⣀⡀          ││20.00│                        ⢀⣀⡠⠤⠔⠒⠊⠉│",
        "│    │                      ⠈⠉⠉⠒⠒⠤⠤⢄⣀⡀ ││     │                ⣀⣀⠤⠤⠒⠒⠊⠉⠁       │",
        "│    │⠉⠉⠒⠒⠒⠒⠒⠒⠒⠢⠤⠤⠤⣀⣀⣀⡀              ⠈⠉││     │       ⢀⣀⡠⠤⠤⠒⠒⠉⠉                │",
        "│0.25│                ⠈⠉⠉⠉⠒⠒⠒⠒⠒⠒⠒⠢⠤⠤⠤⣀⣀││10.00│⣀⡠⠤⠔⠒⠊⠉⠁                        │",
        "│    └─────────────────────────────────││     └────────────────────────────────│",
        "│   20                              200││   100                             200│",
        "└──────────────────────────────────────┘└──────────────────────────────────────┘",
        "learning rate       1.0e-3  █▇▆▅▄▄▃▂▁▁",
        "gradient norm         0.75  ▄▄▄▄▄▄▄▄▄▄",
        "source tokens/s       1000  ▄▄▄▄▄▄▄▄▄▄",
        "target tokens/s        inf",
        "waits for data        1.0%  ▁▁▂▃▄▄▅▆▇█",
        "per  last 20.00 at step 200  best 10.00 at step 100",
        "┌ sample of the validation at step 200 ────────────────────────────────────────┐",
        "│source abc                                                              a b c │",
        "│output c b a                                                          c     ██│",
        "│gold   c b [2J                                                        b   ██  │",
        "│                                                                      a ▒▒▒▒  │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        "step 7 skipped",
        "q: stop and save   s: another sample",
    ];

    #[test]
    fn other_vocabularies_than_those_of_the_model_before_stay_in_sight() {
        let mut view = view(true);
        for side in ["source", "target"] {
            view.observe(&Event::Vocabulary(VocabularyEvent {
                side: side.into(),
                kept: 30,
                new: 2,
                dropped: 1,
            }));
        }
        let (lines, _) = drawn(&view, 80, 24, false);
        let expected =
            "vocabulary      source 30 kept, 2 new, 1 gone; target 30 kept, 2 new, 1 gone";
        assert_eq!(lines[15], expected, "{}", lines.join("\n"));
        assert!(lines[16].starts_with("per  last"), "{}", lines.join("\n"));
    }

    #[test]
    fn small_terminals_have_what_fits() {
        for (width, height) in [(1, 1), (20, 5), (30, 12), (200, 60), (60, 16)] {
            let (lines, _) = drawn(&view(true), width, height, false);
            assert_eq!(lines.len(), usize::from(height));
            if width >= 60 {
                assert!(lines[0].starts_with("runs/letters"), "{lines:?}");
                assert!(lines[1].contains("step 200/400"), "{lines:?}");
            }
        }
    }

    #[test]
    fn without_colours_there_are_none() {
        assert!(!drawn(&view(false), 80, 24, false).1);
    }

    #[test]
    fn a_run_that_has_only_begun_or_stops_is_drawn() {
        let (lines, _) = drawn(&View::new("run".into(), true), 80, 24, true);
        let text = lines.join("\n");
        for part in ["step 0/1", "not yet validated", "stopping"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn bars_go_from_the_least_to_the_greatest() {
        assert_eq!(bars(&[1.0, 2.0, 3.0]), [8, 36, 64]);
        assert_eq!(bars(&[5.0, f64::NAN]), [36, 0]);
        assert!(bars(&[]).is_empty());
    }
}
