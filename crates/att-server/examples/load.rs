//! Load for a server that runs: sends the lines of a file, one a request, over several connections at a time, and
//! prints what that took as one JSON object for each number of connections.
//!
//! ```console
//! $ att serve runs/g2p --port 8080 &
//! $ att translate runs/g2p --input words.txt > expected.txt
//! $ cargo run --release -p att-server --example load -- --input words.txt --expected expected.txt \
//!       --requests 50000 --connections 64 --pid $!
//! ```
//!
//! With `--expected` each answer is compared with its line, as `att translate` wrote it; with `--pid` the memory of
//! the server is read ten times, evenly spaced. It speaks to this machine alone.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;
use serde_json::{Value, json};

/// How often memory is read.
const MEMORY_SAMPLES: usize = 10;

/// Send requests of translations to a server on this machine and measure it.
#[derive(Parser)]
struct Options {
    /// The server's port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Texts, a line each; they are sent again and again
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// What `att translate` says of each of them
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// How many requests for each number of connections
    #[arg(long, default_value_t = 2000, value_name = "N")]
    requests: usize,
    /// How many connections at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64], value_name = "N")]
    connections: Vec<usize>,
    /// Ask for this width of the beam [default: the model's own]
    #[arg(long, value_name = "N")]
    beam_size: Option<usize>,
    /// Stop sending after so many seconds
    #[arg(long, default_value_t = 600.0, value_name = "SECONDS")]
    max_seconds: f64,
    /// The server's process, whose memory is looked at
    #[arg(long, value_name = "ID")]
    pid: Option<u32>,
    /// A word for the output, such as what the server was started with
    #[arg(long, value_name = "WORD")]
    label: Option<String>,
}

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    connections: usize,
    /// Requests that were answered.
    requests: usize,
    seconds: f64,
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Answers that are not 200.
    failed: usize,
    /// Answers that are not what was expected; none where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    differing: Option<usize>,
    /// Of the server, evenly spaced, from the first to the last request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    memory_mib: Vec<f64>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: some answers were not as they should be");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all answers were as they should be.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let read = |path: &PathBuf| -> Result<Vec<String>, String> {
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(text.lines().map(String::from).collect())
    };
    let input = read(&options.input)?;
    let expected = options.expected.as_ref().map(read).transpose()?;
    if input.is_empty() {
        return Err(format!("{} has no lines", options.input.display()).into());
    }
    if expected
        .as_ref()
        .is_some_and(|expected| expected.len() != input.len())
    {
        return Err("--expected has not as many lines as --input".into());
    }
    let body = |line: &String| {
        let mut body = json!({"text": line});
        if let Some(beam_size) = options.beam_size {
            body["beam_size"] = json!(beam_size);
            body["n_best"] = json!(1);
        }
        body.to_string()
    };
    let load = Load {
        address: (Ipv4Addr::LOCALHOST, options.port).into(),
        bodies: input.iter().map(body).collect(),
        expected,
        requests: options.requests,
        until: Duration::from_secs_f64(options.max_seconds),
        pid: options.pid,
    };
    let mut good = true;
    for &connections in &options.connections {
        let mut report = load.send(connections)?;
        report.label = options.label.as_deref();
        good &= report.failed == 0 && report.differing.unwrap_or(0) == 0;
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(good)
}

struct Load {
    address: SocketAddr,
    bodies: Vec<String>,
    expected: Option<Vec<String>>,
    requests: usize,
    until: Duration,
    pid: Option<u32>,
}

impl Load {
    fn send(&self, connections: usize) -> Result<Report<'_>, String> {
        let next = AtomicUsize::new(0);
        let [failed, differing] = [(); 2].map(|()| AtomicUsize::new(0));
        let memory = Mutex::new(Vec::new());
        let begun = Instant::now();
        let client = || -> std::io::Result<Vec<Duration>> {
            let mut connection = Connection::open(self.address)?;
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.requests || begun.elapsed() > self.until {
                    return Ok(times);
                }
                // Ten times, the last request among them.
                if (number + 1) * MEMORY_SAMPLES / self.requests
                    > number * MEMORY_SAMPLES / self.requests
                {
                    memory
                        .lock()
                        .expect("no panic")
                        .extend(self.pid.and_then(memory_of));
                }
                let line = number % self.bodies.len();
                let sent = Instant::now();
                let (status, answer) = connection.post(&self.bodies[line])?;
                times.push(sent.elapsed());
                if status != 200 {
                    failed.fetch_add(1, Ordering::Relaxed);
                } else if let Some(expected) = &self.expected
                    && text_of(&answer).as_deref() != Some(&expected[line])
                {
                    differing.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let times = thread::scope(|scope| {
            let clients: Vec<_> = (0..connections).map(|_| scope.spawn(client)).collect();
            let times = clients
                .into_iter()
                .map(|client| client.join().expect("no panic"));
            times.collect::<Result<Vec<_>, _>>()
        });
        let times = times.map_err(|error| format!("no answer from {}: {error}", self.address))?;
        let seconds = begun.elapsed().as_secs_f64();
        let mut times: Vec<f64> = times
            .concat()
            .iter()
            .map(|time| time.as_secs_f64() * 1e3)
            .collect();
        times.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let place = (q * times.len() as f64).ceil() as usize;
            times
                .get(place.saturating_sub(1))
                .copied()
                .unwrap_or(f64::NAN)
        };
        Ok(Report {
            label: None,
            connections,
            requests: times.len(),
            seconds,
            requests_per_second: times.len() as f64 / seconds,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            max_ms: quantile(1.0),
            failed: failed.into_inner(),
            differing: self.expected.as_ref().map(|_| differing.into_inner()),
            memory_mib: memory.into_inner().expect("no panic"),
        })
    }
}

/// The best translation in an answer.
fn text_of(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    Some(answer["translations"][0]["text"].as_str()?.to_string())
}

/// The resident set of a process, on Linux.
fn memory_of(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// A connection that stays open.
struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// The status and the body of the answer.
    fn post(&mut self, body: &str) -> std::io::Result<(u16, Vec<u8>)> {
        let request = format!(
            "POST /v1/translate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let bad = |what: &str| std::io::Error::other(what.to_string());
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| bad("no HTTP"))?;
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().ok();
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut answer = vec![0; length.ok_or_else(|| bad("an answer without a length"))?];
        self.stream.read_exact(&mut answer)?;
        Ok((status, answer))
    }
}
