use std::fmt::Display;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request gets no translation, as it is answered:
///
/// ```json
/// {"error":"beam_size: 99 is more than 16, which this server allows","code":"bad_request"}
/// ```
///
/// `error` is for people (and where LibreTranslate's and OpenNMT's clients look), `code` for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Display) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
            retry_after: None,
        }
    }

    /// What is asked for can't be.
    pub(crate) fn bad_request(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// What is asked for is more than the server allows.
    pub(crate) fn too_large(field: &str, found: usize, what: &str, most: usize) -> Self {
        let message =
            format!("{field}: {found} {what} are more than {most}, which this server allows");
        Self::new(StatusCode::BAD_REQUEST, "too_large", message)
    }

    pub(crate) fn unknown_model(asked: impl Display, known: &str) -> Self {
        let message = format!("model: there is no model {asked}; there is {known}");
        Self::new(StatusCode::NOT_FOUND, "unknown_model", message)
    }

    /// The server stops, or a model can't be had now.
    pub(crate) fn unavailable(code: &'static str, message: impl Display) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    pub(crate) fn queue_full(retry_after: u64) -> Self {
        let message = format!("too many texts wait already; try again in {retry_after} s");
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", message)
        }
    }

    pub(crate) fn timeout(seconds: f64) -> Self {
        let message = format!("no answer within {seconds} s, which this server allows");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
    }

    pub(crate) fn internal() -> Self {
        let message = "decoding failed; the server's log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The body of the answer.
    pub(crate) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Answer<'a> {
            error: &'a str,
            code: &'a str,
        }
        to_json(&Answer {
            error: &self.message,
            code: self.code,
        })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = json_text(self.to_json());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// An answer in JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    json_text(to_json(value))
}

/// An answer that is JSON already.
pub(crate) fn json_text(text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("answers have string keys and no failing field")
}
