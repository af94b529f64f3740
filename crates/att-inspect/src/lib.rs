//! x
mod alignment;
mod axis;
mod canvas;
mod chart;
mod color;
mod error;
mod label;
mod map;
mod record;
mod scale;
mod stats;
mod svg;
mod terminal;

pub use alignment::{Alignment, Link, hard_alignment};
pub use chart::{LineChart, Series};
pub use color::{ColorScale, Rgb};
pub use error::{Error, Result};
pub use map::AttentionMap;
pub use record::AttentionRecord;
pub use scale::Scale;
pub use stats::{coverage, entropy, mean_entropy, sharpness};
pub use svg::SvgHeatmap;
pub use terminal::{TerminalHeatmap, TerminalStyle};
