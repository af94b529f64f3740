//! What `/metrics` tells, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// Upper bounds of the buckets of numbers of lines.
const LINES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// All that is counted.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// By route and status.
    requests: BTreeMap<(String, u16), u64>,
    request_seconds: Option<Histogram>,
    queue_seconds: Option<Histogram>,
    line_seconds: Option<Histogram>,
    /// Of all threads that decode.
    busy_seconds: f64,
    batch_lines: Option<Histogram>,
    /// Lines decoded, by model.
    lines: BTreeMap<String, u64>,
    /// Requests of translations that were accepted, and those of them that were answered and whose client
    /// had gone.
    accepted: u64,
    answered: u64,
    cancelled: u64,
    /// By model and what came of it.
    loads: BTreeMap<(String, &'static str), u64>,
}

/// A line that was decoded.
pub(crate) struct DecodedLine {
    /// Lines that were decoded beside it at its end, itself included.
    pub(crate) together: usize,
    /// Since it began.
    pub(crate) took: Duration,
    /// Of the thread, since the end of another line or its own beginning.
    pub(crate) busy: Duration,
}

/// What is looked up when `/metrics` is asked for.
pub(crate) struct Now {
    pub(crate) queue_lines: usize,
    /// Of each model its name and, if it is loaded, its bytes.
    pub(crate) models: Vec<(String, Option<u64>)>,
}

impl Metrics {
    pub(crate) fn request(&self, route: &str, status: u16, took: Duration) {
        let mut counts = self.lock();
        *counts.requests.entry((route.into(), status)).or_default() += 1;
        observe(&mut counts.request_seconds, &SECONDS, took.as_secs_f64());
    }

    /// A line waited so long for a thread.
    pub(crate) fn waited(&self, time: Duration) {
        observe(&mut self.lock().queue_seconds, &SECONDS, time.as_secs_f64());
    }

    /// A line was decoded.
    pub(crate) fn decoded(&self, model: &str, line: DecodedLine) {
        let mut counts = self.lock();
        *counts.lines.entry(model.into()).or_default() += 1;
        counts.busy_seconds += line.busy.as_secs_f64();
        observe(&mut counts.batch_lines, &LINES, line.together as f64);
        observe(&mut counts.line_seconds, &SECONDS, line.took.as_secs_f64());
    }

    pub(crate) fn accepted(&self) {
        self.lock().accepted += 1;
    }

    pub(crate) fn answered(&self) {
        self.lock().answered += 1;
    }

    pub(crate) fn cancelled(&self) {
        self.lock().cancelled += 1;
    }

    /// A model was loaded, loaded again, not loaded, or thrown out.
    pub(crate) fn load(&self, model: &str, what: &'static str) {
        *self.lock().loads.entry((model.into(), what)).or_default() += 1;
    }

