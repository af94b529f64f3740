use std::error::Error;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use att_core::ops::WeightFormat;
use att_server::{Languages, Limits, Loading, ModelSpec, Server, ServerConfig};
use clap::{Args, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

use super::{CommandResult, Outcome};
use crate::options::{DeviceOption, parse_bytes, read_token};

#[derive(Args)]
pub struct Options {
    /// Models: a directory, or NAME=DIR; NAME=DIR,DIR is an ensemble. The first answers where a request
    /// names none
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<ModelSpec>,
    /// The address to listen at; one that others can reach should have a --token-file
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    host: IpAddr,
    /// The port to listen at; 0 takes any that is free
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    port: u16,
    /// What a model translates between, for LibreTranslate's clients, such as g2p=en:ipa; once a model
    #[arg(long, value_name = "NAME=SOURCE:TARGET")]
    languages: Vec<NamedLanguages>,
    /// Ask each request for the token that this file holds (Authorization: Bearer)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What weights are rounded to on CPU: f32 (not at all), bf16 or int8; less is faster and not quite
    /// the same [default: as they are stored]
    #[arg(long, value_name = "FORMAT")]
    weights: Option<WeightFormat>,
    /// Lines decoded together at most, whichever requests they are from; changes speed, not results
    #[arg(long, default_value_t = ServerConfig::default().batch_size, value_name = "N")]
    batch_size: usize,
    /// Whether lines join those that are being decoded instead of waiting for them: true or false [default: on a
    /// GPU, where it costs nothing]
    #[arg(long, value_name = "BOOL")]
    continuous_batching: Option<bool>,
    /// Threads that decode [default: one a core; one on a GPU]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Lines that may wait; more are answered with 429
    #[arg(long, default_value_t = ServerConfig::default().queue_lines, value_name = "N")]
    queue: usize,
    /// Keep no more models in memory than this, such as 2G; the one not used for longest goes [default: all]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    max_memory: Option<u64>,
    /// Look at the files of loaded models so often, and load again what has changed; 0 never looks
    #[arg(long, default_value = "2", value_name = "SECONDS", value_parser = parse_seconds)]
    reload_every: Duration,
    /// The largest body of a request
    #[arg(long, default_value = "1M", value_name = "SIZE", value_parser = parse_bytes)]
    max_body: u64,
    /// The most texts of a request
    #[arg(long, default_value_t = Limits::default().texts, value_name = "N")]
    max_texts: usize,
    /// The most characters of a request: its texts, prefixes and phrases
    #[arg(long, default_value_t = Limits::default().chars, value_name = "N")]
    max_chars: usize,
    /// The most source tokens of a text
    #[arg(long, default_value_t = Limits::default().tokens, value_name = "N")]
    max_tokens: usize,
    /// The widest beam, and the most hypotheses, that a request may ask for
    #[arg(long, default_value_t = Limits::default().beam_size, value_name = "N")]
    max_beam_size: usize,
    /// The greatest max_len that a request may ask for
    #[arg(long, default_value_t = Limits::default().max_len, value_name = "N")]
    max_len: usize,
    /// How long a request may take from its body to its answer
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Duration,
    /// How long a client may take for the head of a request, and again for its body
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = parse_seconds)]
    read_timeout: Duration,
    /// How long a client may take nothing of an answer that is there for it before its connection is closed
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = parse_seconds)]
    write_timeout: Duration,
    /// How long requests under way may take once the server is told to stop
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = parse_seconds)]
    shutdown_timeout: Duration,
    /// Connections that may be open; others wait
    #[arg(long, default_value_t = ServerConfig::default().connections, value_name = "N")]
    max_connections: usize,
    /// What is logged to the standard error; info has a line for each request (never its texts)
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    log: Level,
    /// Log in JSON, an object a line
    #[arg(long)]
    log_json: bool,
    #[command(flatten)]
    device: DeviceOption,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Level {
    Error,
    #[default]
    Warn,
    Info,
    Debug,
}

/// A model's name with its languages.
#[derive(Clone, Debug)]
struct NamedLanguages {
    name: String,
    languages: Languages,
}

impl FromStr for NamedLanguages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(name, pair)| {
            let (source, target) = pair.split_once(':')?;
            let is_code = |code: &str| !code.is_empty() && !code.contains([':', '=']);
            (!name.is_empty() && is_code(source) && is_code(target)).then(|| Self {
                name: name.into(),
                languages: Languages {
                    source: source.into(),
                    target: target.into(),
                },
            })
        });
        parts.ok_or_else(|| format!("'{text}' is not NAME=SOURCE:TARGET, such as g2p=en:ipa"))
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok();
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("'{text}' is not a number of seconds"))
}

pub fn run(options: &Options) -> CommandResult {
    start_log(options);
    let loading = Loading {
        device: options.device.device.init()?,
        weights: options.weights,
    };
    let server = Server::start(options.config()?, options.models()?, loading)?;
    let stopper = server.stopper();
    let again = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if again.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(crate::INTERRUPTED));
        }
        eprintln!("stopping when all accepted requests are answered; Ctrl-C again leaves at once");
        stopper.stop();
    })?;
    let address = SocketAddr::new(options.host, options.port);
    let names: Vec<&str> = options
        .models
        .iter()
        .map(|model| model.name.as_str())
        .collect();
    if !options.host.is_loopback() && options.token_file.is_none() {
        eprintln!("warning: who can reach {address} can use it: there is no --token-file");
    }
    let summary = server.run(address, |address| {
        eprintln!(
            "serving {} at http://{address}; Ctrl-C stops",
            names.join(", ")
        );
    })?;
    eprintln!(
        "stopped; of {} accepted requests {} were answered",
        summary.accepted, summary.answered
    );
    Ok(Outcome::Done)
}

/// Warnings alone unless told.
fn start_log(options: &Options) {
    let level = match options.log {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    if options.log_json {
        log.json().flatten_event(true).init();
    } else {
        log.init();
    }
}

impl Options {
    fn config(&self) -> Result<ServerConfig, Box<dyn Error>> {
        Ok(ServerConfig {
            limits: Limits {
                body_bytes: usize::try_from(self.max_body)?,
                texts: self.max_texts,
                chars: self.max_chars,
                tokens: self.max_tokens,
                beam_size: self.max_beam_size,
                max_len: self.max_len,
            },
            batch_size: self.batch_size,
            continuous_batching: self.continuous_batching,
            queue_lines: self.queue,
            threads: self.threads,
            request_timeout: self.timeout,
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
            shutdown_timeout: self.shutdown_timeout,
            connections: self.max_connections,
            reload_every: (!self.reload_every.is_zero()).then_some(self.reload_every),
            max_memory: self.max_memory,
            token: self.token_file.as_deref().map(read_token).transpose()?,
        })
    }

    /// The models with their languages.
    fn models(&self) -> Result<Vec<ModelSpec>, String> {
        let mut models = self.models.clone();
        for NamedLanguages { name, languages } in &self.languages {
            let model = models.iter_mut().find(|model| model.name == *name);
            let model = model.ok_or_else(|| format!("--languages: there is no model '{name}'"))?;
            if model.languages.replace(languages.clone()).is_some() {
                return Err(format!(
                    "--languages: '{name}' has them already; serve it twice, by two names"
                ));
            }
        }
        Ok(models)
    }
}
