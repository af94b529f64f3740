//! Clients that behave badly on a real connection, all of it on this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::{Stopper, Summary};

/// A server that listens, until it is stopped.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) stopper: Stopper,
    running: JoinHandle<Summary>,
    _folder: TempDir,
}

impl Listening {
    pub(super) fn new(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let TestServer { folder, server, .. } = TestServer::with(change);
        let stopper = server.stopper();
        let (told, listening) = channel();
        let running = spawn(move || {
            let address = "127.0.0.1:0".parse().unwrap();
            server
                .run(address, |address| told.send(address).unwrap())
                .unwrap()
        });
        Self {
            address: listening.recv().unwrap(),
            stopper,
            running,
            _folder: folder,
        }
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }

    pub(super) fn stop(self) -> Summary {
        self.stopper.stop();
        self.running.join().unwrap()
    }

    fn metric(&self, name: &str) -> String {
        let page = exchange(&mut self.connect(), &get("/metrics")).unwrap().1;
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_string()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

pub(super) fn post(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST /v1/translate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request and reads the answer: its head and its body. None where the connection is closed before
/// anything of an answer has come.
///
/// # Panics
///
/// If it is closed within an answer.
pub(super) fn exchange(stream: &mut TcpStream, request: &str) -> Option<(String, String)> {
    stream.write_all(request.as_bytes()).ok()?;
    read_answer(stream)
}

fn read_answer(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let mut more = |bytes: &mut Vec<u8>| {
        let n = stream.read(&mut buffer).unwrap_or(0);
        bytes.extend_from_slice(&buffer[..n]);
    };
    let head = loop {
        let before = bytes.len();
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
        }
        more(&mut bytes);
        if bytes.len() == before {
            assert!(bytes.is_empty(), "half an answer: {bytes:?}");
            return None;
        }
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length
        .unwrap_or_else(|| panic!("no length: {head}"))
        .parse()
        .unwrap();
    while bytes.len() < length {
        let before = bytes.len();
        more(&mut bytes);
        assert!(bytes.len() > before, "half an answer: {head}");
    }
    Some((head, String::from_utf8(bytes).unwrap()))
}

/// Looks again and again, for some seconds at most.
#[track_caller]
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_connection_carries_many_requests() {
    let server = Listening::new(|_| {});
    let mut stream = server.connect();
    let (head, first) = exchange(&mut stream, &post(&json!({"text": "abcd"}))).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for _ in 0..5 {
        let (_, again) = exchange(&mut stream, &post(&json!({"text": "abcd"}))).unwrap();
        assert_eq!(again, first);
    }
    let summary = server.stop();
    assert_eq!((summary.accepted, summary.answered), (6, 6));
}

#[test]
fn slow_clients_are_not_waited_for() {
    let server = Listening::new(|config| config.read_timeout = Duration::from_millis(200));
    // Of a head that never ends ...
    let mut stream = server.connect();
    stream
        .write_all(b"POST /v1/translate HTTP/1.1\r\nhost: ")
        .unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "the connection is closed"
    );
    // ... of one that never begins ...
    let mut stream = server.connect();
    let _ = stream.read_to_end(&mut rest);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "the connection is closed"
    );
    // ... and of a body.
    let mut stream = server.connect();
    let half = post(&json!({"text": "abcd"}));
    let (head, body) = exchange(&mut stream, &half[..half.len() - 3]).unwrap();
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert!(body.contains("slow_body"), "{body}");
    // Others do not notice.
    exchange(&mut server.connect(), &get("/health")).unwrap();
    server.stop();
}

#[test]
fn who_does_not_read_is_not_waited_for() {
    let server = Listening::new(|config| {
        config.write_timeout = Duration::from_millis(200);
        config.connections = 1;
    });
    // More than the system keeps for a connection.
    let many = get("/openapi.json").repeat(1000);
    let mut stream = server.connect();
    stream.write_all(many.as_bytes()).unwrap();
    let next = exchange(&mut server.connect(), &get("/health"));
    assert!(next.is_some(), "the only connection is free again");
    drop(stream);
    server.stop();
}

#[test]
fn a_stream_that_nobody_reads_ends_its_decoding() {
    let server = Listening::new(|config| {
        allow_endless(config);
        config.write_timeout = Duration::from_millis(200);
    });
    let mut stream = server.connect();
    let request = post(&json!({
        "text": "abcd".repeat(100), "beam_size": 1, "n_best": 1, "min_len": 65_000, "max_len": 65_000,
        "attention": true, "stream": true,
    }));
    stream.write_all(request.as_bytes()).unwrap();
    wait_for("it is called off", || {
        server.metric("att_translations_cancelled_total ") == "1"
    });
    drop(stream);
    server.stop();
}

#[test]
fn a_body_that_is_too_large_gets_its_answer() {
    let server = Listening::new(|_| {});
    let large = post(&json!({"text": "a".repeat(10 << 20)}));
    let (head, body) = exchange(&mut server.connect(), &large).unwrap();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert!(body.contains("1048576"), "{body}");
    server.stop();
}

#[test]
fn what_is_no_http_costs_its_connection_alone() {
    let server = Listening::new(|_| {});
    for nonsense in [
        "\0\0\0\r\n\r\n",
        "GET / HTTP/9\r\n\r\n",
        "\x16\x03\x01\r\n\r\n",
        "GET\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(nonsense.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(1 << 20));
    let _ = server.connect().write_all(long.as_bytes());
    exchange(&mut server.connect(), &get("/health")).unwrap();
    server.stop();
}

/// A request that keeps a thread busy for minutes.
pub(super) fn endless() -> String {
    post(&json!({
        "text": vec!["abcd"; 128], "beam_size": 1, "n_best": 1, "min_len": 65_000, "max_len": 65_000,
    }))
}

pub(super) fn allow_endless(config: &mut ServerConfig) {
    config.threads = Some(1);
    config.limits.max_len = 65_000;
    config.request_timeout = Duration::from_secs(600);
}

/// Decoding ends where nobody waits for it: else the next answer would come too late.
#[test]
fn a_client_that_goes_ends_its_decoding() {
    let server = Listening::new(allow_endless);
    let mut stream = server.connect();
    stream.write_all(endless().as_bytes()).unwrap();
    wait_for("it is accepted", || {
        server.metric("att_translations_accepted_total ") == "1"
    });
    drop(stream);
    wait_for("it is called off", || {
        server.metric("att_translations_cancelled_total ") == "1"
    });
    let (head, _) = exchange(&mut server.connect(), &post(&json!({"text": "abcd"}))).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200"),
        "the only thread is free again: {head}"
    );
    server.stop();
}
