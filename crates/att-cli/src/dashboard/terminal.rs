//! The terminal while the dashboard has it: its own screen, keys without echo, and all given back whatever
//! happens.

use std::io::{self, BufWriter, IsTerminal, Stderr, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use ratatui::backend::TermionBackend;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr,
};

/// The modes to give back.
static BEFORE: OnceLock<Termios> = OnceLock::new();
static OPEN: AtomicBool = AtomicBool::new(false);

/// Whether the dashboard has the terminal.
pub fn is_open() -> bool {
    OPEN.load(Ordering::SeqCst)
}

/// Whether the standard error is a terminal that can be drawn on, and this process is at its front: one in the
/// background would be stopped.
pub fn is_usable() -> bool {
    let stderr = io::stderr();
    let term = std::env::var("TERM").unwrap_or_default();
    stderr.is_terminal()
        && !["", "dumb"].contains(&term.as_str())
        && tcgetpgrp(&stderr).is_ok_and(|front| front == getpgrp())
        && size().is_ok_and(|size| size.width >= 20 && size.height >= 5)
}

/// The terminal's own screen, and the keys.
pub struct Screen {
    terminal: Terminal<TermionBackend<BufWriter<Stderr>>>,
    /// Whether keys can be read.
    keys: bool,
}

impl Screen {
    /// Takes the terminal; [`give_back`] ends that, also in a panic.
    pub fn open() -> io::Result<Self> {
        let stderr = io::stderr();
        let modes = tcgetattr(&stderr)?;
        let before = BEFORE.get_or_init(|| modes);
        static PANICS: Once = Once::new();
        PANICS.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                report(panic);
            }));
        });
        // Ctrl-C stays a signal, as it is without a dashboard; Ctrl-Z would leave a shell on this screen.
        let mut modes = before.clone();
        modes
            .local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        modes.special_codes[SpecialCodeIndex::VSUSP] = 0;
        modes.special_codes[SpecialCodeIndex::VMIN] = 0;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        let backend = TermionBackend::new(BufWriter::new(io::stderr()));
        let viewport = Viewport::Fixed(size()?);
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport })?;
        OPEN.store(true, Ordering::SeqCst);
        tcsetattr(&stderr, OptionalActions::Now, &modes)?;
        write!(io::stderr(), "\x1b[?1049h\x1b[2J\x1b[?25l")?;
        Ok(Self {
            terminal,
            keys: io::stdin().is_terminal(),
        })
    }

    /// Draws what has changed, on all of the terminal.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame)) -> io::Result<()> {
        let size = size()?;
        if size != self.terminal.get_frame().area() {
            self.terminal.resize(size)?;
        }
        self.terminal.draw(render)?;
        Ok(())
    }

    /// The keys that were pressed; waits for the first as long as `patience`.
    pub fn keys(&mut self, patience: Duration) -> Vec<u8> {
        let stdin = io::stdin();
        let mut pressed = [0; 64];
        if self.keys {
            let timeout = Timespec::try_from(patience).expect("a short time");
            let mut input = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut input, Some(&timeout)) {
                Ok(0) => return Vec::new(),
                Ok(_) => match rustix::io::read(&stdin, &mut pressed) {
                    Ok(n) if n > 0 => return pressed[..n].to_vec(),
                    _ => self.keys = false, // it has been closed
                },
                Err(_) => {}
            }
        }
        std::thread::sleep(patience);
        Vec::new()
    }
}

/// Gives the terminal back as it was, if it was taken.
pub fn give_back() {
    if OPEN.swap(false, Ordering::SeqCst) {
        let _ = write!(io::stderr(), "\x1b[0m\x1b[?25h\x1b[?1049l");
        if let Some(before) = BEFORE.get() {
            let _ = tcsetattr(io::stderr(), OptionalActions::Now, before);
        }
    }
}

fn size() -> io::Result<Rect> {
    let size = tcgetwinsize(io::stderr())?;
    Ok(Rect::new(0, 0, size.ws_col, size.ws_row))
}
