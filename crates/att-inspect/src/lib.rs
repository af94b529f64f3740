//! Reading attention: what did a model look at while it wrote, and what else did it weigh?
//!
//! Everything here works on plain data, tokens and weights, without tensors. A model's attention
//! comes in as an [`AttentionMap`]; out come alignments, statistics, heat maps and JSON lines.
//!
//! ```
//! use att_inspect::{Alignment, AttentionMap, SvgHeatmap, TerminalHeatmap, mean_entropy};
//!
//! let tokens = |text: &str| text.split(' ').map(String::from).collect();
//! let map = AttentionMap::new(
//!     tokens("c a t"),
//!     tokens("K AE T"),
//!     vec![
//!         1.0, 0.0, 0.0, // K looks at c
//!         0.2, 0.8, 0.0, // AE looks at a, and a little at c
//!         0.0, 0.5, 0.5,
//!     ],
//! )?;
//!
//! assert_eq!(Alignment::of(&map).to_string(), "0-0 1-1 1-2");
//! assert!(mean_entropy(&map) < 0.4);
//!
//! let drawing = TerminalHeatmap::default().render(&map);
//! let lines: Vec<&str> = drawing.lines().map(str::trim_end).collect();
//! assert_eq!(lines, [
//!     "   c a t",
//!     " K ██",
//!     "AE ░░▓▓",
//!     " T   ▒▒▒▒",
//!     "rows: target, columns: source, weight: 0  ░▒▓█ 1.00",
//! ]);
//!
//! let svg = SvgHeatmap { title: "cat".into(), ..Default::default() }.render(&map);
//! assert!(svg.starts_with("<svg "));
//! # Ok::<(), att_inspect::Error>(())
//! ```
//!
//! | what | where |
//! | --- | --- |
//! | tokens and weights of one output, checked | [`AttentionMap`] |
//! | a line of an attention file (JSON lines) | [`AttentionRecord`] |
//! | the argmax of each row; the Pharaoh format | [`hard_alignment`], [`Alignment`], [`Link`] |
//! | how sharp or flat the weights are | [`entropy`], [`mean_entropy`], [`sharpness`] |
//! | how much attention each source token got | [`coverage`] |
//! | a heat map in the terminal | [`TerminalHeatmap`], [`TerminalStyle`] |
//! | a heat map as SVG | [`SvgHeatmap`] |
//! | all that a search weighed, and its drawing as SVG | [`SearchTree`], [`SvgTree`] |
//! | what the colours mean | [`ColorScale`], [`Scale`] |
//! | a line chart as SVG, for reports | [`LineChart`], [`Series`] |
//! | a bar chart of ratios or amounts as SVG | [`BarChart`], [`BarGroup`], [`BarScale`] |
//!
//! Drawings are strings; nothing here prints. They are safe to print whatever the tokens hold:
//! control characters, which could steer a terminal or break XML, are replaced.

mod alignment;
mod axis;
mod bars;
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
mod tree;

pub use alignment::{Alignment, Link, hard_alignment};
pub use bars::{BarChart, BarGroup, BarScale};
pub use chart::{LineChart, Series};
pub use color::ColorScale;
pub use error::{Error, Result};
pub use map::AttentionMap;
pub use record::AttentionRecord;
pub use scale::Scale;
pub use stats::{coverage, entropy, mean_entropy, sharpness};
pub use svg::SvgHeatmap;
pub use terminal::{TerminalHeatmap, TerminalStyle};
pub use tree::{Fate, SearchTree, SvgTree, TreeNode};