    /// Requests of translations that were accepted, and those of them that were answered.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let counts = self.lock();
        (counts.accepted, counts.answered)
    }

    /// Mean seconds of a thread for a line; none before the first.
    pub(crate) fn seconds_per_line(&self) -> Option<f64> {
        let counts = self.lock();
        let lines = counts.lines.values().sum::<u64>();
        (lines > 0).then(|| counts.busy_seconds / lines as f64)
    }

    /// The whole page.
    pub(crate) fn page(&self, now: &Now) -> String {
        let counts = self.lock();
        let mut page = Page(String::new());
        page.head(
            "att_http_requests_total",
            "counter",
            "Requests by route and status.",
        );
        for ((route, status), n) in &counts.requests {
            let labels = format!("route=\"{}\",status=\"{status}\"", escaped(route));
            page.value("att_http_requests_total", &labels, n);
        }
        for (name, help, histogram) in [
            (
                "att_http_request_seconds",
                "Time from a request's head to its answer.",
                &counts.request_seconds,
            ),
            (
                "att_queue_seconds",
                "Time that a line waited for a thread.",
                &counts.queue_seconds,
            ),
            (
                "att_line_seconds",
                "Time that a line was decoded, alone or beside others.",
                &counts.line_seconds,
            ),
            (
                "att_batch_lines",
                "For each line how many were decoded together when it was done.",
                &counts.batch_lines,
            ),
        ] {
            page.histogram(name, help, histogram.as_ref());
        }
        page.head(
            "att_busy_seconds_total",
            "counter",
            "Time that threads decoded.",
        );
        page.value("att_busy_seconds_total", "", counts.busy_seconds);
        page.head("att_queue_lines", "gauge", "Lines that wait.");
        page.value("att_queue_lines", "", now.queue_lines);
        page.head("att_lines_total", "counter", "Lines decoded.");
        for (model, n) in &counts.lines {
            page.value("att_lines_total", &of_model(model), n);
        }
        for (name, help, n) in [
            (
                "att_translations_accepted_total",
                "Requests of translations that were accepted.",
                counts.accepted,
            ),
            (
                "att_translations_answered_total",
                "Accepted requests that got their translations.",
                counts.answered,
            ),
            (
                "att_translations_cancelled_total",
                "Accepted requests whose client went or whose time was over.",
                counts.cancelled,
            ),
        ] {
            page.head(name, "counter", help);
            page.value(name, "", n);
        }
        page.head(
            "att_model_loads_total",
            "counter",
            "Models loaded, reloaded, failed to load, evicted.",
        );
        for ((model, what), n) in &counts.loads {
            let labels = format!("{},what=\"{what}\"", of_model(model));
            page.value("att_model_loads_total", &labels, n);
        }
        page.head(
            "att_model_bytes",
            "gauge",
            "About what the weights of a model take; 0 if it is not loaded.",
        );
        for (model, bytes) in &now.models {
            page.value("att_model_bytes", &of_model(model), bytes.unwrap_or(0));
        }
        page.0
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Histogram {
    bounds: &'static [f64],
    /// Of each bucket alone.
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

fn observe(histogram: &mut Option<Histogram>, bounds: &'static [f64], value: f64) {
    let histogram = histogram.get_or_insert_with(|| Histogram {
        bounds,
        counts: vec![0; bounds.len()],
        count: 0,
        sum: 0.0,
    });
    let bucket = bounds.iter().position(|&bound| value <= bound);
    if let Some(bucket) = bucket {
        histogram.counts[bucket] += 1;
    }
    histogram.count += 1;
    histogram.sum += value;
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn value(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        match labels {
            "" => self.line(format_args!("{name} {value}")),
            labels => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    /// One that has not seen anything is left out.
    fn histogram(&mut self, name: &str, help: &str, histogram: Option<&Histogram>) {
        let Some(histogram) = histogram else { return };
        self.head(name, "histogram", help);
        let mut so_far = 0;
        for (bound, n) in histogram.bounds.iter().zip(&histogram.counts) {
            so_far += n;
            self.value(
                &format!("{name}_bucket"),
                &format!("le=\"{bound}\""),
                so_far,
            );
        }
        self.value(&format!("{name}_bucket"), "le=\"+Inf\"", histogram.count);
        self.value(&format!("{name}_sum"), "", histogram.sum);
        self.value(&format!("{name}_count"), "", histogram.count);
    }

    fn line(&mut self, line: std::fmt::Arguments) {
        writeln!(self.0, "{line}").expect("a string takes it");
    }
}

fn of_model(name: &str) -> String {
    format!("model=\"{}\"", escaped(name))
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_in_the_format_of_prometheus() {
        let metrics = Metrics::default();
        let ms = Duration::from_millis;
        metrics.request("/v1/translate", 200, ms(3));
        metrics.request("/v1/translate", 200, ms(70_000));
        for (together, busy) in [(3, ms(4)), (2, ms(0))] {
            let line = DecodedLine {
                together,
                took: ms(4),
                busy,
            };
            metrics.decoded("g2p", line);
        }
        metrics.accepted();
        assert_eq!(metrics.seconds_per_line(), Some(0.002));
        let page = metrics.page(&Now {
            queue_lines: 7,
            models: vec![("g2p".into(), Some(99)), ("b".into(), None)],
        });
        for line in [
            "# TYPE att_http_requests_total counter",
            "att_http_requests_total{route=\"/v1/translate\",status=\"200\"} 2",
            "att_http_request_seconds_bucket{le=\"0.0025\"} 0",
            "att_http_request_seconds_bucket{le=\"0.005\"} 1",
            "att_http_request_seconds_bucket{le=\"30\"} 1",
            "att_http_request_seconds_bucket{le=\"+Inf\"} 2",
            "att_http_request_seconds_count 2",
            "att_batch_lines_bucket{le=\"2\"} 1",
            "att_batch_lines_bucket{le=\"4\"} 2",
            "att_line_seconds_bucket{le=\"0.005\"} 2",
            "att_busy_seconds_total 0.004",
            "att_queue_lines 7",
            "att_lines_total{model=\"g2p\"} 2",
            "att_translations_accepted_total 1",
            "att_model_bytes{model=\"g2p\"} 99",
            "att_model_bytes{model=\"b\"} 0",
        ] {
            assert!(page.lines().any(|one| one == line), "{line}:\n{page}");
        }
        assert!(!page.contains("att_queue_seconds"), "nothing has waited");
    }
}
