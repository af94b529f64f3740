//! A table and pictures of what was measured.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use att_inspect::{BarChart, BarGroup};
use serde::{Deserialize, Serialize};

use crate::Pass;

/// One benchmark, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The operation.
    pub op: String,
    /// The sizes.
    pub shape: String,
    /// The device.
    pub device: String,
    /// How it was computed.
    pub variant: String,
    /// What was computed.
    pub pass: Pass,
    /// The median time of a call.
    pub seconds: f64,
    /// The most bytes held during a call beyond its arguments; on the host.
    pub peak_bytes: usize,
}

impl Record {
    /// Whether both are of the same benchmark.
    fn is_like(&self, other: &Self) -> bool {
        self.pass == other.pass && self.variant == other.variant && self.is_of_case(other)
    }

    /// Whether both are of the same operation, shape and device.
    fn is_of_case(&self, other: &Self) -> bool {
        (&self.op, &self.shape, &self.device) == (&other.op, &other.shape, &other.device)
    }
}

/// All that was measured.
pub struct Summary(Vec<Record>);

/// Holds the records between runs.
const RECORDS: &str = "records.json";

/// From plain tensor operations, and a step from the fused operations of its parts.
const REFERENCES: [&str; 2] = ["reference", "composed"];
/// The variants that ours are compared with.
const OTHERS: [&str; 3] = [REFERENCES[0], REFERENCES[1], "burn-nn"];
const PASSES: [Pass; 2] = [Pass::Forward, Pass::ForwardBackward];

impl Summary {
    /// The records of a run, and of earlier runs that left theirs in `folder` what this one did not
    /// measure.
    ///
    /// # Errors
    ///
    /// If the earlier records cannot be read.
    pub fn new(records: Vec<Record>, folder: &Path) -> io::Result<Self> {
        let mut all: Vec<Record> = match fs::read(folder.join(RECORDS)) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for record in records {
            match all.iter_mut().find(|earlier| earlier.is_like(&record)) {
                Some(earlier) => *earlier = record,
                None => all.push(record),
            }
        }
        Ok(Self(all))
    }

    /// Writes `benchmarks-operations.md`, and `benchmarks-operations-<device>.svg` for each device.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join(RECORDS), serde_json::to_vec(&self.0)?)?;
        fs::write(folder.join("benchmarks-operations.md"), self.markdown())?;
        for device in self.devices() {
            let name = format!("benchmarks-operations-{}.svg", device.replace(':', "-"));
            fs::write(folder.join(name), self.svg(device))?;
        }
        Ok(())
    }

    fn devices(&self) -> Vec<&str> {
        let mut devices: Vec<&str> = Vec::new();
        for record in &self.0 {
            if !devices.contains(&&*record.device) {
                devices.push(&record.device);
            }
        }
        devices
    }

    /// The same operation, shape and pass computed in another way.
    fn other(&self, record: &Record, variant: &str) -> Option<&Record> {
        self.0.iter().find(|other| {
            other.variant == variant && other.pass == record.pass && other.is_of_case(record)
        })
    }

    /// How many times faster than another variant.
    fn speed_up(&self, record: &Record, variant: &str) -> Option<f64> {
        let other = self.other(record, variant)?;
        Some(other.seconds / record.seconds)
    }

    /// One table a device: a row for each operation, shape and variant.
    fn markdown(&self) -> String {
        let mut text = String::from(
            "# Operations and layers\n\nWritten by `cargo bench -p att-bench`. Times are medians of \
             a call in milliseconds; MB are 10^6 bytes held at most during forward and backward, \
             beyond the arguments, on the host. In parentheses: how many times faster than the \
             reference from plain tensor operations (a step of decoding: than the fused operations \
             of its parts), for forward and for forward + backward.\n",
        );
        for device in self.devices() {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n## {device}\n\n| operation | shape | | forward | forward + backward | MB |\n\
                 | --- | --- | --- | --- | --- | --- |\n"
            );
            let forward = |record: &&Record| record.pass == Pass::Forward;
            for record in self.0.iter().filter(forward) {
                if record.device == device {
                    text += &self.row(record);
                }
            }
        }
        text
    }

    fn row(&self, forward: &Record) -> String {
        let Record {
            op, shape, variant, ..
        } = forward;
        let cell = |record: &Record| {
            let time = digits(record.seconds * 1e3);
            let speed_up = |reference| self.speed_up(record, reference);
            match REFERENCES.into_iter().find_map(speed_up) {
                Some(ratio) if !REFERENCES.contains(&&*record.variant) => {
                    format!("{time} ({})", digits(ratio))
                }
                _ => time,
            }
        };
        let both = self.0.iter().find(|other| {
            other.pass == Pass::ForwardBackward
                && other.variant == *variant
                && other.is_of_case(forward)
        });
        let megabytes = |record: &Record| digits(record.peak_bytes as f64 / 1e6);
        format!(
            "| {op} | {shape} | {variant} | {} | {} | {} |\n",
            cell(forward),
            both.map(cell).unwrap_or_default(),
            megabytes(both.unwrap_or(forward)),
        )
    }

    /// How many times faster ours are than others.
    fn svg(&self, device: &str) -> String {
        let mut groups: Vec<BarGroup> = Vec::new();
        for record in &self.0 {
            let ours = !OTHERS.contains(&&*record.variant);
            if !ours || record.device != device {
                continue;
            }
            for other in OTHERS {
                let Some(ratio) = self.speed_up(record, other) else {
                    continue;
                };
                let name = format!("{} {}, {other}", record.op, record.shape);
                let series = PASSES.iter().position(|&pass| pass == record.pass);
                let series = series.expect("one of the passes");
                match groups.iter_mut().find(|group| group.name == name) {
                    Some(group) => group.values[series] = ratio,
                    None => {
                        let mut values = vec![f64::NAN; PASSES.len()];
                        values[series] = ratio;
                        groups.push(BarGroup { name, values });
                    }
                }
            }
        }
        BarChart {
            title: format!("How many times faster than plain operations and burn-nn: {device}"),
            series: PASSES.iter().map(Pass::to_string).collect(),
            groups,
            ..Default::default()
        }
        .render()
    }
}

