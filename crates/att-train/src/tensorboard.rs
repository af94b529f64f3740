//! A run's figures as TensorBoard reads them.
//!
//! An event file is a sequence of TFRecords: the length of the data (u64), its masked CRC-32C (u32), the data
//! and their masked CRC-32C, little-endian. The data are a protocol buffer `Event`; these are the fields that
//! are written, by their numbers in TensorFlow's `event.proto` and `summary.proto`:
//!
//! ```text
//! Event       1 wall_time (double)  2 step (int64)  3 file_version (string)  5 summary  7 session_log
//! Summary     1 value (repeated)
//! Value       1 tag (string)        2 simple_value (float)
//! SessionLog  1 status (enum; START is 1)
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use att_data::write_atomic;

use crate::{Error, Event, Result, read_log};

/// What the names of event files begin with.
pub(crate) const PREFIX: &str = "events.out.tfevents.";

/// A TensorBoard event file in the directory of a run: `tensorboard --logdir` of it, or of a directory of runs.
///
/// | tags | figures |
/// | --- | --- |
/// | `train/loss`, `train/ppl`, `train/lr`, `train/grad_norm`, `train/skipped`, `train/src_tokens_per_s`, `train/tgt_tokens_per_s`, `train/waiting` | of a [`StepEvent`](crate::StepEvent) |
/// | `valid/loss`, `valid/ppl`, `valid/<metric>` | of a [`ValidationEvent`](crate::ValidationEvent) |
///
/// All in it comes from the run's log. So one that was resumed has each step once, and one that had none
/// before has all. Times are those of training, as if it had never been broken off.
#[derive(Debug)]
pub struct TensorBoard {
    path: PathBuf,
    file: File,
    /// When the run would have begun without breaks, in seconds since 1970.
    begun: f64,
}

impl TensorBoard {
    /// Writes what the log of a run has up to now into a new file, which takes the place of older ones. A
    /// TensorBoard that has read those forgets them.
    ///
    /// # Errors
    ///
    /// If the log can't be read, or the file not be written.
    pub fn begin(run: impl AsRef<Path>) -> Result<Self> {
        let run = run.as_ref();
        let events = read_log(run)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs_f64();
        let begun = now - events.iter().filter_map(elapsed_s).fold(0.0, f64::max);

        let mut bytes = record(&text(3, "brain.Event:2"), begun, 0);
        bytes.extend(record(&message(7, &varint_field(1, 1)), begun, 0));
        bytes.extend(events.iter().flat_map(|event| scalars(event, begun)));
        // TensorBoard goes from file to file by their names.
        let name = format!("{PREFIX}{:010}.{}", now as u64, std::process::id());
        let path = run.join(&name);
        write_atomic(&path, &bytes)?;
        remove_others(run, &name)?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
        Ok(Self { path, file, begun })
    }

    /// Appends an event that is newer than those before.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn write(&mut self, event: &Event) -> Result<()> {
        let written = self.file.write_all(&scalars(event, self.begun));
        written.map_err(|source| Error::Write {
            path: self.path.clone(),
            source,
        })
    }
}

fn remove_others(run: &Path, name: &str) -> Result<()> {
    for entry in fs::read_dir(run).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if found.starts_with(PREFIX) && found != name {
            crate::checkpoint::remove(&entry.path())?;
        }
    }
    Ok(())
}

fn elapsed_s(event: &Event) -> Option<f64> {
    match event {
        Event::Step(step) => Some(step.elapsed_s),
        Event::Validation(found) => Some(found.elapsed_s),
        Event::Resume { elapsed_s, .. } => Some(*elapsed_s),
        _ => None,
    }
}

/// The record of an event's figures; nothing for an event that has none.
fn scalars(event: &Event, begun: f64) -> Vec<u8> {
    let metric;
    let (step, elapsed_s, figures) = match event {
        Event::Step(event) => (
            event.step,
            event.elapsed_s,
            vec![
                ("train/loss", event.loss),
                ("train/ppl", event.ppl),
                ("train/lr", event.lr),
                ("train/grad_norm", event.grad_norm),
                ("train/skipped", event.skipped as f64),
                ("train/src_tokens_per_s", event.src_tokens_per_s),
                ("train/tgt_tokens_per_s", event.tgt_tokens_per_s),
                ("train/waiting", event.waiting),
            ],
        ),
        Event::Validation(event) => {
            metric = format!("valid/{}", event.metric);
            let figures = vec![
                ("valid/loss", event.loss),
                ("valid/ppl", event.ppl),
                (metric.as_str(), event.score),
            ];
            (event.step, event.elapsed_s, figures)
        }
        _ => return Vec::new(),
    };
    let values = figures.iter().flat_map(|(tag, figure)| {
        let mut value = text(1, tag);
        value.push((2 << 3) | 5);
        value.extend((*figure as f32).to_le_bytes());
        message(1, &value)
    });
    let summary: Vec<u8> = values.collect();
    record(&message(5, &summary), begun + elapsed_s, step)
}

/// A TFRecord of an `Event` with these fields besides time and step.
fn record(fields: &[u8], wall_time: f64, step: usize) -> Vec<u8> {
    let mut event = vec![(1 << 3) | 1];
    event.extend(wall_time.to_le_bytes());
    event.extend(varint_field(2, step as u64));
    event.extend(fields);
    let length = (event.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc32c(&length).to_le_bytes());
    record.extend(&event);
    record.extend(masked_crc32c(&event).to_le_bytes());
    record
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number as u8) | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn varint_field(field: u8, number: u64) -> Vec<u8> {
    [vec![field << 3], varint(number)].concat()
}

