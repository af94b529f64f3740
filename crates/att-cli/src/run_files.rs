//! What the command adds to the directory of a run under way: its report, and its figures for TensorBoard.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use att_train::{Event, Observer, TensorBoard};

use crate::progress::Progress;
use crate::report;

/// The share of a run's time that its report takes at most, but for that at the end: 1/20.
const REPORT_SHARE: u32 = 20;

/// Shows a run, and writes its report after each validation. What can't be written is a warning: the run goes on.
pub struct RunFiles {
    run: PathBuf,
    /// Whether the figures are written for TensorBoard.
    tensorboard: bool,
    /// That file, once the run has begun.
    board: Option<TensorBoard>,
    /// When the report was written last, and how long that took.
    reported: (Instant, Duration),
    /// How the run shows itself.
    progress: Progress,
}

impl RunFiles {
    pub fn new(run: PathBuf, tensorboard: bool, progress: Progress) -> Self {
        Self {
            run,
            tensorboard,
            board: None,
            reported: (Instant::now(), Duration::ZERO),
            progress,
        }
    }

    /// Writes the report, as after the run.
    pub fn finish(&mut self) {
        let begun = Instant::now();
        self.warn(report::write(&self.run).map(drop));
        self.reported = (Instant::now(), begun.elapsed());
    }

    fn tell_tensorboard(&mut self, event: &Event) -> att_train::Result<()> {
        match (event, &mut self.board) {
            // The log is now what it is to go on from.
            (Event::Start { .. } | Event::Resume { .. }, _) => {
                self.board = Some(TensorBoard::begin(&self.run)?);
                Ok(())
            }
            (event, Some(board)) => board.write(event),
            (_, None) => Ok(()),
        }
    }

    fn warn(&mut self, result: Result<(), Box<dyn Error>>) {
        if let Err(error) = result {
            self.progress.line(&format!("warning: {error}"));
        }
    }
}

impl Observer for RunFiles {
    fn observe(&mut self, event: &Event) -> ControlFlow<()> {
        if self.tensorboard {
            let told = self.tell_tensorboard(event);
            if told.is_err() {
                self.tensorboard = false; // one warning is enough
            }
            self.warn(told.map_err(Into::into));
        }
        let shown = self.progress.observe(event);
        let (written, took) = self.reported;
        if matches!(event, Event::Validation(_)) && written.elapsed() >= took * REPORT_SHARE {
            self.finish();
        }
        shown
    }

    fn poll(&mut self) -> ControlFlow<()> {
        self.progress.poll()
    }
}
