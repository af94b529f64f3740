//! `att serve`: started as a process, asked over a connection, stopped by a signal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::*;

/// A server that runs; its process ends with this.
struct Server {
    process: Child,
    /// What it says on the standard error.
    says: BufReader<std::process::ChildStderr>,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut process = att(&["serve"])
            .args(arguments)
            .args(["--port", "0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut says = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(says.read_line(&mut line).unwrap(), 0, "it ended");
            if let Some((_, address)) = line.split_once(" at http://") {
                break address.split_once(';').unwrap().0.to_string();
            }
        };
        Self {
            process,
            says,
            address,
        }
    }

    /// The status and the body of the answer.
    fn ask(&self, request: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_string())
    }

    fn translate(&self, body: &Value) -> Value {
        let kind = "content-type: application/json\r\n";
        let (status, text) = self.ask("POST /v1/translate", kind, &body.to_string());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Ends it as a system does, and returns all that it still says.
    fn terminate(mut self) -> String {
        let id = self.process.id().to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status();
        assert!(kill.unwrap().success());
        let mut rest = String::new();
        self.says.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success(), "{rest}");
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_says_what_the_command_line_says_and_stops_in_good_order() {
    let named = format!("words={}", model());
    let server = Server::start(&[&*named, "--languages", "words=aa:bb"]);
    let lines = ["abc", "cab", "", "ba", "cb"];
    let answer = server.translate(&json!({"text": lines, "model": "words", "beam_size": 4}));
    let input = lines.join("\n") + "\n";
    let output = run_with_input(
        &["translate", model(), "--beam-size", "4"],
        input.as_bytes(),
    );
    let texts = answer["translations"].as_array().unwrap().iter();
    let texts: Vec<&str> = texts.map(|text| text["text"].as_str().unwrap()).collect();
    assert_eq!(texts, stdout(&output).lines().collect::<Vec<_>>());
    let (status, languages) = server.ask("GET /languages", "", "");
    assert_eq!(
        (status, languages.as_str()),
        (200, r#"[{"code":"aa","name":"aa","targets":["bb"]}]"#)
    );
    let said = server.terminate();
    assert!(
        said.contains("of 1 accepted requests 1 were answered"),
        "{said}"
    );
    assert!(!said.contains("INFO"), "quiet unless told: {said}");
}

#[test]
fn logs_are_lines_of_json_where_that_is_asked_for() {
    let folder = Folder::new();
    let token = folder.write("token", "a-secret\n");
    let server = Server::start(&[
        model(),
        "--log",
        "info",
        "--log-json",
        "--token-file",
        text(&token),
    ]);
    let (status, _) = server.ask("GET /metrics", "", "");
    assert_eq!(status, 401);
    let (status, page) = server.ask("GET /metrics", "authorization: Bearer a-secret\r\n", "");
    assert_eq!(status, 200);
    assert!(page.contains("status=\"401\"} 1"), "{page}");
    let said = server.terminate();
    let logged = said.lines().filter(|line| line.starts_with('{'));
    let logged: Vec<Value> = logged
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let requests = logged.iter().filter(|event| event["message"] == "request");
    assert_eq!(
        requests
            .map(|event| event["status"].as_u64())
            .collect::<Vec<_>>(),
        [Some(401), Some(200)]
    );
    assert!(!said.contains("a-secret"), "{said}");
}

#[test]
fn what_it_can_not_serve_is_refused() {
    let folder = Folder::new();
    let empty = folder.write("empty", "\n");
    let damaged = copy_of_model();
    std::fs::write(damaged.path().join("model.safetensors"), b"no weights").unwrap();
    let damaged_named = format!("damaged={}", text(damaged.path()));
    let named = format!("a={}", model());
    for (arguments, parts) in [
        (vec!["nowhere"], vec!["nowhere", "config.toml"]),
        (
            vec![model(), &*damaged_named],
            vec!["'damaged'", "model.safetensors"],
        ),
        (vec![&*named, &*named], vec!["'a'", "two models"]),
        (
            vec![model(), "--token-file", "nowhere"],
            vec!["cannot read nowhere"],
        ),
        (
            vec![model(), "--token-file", text(&empty)],
            vec!["token", "not empty"],
        ),
        (vec![&*named, "--languages", "b=x:y"], vec!["no model 'b'"]),
        (
            vec![&*named, "--languages", "a=x:y", "--languages", "a=y:x"],
            vec!["'a'"],
        ),
        (vec![model(), "--batch-size", "0"], vec!["batch_size"]),
        (vec![model(), "--max-memory", "1K"], vec!["max_memory"]),
        (
            vec![model(), "--host", "192.0.2.1"],
            vec!["cannot listen at 192.0.2.1"],
        ),
    ] {
        let all = [&["serve", "--port", "0"][..], &arguments].concat();
        refused(&run(&all), &parts);
    }
    for (arguments, part) in [
        (vec!["serve"], "<MODEL>"),
        (vec!["serve", "a b=c"], "NAME=DIR"),
        (
            vec!["serve", model(), "--languages", "x"],
            "NAME=SOURCE:TARGET",
        ),
        (vec!["serve", model(), "--timeout=-1"], "number of seconds"),
    ] {
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
}
