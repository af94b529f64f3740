//! Heat maps of one sentence.

use std::error::Error;
use std::io::{self, Write};

use att_inspect::{SvgHeads, SvgHeatmap, TerminalHeatmap, TerminalStyle, View, png, visible};

use super::records::Sentence;

/// Pixels of a PNG for each of the SVG's.
const SCALE: f32 = 2.0;

/// A sentence as SVG.
pub struct Drawing(String);

impl Drawing {
    /// Of one view, or of all heads.
    pub fn new(sentence: &Sentence, view: Option<View>) -> Result<Self, Box<dyn Error>> {
        let title = sentence.record.text.clone();
        let svg = match view {
            Some(view) => {
                let map = sentence
                    .record
                    .view(view)
                    .map_err(|error| sentence.at(error))?;
                let heatmap = SvgHeatmap {
                    title,
                    ..Default::default()
                };
                heatmap.render(&map)
            }
            None => {
                let heads = SvgHeads {
                    title,
                    ..Default::default()
                };
                heads
                    .render(&sentence.record)
                    .map_err(|error| sentence.at(error))?
            }
        };
        Ok(Self(svg))
    }

    pub fn svg(&self) -> &str {
        &self.0
    }

    pub fn png(&self) -> att_inspect::Result<Vec<u8>> {
        png(&self.0, SCALE)
    }
}

/// Prints a heat map of each view, each below a line that says what it is.
pub fn print(sentence: &Sentence, views: &[View]) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    let heatmap = TerminalHeatmap {
        style: TerminalStyle::of(&io::stdout()),
        width: terminal_width(),
        ..Default::default()
    };
    let record = &sentence.record;
    for view in views {
        let map = record.view(*view).map_err(|error| sentence.at(error))?;
        if let Some(id) = &record.id {
            write!(out, "{}: ", visible(id))?;
        }
        let text = visible(&record.text);
        match view {
            View::Weights => writeln!(out, "{text}")?,
            view => writeln!(out, "{text} ({view})")?,
        }
        writeln!(out, "{}", heatmap.render(&map))?;
    }
    Ok(())
}

/// How many columns the terminal has, if there is one.
#[cfg(unix)]
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

#[cfg(not(unix))]
fn terminal_width() -> Option<usize> {
    None
}
