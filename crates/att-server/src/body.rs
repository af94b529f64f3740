//! What a client sends, as JSON.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, SeqAccess, Visitor};

use crate::app::App;
use crate::failure::Failure;

/// A body that is too large is still read up to so many times what is allowed, and thrown away: who closes a
/// connection while the client writes may take the answer away from it.
const READ_TO_THE_END: usize = 32;

/// The body of a request, read from JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let (head, body) = request.into_parts();
        let most = app.config.limits.body_bytes;
        let time = app.config.read_timeout;
        let bytes = tokio::time::timeout(time, read(body, most)).await;
        let bytes = bytes.map_err(|_| {
            let message = format!("the body did not come within {} s", time.as_secs_f64());
            Failure::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message)
        })??;
        if !is_json(&head.headers) {
            let message = "send JSON, with the header `Content-Type: application/json`";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Failure::new(status, "not_json", message));
        }
        parse(&bytes).map(Self)
    }
}

async fn read(body: Body, most: usize) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        let message = format!("the body is larger than {most} bytes, which this server allows");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    };
    let announced = body.size_hint().lower();
    if announced > (most as u64).saturating_mul(READ_TO_THE_END as u64) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut length = 0usize;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Failure::bad_request(format_args!("body: {error}")))?;
        length += chunk.len();
        if length <= most {
            bytes.extend_from_slice(&chunk);
        } else if length > most.saturating_mul(READ_TO_THE_END) {
            break;
        }
    }
    if length > most {
        return Err(too_large());
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Reads JSON; the error names the field where one is wrong.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match path.as_str() {
            "." => Failure::bad_request(error),
            field => Failure::bad_request(format_args!("{field}: {error}")),
        }
    })?;
    json.end().map_err(Failure::bad_request)?;
    Ok(value)
}

/// A text or a list of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Texts {
    One(String),
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts::One(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Texts::Many(texts))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl Texts {
    /// All of them.
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_place() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Asked {
            text: Texts,
            n: Option<usize>,
        }
        let error = |body: &str| parse::<Asked>(body.as_bytes()).unwrap_err().message;
        assert!(error("{\"text\":").contains("line 1 column 8"));
        assert!(
            error("{\"text\":7}").starts_with("text: invalid type: integer `7`, expected a text")
        );
        assert!(error("{\"text\":[\"a\",null]}").starts_with("text[1]: "));
        assert!(error("{\"text\":\"a\",\"n\":-1}").starts_with("n: invalid value: integer `-1`"));
        assert!(
            error("{\"text\":\"a\",\"m\":1}").contains("unknown field `m`, expected `text` or `n`")
        );
        assert!(error("{}").contains("missing field `text`"));
        assert!(error("{\"text\":\"a\"} x").contains("trailing characters"));
        let surrogate = error("{\"text\":\"\\ud800\"}");
        assert!(
            surrogate.starts_with("text: ") && surrogate.contains("escape"),
            "{surrogate}"
        );
    }
}
