//! A server that is told to stop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::json;

use super::connections::{Listening, allow_endless, endless, exchange, post};
use crate::Summary;

/// Clients that send one request after the other, some on new connections, count the answers that they
/// get; the server counts the requests that it accepts.
#[test]
fn all_that_was_accepted_is_answered() {
    let server = Listening::new(|_| {});
    let answered = AtomicU64::new(0);
    scope(|scope| {
        for client in 0..12 {
            let (server, answered) = (&server.address, &answered);
            scope.spawn(move || {
                let mut stream = None;
                for n in 0.. {
                    if client % 3 == 0 {
                        stream = None;
                    }
                    let connected = match stream.take() {
                        Some(stream) => Ok(stream),
                        None => std::net::TcpStream::connect(server),
                    };
                    let Ok(mut connected) = connected else { return };
                    let patience = Some(Duration::from_secs(30));
                    connected.set_read_timeout(patience).unwrap();
                    let text = "abcd".repeat(n % 5 + 1);
                    let ask = post(&json!({"text": text, "min_len": 8}));
                    // Nothing of an answer, or all of it.
                    let Some((head, _)) = exchange(&mut connected, &ask) else {
                        return;
                    };
                    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    if !head.contains("connection: close") {
                        stream = Some(connected);
                    }
                }
            });
        }
        sleep(Duration::from_millis(700));
        server.stopper.stop();
    });
    let Summary {
        accepted,
        answered: by_server,
    } = server.stop();
    let answered = answered.into_inner();
    assert!(answered > 12, "{answered} are no load");
    assert_eq!((accepted, by_server), (answered, answered));
}

#[test]
fn what_takes_too_long_is_not_waited_for() {
    let server = Listening::new(|config| {
        allow_endless(config);
        config.shutdown_timeout = Duration::from_millis(300);
    });
    let mut stream = server.connect();
    let waiting = std::thread::spawn(move || exchange(&mut stream, &endless()));
    sleep(Duration::from_millis(200));
    let begun = Instant::now();
    let summary = server.stop();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(
        summary,
        Summary {
            accepted: 1,
            answered: 0
        }
    );
    assert_eq!(waiting.join().unwrap(), None);
}

#[test]
fn one_that_does_nothing_stops_at_once() {
    let server = Listening::new(|_| {});
    let idle = server.connect();
    exchange(
        &mut server.connect(),
        "GET /health HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .unwrap();
    drop(idle);
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(5));
}
