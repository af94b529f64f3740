//! A run on the whole terminal: curves, figures, samples.
//!
//! A thread of its own draws it and reads the keys, so the clock goes on and `q` is heard while a long step or
//! a validation is under way.

mod terminal;
mod view;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use att_train::{Event, read_log};

use self::terminal::Screen;
use self::view::View;
use crate::printed::visible_lines;

pub use self::terminal::{give_back, is_open, is_usable};

/// Between two looks at keys and clock.
const PAUSE: Duration = Duration::from_millis(200);
/// Lines that are printed when the terminal is given back: the last ones.
const MAX_LINES: usize = 200;

/// A run on the terminal, until it is dropped.
pub struct Dashboard {
    run: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// What would stand on the terminal without a dashboard.
    lines: VecDeque<String>,
}

struct Shared {
    view: Mutex<View>,
    over: AtomicBool,
}

impl Dashboard {
    /// Takes the terminal for the run in a directory; `q` sets `interrupted`.
    pub fn open(run: &Path, interrupted: Arc<AtomicBool>) -> io::Result<Self> {
        let colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let shared = Arc::new(Shared {
            view: Mutex::new(View::new(run.display().to_string(), colors)),
            over: AtomicBool::new(false),
        });
        let mut screen = Screen::open().inspect_err(|_| give_back())?;
        let seen = shared.clone();
        let thread = std::thread::spawn(move || {
            // Whoever has closed the terminal sees nothing, and the run goes on.
            while !seen.over.load(Ordering::Relaxed)
                && is_open()
                && seen.draw(&mut screen, &interrupted).is_ok()
            {
                for key in screen.keys(PAUSE) {
                    match key {
                        b'q' => interrupted.store(true, Ordering::Relaxed),
                        b's' => seen.with_view(View::next_sample),
                        _ => {}
                    }
                }
            }
        });
        Ok(Self {
            run: run.into(),
            shared,
            thread: Some(thread),
            lines: VecDeque::new(),
        })
    }

    pub fn observe(&mut self, event: &Event) {
        match event {
            // The log has what came before, and this event.
            Event::Start { .. } | Event::Resume { .. } => {
                let log = read_log(&self.run).unwrap_or_else(|_| vec![event.clone()]);
                self.shared
                    .with_view(|view| log.iter().for_each(|event| view.observe(event)));
            }
            event => self.shared.with_view(|view| view.observe(event)),
        }
        if !matches!(event, Event::Step(_)) {
            self.line(&event.to_string());
        }
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        let text = visible_lines(text);
        self.shared.with_view(|view| view.say(&text));
        self.lines.push_back(text);
    }
}

impl Shared {
    fn with_view(&self, change: impl FnOnce(&mut View)) {
        // A panic while drawing leaves it whole.
        let mut view = self.view.lock().unwrap_or_else(|error| error.into_inner());
        change(&mut view);
    }

    fn draw(&self, screen: &mut Screen, interrupted: &AtomicBool) -> io::Result<()> {
        let stopping = interrupted.load(Ordering::Relaxed);
        // The run waits for the view, and must not wait for the terminal, which may be slow or held.
        screen.draw(|frame| self.with_view(|view| view.render(frame, view.seconds(), stopping)))
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // its panic has been reported
        }
        give_back();
        for line in &self.lines {
            eprintln!("{line}");
        }
    }
}
