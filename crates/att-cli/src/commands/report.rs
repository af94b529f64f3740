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
    println!("{}", report::write(&options.run)?.display());
    if options.tensorboard {
        TensorBoard::begin(&options.run)?;
    }
    Ok(Outcome::Done)
}
