//! How the server does.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::app::App;
use crate::failure::{Failure, json_text};
use crate::metrics::Now;

/// `GET /health`: the process answers.
pub(super) async fn health() -> Response {
    json_text(r#"{"status":"ok"}"#)
}

/// `GET /ready`: it takes requests; 503 once it has been told to stop.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    if app.is_stopping() {
        return Err(Failure::unavailable("stopping", "the server stops"));
    }
    Ok(json_text(r#"{"status":"ready"}"#))
}

/// `GET /metrics`: counters for Prometheus.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let page = app.metrics.page(&Now {
        queue_lines: app.queue.len(),
        models: app.store.sizes(),
    });
    let mut response = Response::new(page.into());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// `GET /openapi.json`: all of this for programs.
pub(super) async fn openapi() -> Response {
    json_text(crate::OPENAPI)
}
