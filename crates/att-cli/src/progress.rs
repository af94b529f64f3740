//! How a training run shows itself: a bar on a terminal, one line a report elsewhere.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use att_train::{Event, Observer};
use indicatif::{ProgressBar, ProgressStyle};

/// Writes to the standard error, and ends the run in good order at the first interrupt.
pub struct Progress {
    bar: Option<ProgressBar>,
    interrupted: Arc<AtomicBool>,
}

impl Progress {
    /// From now on the first interrupt (Ctrl-C or SIGTERM) ends the run in good order, the second
    /// at once.
    pub fn new() -> Result<Self, ctrlc::Error> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = interrupted.clone();
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(crate::INTERRUPTED));
            }
            eprintln!("\ninterrupted: saving; press Ctrl-C again to leave at once");
        })?;
        Ok(Self {
            bar: None,
            interrupted,
        })
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// Takes the bar of a run that is over off the terminal.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: &Event) -> ControlFlow<()> {
        match (event, &self.bar) {
            (Event::Step(step), Some(bar)) => {
                bar.set_position(step.step as u64);
                bar.set_message(step.to_string());
            }
            _ => self.line(&event.to_string()),
        }
        if let Event::Start { total_steps, .. } | Event::Resume { total_steps, .. } = event
            && std::io::stderr().is_terminal()
        {
            let style = ProgressStyle::with_template("step {pos}/{len} {bar:20} {msg}")
                .expect("a constant template");
            self.bar = Some(ProgressBar::new(*total_steps as u64).with_style(style));
        }
        ControlFlow::Continue(())
    }

    fn poll(&mut self) -> ControlFlow<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
