//! The server as its clients meet it, most of it without a network.

mod auth;
mod batching;
mod bodies;
mod connections;
mod fuzz;
mod libretranslate;
mod limits;
mod native;
mod openapi;
mod opennmt;
mod status;
mod stopping;
mod streams;
mod studio;

use std::path::Path;
use std::sync::Arc;

use att_decoder::search::SearchConfig;
use att_model::{Translation, Translator};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use burn::tensor::Device;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use crate::test_support::{loading, make_model_with, spec};
use crate::{Languages, Server, ServerConfig};

/// A server of three small models, and the folder with them: `letters`, which has attention and translates
/// from `aa` into `bb`, `summary`, which has none, and `other`, from `cc` into `bb`.
struct TestServer {
    folder: TempDir,
    server: Server,
    router: Router,
}

/// An answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    #[track_caller]
    fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// It must be an error of this status and code whose message holds all of `parts`.
    #[track_caller]
    fn refused(&self, status: u16, code: &str, parts: &[&str]) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        let error = self.json();
        assert_eq!(error["code"], code, "{}", self.text);
        let message = error["error"].as_str().unwrap();
        for part in parts {
            assert!(message.contains(part), "'{part}' is not in: {message}");
        }
    }
}

impl TestServer {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let search = SearchConfig {
            beam_size: 3,
            n_best: 2,
            max_len: 8,
            ..Default::default()
        };
        let luong = "kind = 'luong', d_attentional = 5";
        let summary = "kind = 'summary', d_output = 5";
        for (seed, (name, decoder)) in [("letters", luong), ("summary", summary), ("other", luong)]
            .into_iter()
            .enumerate()
        {
            make_model_with(&path(name), seed as u64 + 1, decoder, search.clone());
        }
        let languages = |source: &str| {
            Some(Languages {
                source: source.into(),
                target: "bb".into(),
            })
        };
        let mut models = ["letters", "summary", "other"].map(|name| spec(name, &path(name)));
        models[0].languages = languages("aa");
        models[2].languages = languages("cc");
        let mut config = ServerConfig {
            threads: Some(2),
            ..Default::default()
        };
        change(&mut config);
        let server = Server::start(config, models.into(), loading()).unwrap();
        let router = server.router();
        Self {
            folder,
            server,
            router,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(json_request(path, body)).await
    }

    async fn translate(&self, body: Value) -> Answer {
        self.post("/v1/translate", body.to_string()).await
    }
}

fn json_request(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: head.status,
        headers: head.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

/// What the model in a directory says by itself.
fn alone(path: &Path, lines: &[&str], search: &SearchConfig) -> Vec<Translation> {
    let translator = Translator::load(path, &Device::flex()).unwrap();
    let one = |line: &&str| translator.translate(&[line], search).unwrap().remove(0);
    lines.iter().map(one).collect()
}

/// The search of the models of [`TestServer`].
fn own_search(server: &TestServer) -> SearchConfig {
    let model = server.server.app.store.list().next().unwrap();
    let loaded: Arc<_> = model.loaded.unwrap();
    loaded.translator.directory().search.clone()
}

#[track_caller]
fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
}
