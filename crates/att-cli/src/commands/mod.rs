//! One file a command.

pub mod average;
pub mod bench;
pub mod compare;
pub mod evaluate;
pub mod export_web;
pub mod faithful;
pub mod inspect;
#[cfg(feature = "remote")]
pub mod lend;
pub mod quantize;
pub mod quickstart;
pub mod report;
pub mod score;
pub mod serve;
pub mod shortlist;
pub mod train;
pub mod translate;
pub mod tree;

use std::error::Error;

/// How a command ended when nothing went wrong.
pub enum Outcome {
    /// All is done.
    Done,
    /// The user interrupted it; what was done is saved.
    Interrupted,
}

/// What a command returns; the error is printed as one line.
pub type CommandResult = Result<Outcome, Box<dyn Error>>;
