use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use att_core::remote::Lender;
use clap::Args;
use tracing_subscriber::filter::LevelFilter;

use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, read_token};

#[derive(Args)]
pub struct Options {
    /// The address to listen at; port 0 is any free one. One that others can reach should have a
    /// --token-file, and be on a network that is trusted: nothing is encrypted
    #[arg(long, default_value = "127.0.0.1:4000", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Lend to those alone who have the token that this file holds, in their environment variable
    /// ATT_DEVICE_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(options: &Options) -> CommandResult {
    let token = options.token_file.as_deref().map(read_token);
    let device = options.device.device;
    let lender = Lender::new(device, options.listen, token.transpose()?)?;
    if !options.listen.ip().is_loopback() && options.token_file.is_none() {
        let address = options.listen;
        eprintln!("warning: who can reach {address} can compute here: there is no --token-file");
    }
    // Before burn's server has its own, which writes to the standard output.
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let mut out = io::stdout().lock();
    writeln!(out, "{device} is lent as {}", lender.name()?)?;
    out.flush()?;
    drop(out);
    lender.serve()?;
    Ok(Outcome::Done)
}