/// A field with a length: a string or a message.
fn message(field: u8, data: &[u8]) -> Vec<u8> {
    [&[(field << 3) | 2], &varint(data.len() as u64)[..], data].concat()
}

fn text(field: u8, text: &str) -> Vec<u8> {
    message(field, text.as_bytes())
}

/// CRC-32C (Castagnoli).
fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
    let add = |crc: u32, &byte: &u8| (0..8).fold(crc ^ u32::from(byte), shift);
    !bytes.iter().fold(!0, add)
}

fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StepEvent, ValidationEvent};

    fn step(step: usize) -> Event {
        Event::Step(StepEvent {
            step,
            total_steps: 900,
            epoch: 1,
            loss: 2.5,
            ppl: 12.0,
            lr: 1e-3,
            grad_norm: f64::NAN,
            skipped: 0,
            src_tokens_per_s: 1000.0,
            tgt_tokens_per_s: 900.0,
            waiting: 0.25,
            elapsed_s: step as f64,
            left_s: 75.0,
        })
    }

    fn validation(step: usize) -> Event {
        Event::Validation(ValidationEvent {
            step,
            loss: 1.0,
            ppl: 2.5,
            metric: "bleu".into(),
            score: 12.25,
            best: true,
            sample: ["ab", "b", "b a"].map(String::from),
            samples: Vec::new(),
            elapsed_s: step as f64,
        })
    }

    /// The fields of a message: their numbers, and their bytes.
    fn fields(mut data: &[u8]) -> Vec<(u8, &[u8])> {
        fn varint(data: &mut &[u8]) -> u64 {
            let end = data.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
            let (bytes, rest) = data.split_at(end);
            *data = rest;
            let digits = bytes.iter().rev();
            digits.fold(0, |number, byte| (number << 7) | u64::from(byte & 0x7f))
        }
        let mut found = Vec::new();
        while !data.is_empty() {
            let key = varint(&mut data);
            let length = match key & 7 {
                0 => data.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1,
                1 => 8,
                2 => varint(&mut data) as usize,
                5 => 4,
                other => panic!("wire type {other}"),
            };
            let (field, rest) = data.split_at(length);
            found.push(((key >> 3) as u8, field));
            data = rest;
        }
        found
    }

    /// Steps and figures of the records of a file, whose checksums must be right.
    fn read(run: &Path) -> Vec<(u64, Vec<(String, f32)>)> {
        let entries = fs::read_dir(run).unwrap().flatten();
        let is_of_events =
            |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(PREFIX);
        let files: Vec<_> = entries.filter(is_of_events).collect();
        assert_eq!(files.len(), 1);
        let bytes = fs::read(files[0].path()).unwrap();
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let (data, end) = (&rest[12..12 + length], 16 + length);
            assert_eq!(number(&rest[8..12]), masked_crc32c(&rest[..8]));
            assert_eq!(number(&rest[12 + length..end]), masked_crc32c(data));
            rest = &rest[end..];
            let event = fields(data);
            let step = event.iter().find(|(field, _)| *field == 2).unwrap().1;
            let step = step.iter().rev();
            let step = step.fold(0, |step, byte| (step << 7) | u64::from(byte & 0x7f));
            let summary = event.iter().find(|(field, _)| *field == 5);
            let values = summary.map_or(Vec::new(), |(_, summary)| fields(summary));
            let values = values.iter().map(|(_, value)| {
                let [(1, tag), (2, figure)] = fields(value)[..] else {
                    panic!("{value:?}")
                };
                let tag = String::from_utf8(tag.to_vec()).unwrap();
                (tag, f32::from_le_bytes(figure.try_into().unwrap()))
            });
            found.push((step, values.collect()));
        }
        found
    }

    #[test]
    fn checksums_are_those_of_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720, B.4
    }

    #[test]
    fn figures_come_back_by_their_tags_and_no_step_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let log = |events: &[Event]| {
            let lines = events.iter().map(|event| {
                let line = serde_json::to_string(event).unwrap();
                line + "\n"
            });
            fs::write(run.join("log.jsonl"), lines.collect::<String>()).unwrap();
        };
        log(&[step(200)]);
        let mut board = TensorBoard::begin(run).unwrap();
        board.write(&validation(200)).unwrap();
        board.write(&step(300)).unwrap();
        // It goes on from the step 200.
        log(&[step(200), validation(200)]);
        let mut board = TensorBoard::begin(run).unwrap();
        board.write(&step(300)).unwrap();

        let found = read(run);
        let steps: Vec<u64> = found.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [0, 0, 200, 200, 300]);
        let of = |tag: &str| {
            let all = found.iter().flat_map(|(step, figures)| {
                let figures = figures.iter().filter(|(name, _)| name == tag);
                figures.map(|(_, figure)| (*step, *figure))
            });
            all.collect::<Vec<_>>()
        };
        assert_eq!(of("train/loss"), [(200, 2.5), (300, 2.5)]);
        assert_eq!(of("train/waiting"), [(200, 0.25), (300, 0.25)]);
        assert_eq!(of("valid/bleu"), [(200, 12.25)]);
        assert!(of("train/grad_norm")[1].1.is_nan());
    }
}
