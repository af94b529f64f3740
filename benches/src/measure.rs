//! Times cases, under criterion or line by line.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use att_core::DeviceSpec;
use burn::tensor::Device;
use criterion::Criterion;
use serde_json::json;

use crate::{Case, CountingAllocator, Pass, Record, Variant};

/// Seconds after which a benchmark of slow calls has seen enough.
const ENOUGH: f64 = 3.0;
/// The least number of calls for a script.
const FEW: usize = 3;

/// `<operation>/<pass>/<variant>/<device>/<shape>`.
fn name(case: &Case, pass: Pass, variant: &Variant, spec: DeviceSpec) -> String {
    format!("{}/{pass}/{}/{spec}/{}", case.op, variant.name, case.shape)
}

/// What was seen of one benchmark, call by call.
#[derive(Default)]
struct Seen {
    /// Of a call, on average over each of criterion's samples.
    seconds: Vec<f64>,
    /// How many samples criterion was given.
    samples: usize,
    peak_bytes: usize,
}

impl Seen {
    /// Runs `f` so many times.
    fn time(&mut self, iterations: u64, device: &Device, f: &dyn Fn()) -> Duration {
        let (took, peak) = CountingAllocator::peak_of(|| {
            let start = Instant::now();
            for _ in 0..iterations {
                f();
                device.sync().expect("the device works");
            }
            start.elapsed()
        });
        self.seconds.push(took.as_secs_f64() / iterations as f64);
        self.peak_bytes = peak;
        took
    }

    /// The same; but once calls have taken long [`ENOUGH`], their times stand for all that follow:
    /// criterion does not make do with fewer than ten samples.
    fn time_or_recall(&mut self, iterations: u64, device: &Device, f: &dyn Fn()) -> Duration {
        self.samples += 1;
        let is_slow = self.seconds.iter().sum::<f64>() > ENOUGH;
        if !is_slow {
            return self.time(iterations, device, f);
        }
        let one = self.seconds[self.samples % self.seconds.len()];
        Duration::from_secs_f64(one * iterations as f64)
    }

    fn median(&self) -> f64 {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    }
}

/// Times all cases that criterion's filter lets through on all devices.
pub fn run(
    criterion: &mut Criterion,
    cases: &[Case],
    devices: &[(DeviceSpec, Device)],
) -> Vec<Record> {
    let mut records = Vec::new();
    for (spec, device) in devices {
        for case in cases {
            for variant in (case.variants)(device) {
                for (pass, f) in variant.passes() {
                    let mut seen = Seen::default();
                    criterion.bench_function(&name(case, pass, &variant, *spec), |b| {
                        b.iter_custom(|iterations| seen.time_or_recall(iterations, device, f));
                    });
                    // One is a test (`--test`), and none what was not asked for.
                    if seen.samples > 1 {
                        records.push(Record {
                            op: case.op.clone(),
                            shape: case.shape.clone(),
                            device: spec.to_string(),
                            variant: variant.name.into(),
                            pass,
                            seconds: seen.median(),
                            peak_bytes: seen.peak_bytes,
                        });
                    }
                }
            }
        }
    }
    records
}

