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
//! | subwords merged to words | [`AttentionMap::merged`], [`AttentionRecord::merged`] |
//! | layers, heads, and their means | [`View`] |
//! | the argmax of each row; the Pharaoh format | [`hard_alignment`], [`Alignment`], [`Link`] |
//! | links by threshold, or of two directions | [`AlignmentMethod`], [`Symmetrization`] |
//! | how sharp or flat the weights are | [`entropy`], [`mean_entropy`], [`sharpness`] |
//! | how much attention each source token got | [`coverage`] |
//! | these and more, of a corpus | [`AttentionNumbers`], [`NumbersSum`] |
//! | which head aligns best | [`alignment_error_rate`], [`agreement`], [`mutual_agreement`], [`Fit`] |
//! | a heat map in the terminal | [`TerminalHeatmap`], [`TerminalStyle`] |
//! | a heat map as SVG | [`SvgHeatmap`], [`SvgHeads`] |
//! | an SVG as PNG (feature `png`) | `png` |
//! | a page to look at a whole test set | [`AttentionPage`] |
//! | all that a search weighed, and its drawing as SVG | [`SearchTree`], [`SvgTree`] |
//! | text that a terminal can be given | [`visible`] |
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
mod heads;
mod label;
mod map;
mod numbers;
mod page;
#[cfg(feature = "png")]
mod png;
mod ranking;
mod record;
mod scale;
mod stats;
mod svg;
mod symmetrize;
mod terminal;
mod tree;
mod view;
mod words;

pub use alignment::{Alignment, END, Link, hard_alignment};
pub use bars::{BarChart, BarGroup, BarScale};
pub use canvas::escape;
pub use chart::{LineChart, Series};
pub use color::ColorScale;
pub use error::{Error, Result};
pub use heads::SvgHeads;
pub use label::visible;
pub use map::AttentionMap;
pub use numbers::{AttentionNumbers, NumbersSum};
pub use page::AttentionPage;
#[cfg(feature = "png")]
pub use png::png;
pub use ranking::{Fit, agreement, alignment_error_rate, mutual_agreement};
pub use record::AttentionRecord;
pub use scale::Scale;
pub use stats::{coverage, entropy, mean_entropy, sharpness};
pub use svg::SvgHeatmap;
pub use symmetrize::{AlignmentMethod, Symmetrization};
pub use terminal::{TerminalHeatmap, TerminalStyle};
pub use tree::{Fate, SearchTree, SvgTree, TreeNode};
pub use view::View;
