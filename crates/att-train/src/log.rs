//! What a run has written about itself.

use std::fs;
use std::path::Path;

use crate::run_directory::LOG;
use crate::{Error, Event, Result};

/// The events of a run up to now, from its `log.jsonl`: what a resumed run has left behind is not among
/// them. A number that was not finite comes back as NaN.
///
/// # Errors
///
/// [`Error::Read`]; [`Error::Log`] at a line that is no event. A last line that has no end is passed over:
/// the run may be at it.
pub fn read_log(run: impl AsRef<Path>) -> Result<Vec<Event>> {
    let path = run.as_ref().join(LOG);
    let text = fs::read_to_string(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().enumerate();
    lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| Error::Log {
                path: path.clone(),
                line: at + 1,
                reason: error.to_string(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SkipReason, Skipped, SkippedEvent};

    #[test]
    fn events_come_back_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let skipped = Event::Skipped(SkippedEvent {
            step: 3,
            lr: 0.1,
            loss: f32::NAN,
            grad_norm: 2.0,
            skipped: Skipped {
                reason: SkipReason::NotFinite,
                in_a_row: 1,
                not_finite: vec!["encoder".into()],
            },
        });
        let line = serde_json::to_string(&skipped).unwrap();
        let write = |text: String| fs::write(folder.path().join(LOG), text).unwrap();
        write(format!("{line}\n{line}\n{{\"event\""));
        let events = read_log(folder.path()).unwrap();
        let [Event::Skipped(first), _] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(first.loss.is_nan() && first.grad_norm == 2.0);
        assert_eq!(first.skipped.not_finite, ["encoder"]);

        write(format!("{line}\n{{}}\n"));
        let error = read_log(folder.path()).unwrap_err().to_string();
        assert!(error.contains("log.jsonl is damaged at line 2"), "{error}");
    }
}
