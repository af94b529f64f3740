//! The studio: its page, and the answers that it shows.

use std::sync::Arc;

use att_studio::{CONTENT_SECURITY_POLICY, FILES, NamedAnswer, PageFile};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::{App, Ask};
use crate::body::Json;
use crate::failure::{Failure, json};

/// `POST /v1/explain`: a translation with all that explains it.
pub(super) async fn explain(
    State(app): State<Arc<App>>,
    Json(request): Json<att_studio::Request>,
) -> Result<Response, Failure> {
    let answer = app.translate(Ask {
        model: app.store.find(request.model.as_deref())?,
        lines: vec![request.translation()],
        changes: request.search.clone(),
        explains: Some(request),
        ..Ask::default()
    });
    let answer = answer.await?;
    Ok(json(&NamedAnswer {
        model: &answer.model.name,
        answer: answer.explained,
    }))
}

/// `GET /` and `GET /studio`.
pub(super) async fn to_page() -> Response {
    Redirect::temporary("/studio/").into_response()
}

/// `GET /studio/`.
pub(super) async fn page() -> Result<Response, Failure> {
    answer("index.html")
}

/// `GET /studio/{file}`: what the page is made of.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Failure> {
    answer(&name)
}

fn answer(name: &str) -> Result<Response, Failure> {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        let message = format!("the studio has no file {name:?}");
        return Err(Failure::new(StatusCode::NOT_FOUND, "not_found", message));
    };
    let PageFile { kind, text, .. } = file;
    let mut response = Response::new(Body::from(*text));
    let headers = response.headers_mut();
    for (header, value) in [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Another version of the server may have another page.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(header, HeaderValue::from_static(value));
    }
    Ok(response)
}
