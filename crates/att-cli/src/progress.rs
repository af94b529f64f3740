//! How a training run shows itself: a dashboard or a bar on a terminal, one line a report elsewhere.

use std::error::Error;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use att_train::{Event, Observer};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

#[cfg(unix)]
use crate::dashboard::{self, Dashboard};
use crate::printed::visible_lines;

/// How a run shows itself on the standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Display {
    /// The dashboard on a terminal that can draw it, plain lines elsewhere
    #[default]
    Auto,
    /// Curves, figures and samples on the whole terminal
    Dashboard,
    /// A line a report; on a terminal a bar below the lines that stay
    Plain,
    /// Nothing but warnings and the end
    None,
}

/// Writes to the standard error, and ends the run in good order at the first interrupt.
pub struct Progress {
    shown: Shown,
    interrupted: Arc<AtomicBool>,
}

enum Shown {
    #[cfg(unix)]
    Dashboard(Dashboard),
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    /// Lines, with a bar on a terminal.
    ///
    /// From now on the first interrupt (Ctrl-C or SIGTERM) ends the run in good order, the second
    /// at once.
    pub fn new() -> Result<Self, ctrlc::Error> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = interrupted.clone();
        ctrlc::set_handler(move || {
            let again = flag.swap(true, Ordering::Relaxed);
            #[cfg(unix)]
            if dashboard::is_open() {
                if !again {
                    return; // it says so itself
                }
                dashboard::give_back();
            }
            if again {
                std::process::exit(i32::from(crate::INTERRUPTED));
            }
            eprintln!("\ninterrupted: saving; press Ctrl-C again to leave at once");
        })?;
        Ok(Self {
            shown: Shown::Lines,
            interrupted,
        })
    }

    /// The same, shown in this way, for the run in a directory.
    pub fn of_run(display: Display, run: &Path) -> Result<Self, Box<dyn Error>> {
        let mut progress = Self::new()?;
        match display {
            Display::Plain => {}
            Display::None => progress.shown = Shown::Nothing,
            Display::Auto | Display::Dashboard => {
                #[cfg(unix)]
                if dashboard::is_usable() {
                    let dashboard = Dashboard::open(run, progress.interrupted.clone())?;
                    progress.shown = Shown::Dashboard(dashboard);
                    return Ok(progress);
                }
                let _ = run; // there is no dashboard to show it
                if display == Display::Dashboard {
                    let reason = "--progress dashboard needs a terminal in the foreground";
                    return Err(reason.into());
                }
            }
        }
        Ok(progress)
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        match &mut self.shown {
            #[cfg(unix)]
            Shown::Dashboard(dashboard) => dashboard.line(text),
            Shown::Bar(bar) => bar.println(visible_lines(text)),
            Shown::Lines | Shown::Nothing => eprintln!("{}", visible_lines(text)),
        }
    }

    /// Takes the bar of a run that is over off the terminal.
    pub fn clear(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
            self.shown = Shown::Lines;
        }
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: &Event) -> ControlFlow<()> {
        match (&mut self.shown, event) {
            #[cfg(unix)]
            (Shown::Dashboard(dashboard), event) => dashboard.observe(event),
            (Shown::Bar(bar), Event::Step(step)) => {
                bar.set_position(step.step as u64);
                bar.set_message(step.to_string());
            }
            (Shown::Nothing, Event::Data(_) | Event::Resume { .. } | Event::Warning { .. }) => {
                let text = visible_lines(&event.to_string());
                let warnings = text.lines().filter(|line| line.starts_with("warning: "));
                warnings.for_each(|warning| eprintln!("{warning}"));
            }
            (Shown::Nothing, _) => {}
            _ => self.line(&event.to_string()),
        }
        if let Event::Start { total_steps, .. } | Event::Resume { total_steps, .. } = event
            && matches!(self.shown, Shown::Lines)
            && std::io::stderr().is_terminal()
        {
            let style = ProgressStyle::with_template("step {pos}/{len} {bar:20} {msg}")
                .expect("a constant template");
            let bar = ProgressBar::new(*total_steps as u64).with_style(style);
            self.shown = Shown::Bar(bar);
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
