use std::io::{self, Write};
use std::path::PathBuf;

use att_train::TensorBoard;
use clap::Args;

use super::{CommandResult, Outcome};
use crate::report;

#[derive(Args)]
pub struct Options {
    /// The run's directory, as `att train` leaves it
    run: PathBuf,
    /// Also write the run's figures for TensorBoard
    #[arg(long)]
    tensorboard: bool,
}

pub fn run(options: &Options) -> CommandResult {
    let written = report::write(&options.run)?;
    writeln!(io::stdout(), "{}", written.display())?;
    if options.tensorboard {
        TensorBoard::begin(&options.run)?;
    }
    Ok(Outcome::Done)
}