/// For a script that times this program and another in turn: reads lines `<name> <seconds>`, times
/// that benchmark for so long (at least `FEW` calls after one that does not count) and answers
/// each with a line of JSON.
///
/// # Errors
///
/// If a line names no benchmark or no seconds, or standard input or output fails.
pub fn serve(
    cases: &[Case],
    devices: &[(DeviceSpec, Device)],
    input: impl BufRead,
    mut output: impl Write,
) -> std::io::Result<()> {
    // Its arguments stay, so that they are made once.
    let mut made: Option<(String, Vec<Variant>)> = None;
    for line in input.lines() {
        let line = line?;
        let unknown = |what: &str| std::io::Error::other(format!("{what}: '{line}'"));
        let (wanted, seconds) = line.split_once(' ').ok_or(unknown("no seconds"))?;
        let seconds: f64 = seconds.parse().map_err(|_| unknown("no seconds"))?;
        let parts: Vec<&str> = wanted.split('/').collect();
        let &[.., pass, variant, spec, shape] = &parts[..] else {
            return Err(unknown("not a name"));
        };
        let op = parts[..parts.len() - 4].join("/");
        let (_, device) = devices
            .iter()
            .find(|(at, _)| at.to_string() == spec)
            .ok_or(unknown("no such device"))?;
        let key = format!("{op}/{spec}/{shape}");
        if made.as_ref().is_none_or(|(of, _)| *of != key) {
            let case = cases
                .iter()
                .find(|case| case.op == op && case.shape == shape)
                .ok_or(unknown("no such operation or shape"))?;
            made = Some((key, (case.variants)(device)));
        }
        let (_, variants) = made.as_ref().expect("made above");
        let f = variants
            .iter()
            .filter(|other| other.name == variant)
            .flat_map(Variant::passes)
            .find_map(|(other, f)| (other.to_string() == pass).then_some(f))
            .ok_or(unknown("no such variant or pass"))?;

        Seen::default().time(1, device, f);
        let mut seen = Seen::default();
        let start = Instant::now();
        while seen.seconds.len() < FEW || start.elapsed().as_secs_f64() < seconds {
            seen.time(1, device, f);
        }
        let answer = json!({
            "name": wanted,
            "seconds": seen.median(),
            "runs": seen.seconds.len(),
            "peak_bytes": seen.peak_bytes,
        });
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor;

    fn cases() -> Vec<Case> {
        vec![Case::new("a/square", &[2, 3], |device| {
            let x = tensor([2, 3], device);
            vec![Variant::of("plain", &x, |x| x.clone() * x)]
        })]
    }

    fn answers(input: &str) -> std::io::Result<String> {
        let devices = [(DeviceSpec::Flex, Device::flex())];
        let mut output = Vec::new();
        serve(&cases(), &devices, input.as_bytes(), &mut output)?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn answers_each_line() {
        let names = [
            "a/square/forward/plain/flex/2x3",
            "a/square/forward+backward/plain/flex/2x3",
        ];
        let input = names.map(|name| format!("{name} 0.001\n")).concat();
        let output = answers(&input).unwrap();
        let lines: Vec<serde_json::Value> = output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        for (line, name) in lines.iter().zip(names) {
            assert_eq!(line["name"], name);
            assert!(line["seconds"].as_f64().unwrap() > 0.0);
            assert!(line["runs"].as_u64().unwrap() >= 3);
        }
    }

    #[test]
    fn says_what_it_does_not_know() {
        for (line, what) in [
            ("x 1", "not a name"),
            ("a/square/forward/plain/flex/2x3", "no seconds"),
            ("a/square/forward/plain/gpu/2x3 1", "no such device"),
            ("a/square/forward/plain/flex/2x4 1", "no such operation"),
            ("a/square/sideways/plain/flex/2x3 1", "no such variant"),
        ] {
            let message = answers(line).unwrap_err().to_string();
            assert!(message.contains(what), "{line}: {message}");
        }
    }

    #[test]
    fn slow_calls_are_not_repeated_without_end() {
        let device = Device::flex();
        let calls = std::cell::Cell::new(0);
        let f = || calls.set(calls.get() + 1);
        let mut seen = Seen {
            seconds: vec![1.0, 2.5],
            ..Seen::default()
        };
        let recalled = [(); 4].map(|()| seen.time_or_recall(2, &device, &f).as_secs_f64());
        assert_eq!(recalled, [5.0, 2.0, 5.0, 2.0]);
        assert_eq!(calls.get(), 0);
        seen.seconds = vec![1e-3; 3];
        seen.time_or_recall(2, &device, &f);
        assert_eq!((calls.get(), seen.seconds.len()), (2, 4));
    }
}