/// A number with three digits that count.
fn digits(value: f64) -> String {
    let decimals = (2.0 - value.abs().max(1e-3).log10().floor()).clamp(0.0, 4.0);
    format!("{value:.*}", decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(variant: &str, pass: Pass, seconds: f64) -> Record {
        Record {
            op: "lstm".into(),
            shape: "2x3".into(),
            device: "flex".into(),
            variant: variant.into(),
            pass,
            seconds,
            peak_bytes: 2_500_000,
        }
    }

    fn summary() -> Summary {
        Summary(vec![
            record("fused", Pass::Forward, 0.002),
            record("fused", Pass::ForwardBackward, 0.004),
            record("reference", Pass::Forward, 0.020),
            record("reference", Pass::ForwardBackward, 0.010),
            record("burn-nn", Pass::Forward, 0.006),
        ])
    }

    #[test]
    fn the_table_has_a_row_a_variant_with_its_ratio() {
        let text = summary().markdown();
        for row in [
            "\n## flex\n",
            "| lstm | 2x3 | fused | 2.00 (10.0) | 4.00 (2.50) | 2.50 |\n",
            "| lstm | 2x3 | reference | 20.0 | 10.0 | 2.50 |\n",
            "| lstm | 2x3 | burn-nn | 6.00 (3.33) |  | 2.50 |\n",
        ] {
            assert!(text.contains(row), "{row} not in {text}");
        }
    }

    #[test]
    fn the_picture_has_a_bar_a_pass_and_other() {
        let svg = summary().svg("flex");
        for part in [
            "lstm 2x3, reference",
            "lstm 2x3, burn-nn",
            ">10<",
            ">2.5<",
            ">3<",
        ] {
            assert!(svg.contains(part), "{part} not in {svg}");
        }
        assert!(!summary().svg("ndarray").contains("lstm"));
    }

    #[test]
    fn writes_a_table_and_pictures_and_joins_what_other_runs_measured() {
        let folder = std::env::temp_dir().join(format!("att-bench-{}", std::process::id()));
        let first = Summary::new(summary().0, &folder).unwrap();
        first.write(&folder).unwrap();
        let mut again = vec![record("fused", Pass::Forward, 0.001); 2];
        again[1].device = "ndarray".into();
        let second = Summary::new(again.clone(), &folder).unwrap();
        second.write(&folder).unwrap();
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        fs::remove_dir_all(&folder).unwrap();

        let mut expected = summary().0;
        expected[0] = again[0].clone();
        expected.push(again[1].clone());
        assert_eq!(second.0, expected);
        let files = ["flex.svg", "ndarray.svg"].map(|end| format!("benchmarks-operations-{end}"));
        assert_eq!(names[..2], files);
        assert_eq!(names[2..], ["benchmarks-operations.md", RECORDS]);
    }

    #[test]
    fn numbers_have_three_digits() {
        let texts = [0.012_34, 1.5, 12.34, 123.4, 4567.8].map(digits);
        assert_eq!(texts, ["0.0123", "1.50", "12.3", "123", "4568"]);
    }
}
