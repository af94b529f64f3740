use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::api::routes;
use crate::app::App;
use crate::failure::Failure;

/// All routes, with what happens around each of them.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let handler = if route.open {
            route.handler
        } else {
            route
                .handler
                .layer(from_fn_with_state(app.clone(), authorize))
        };
        router = router.route(route.path, handler);
    }
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// Counts and logs a request, and ends its connection where the server stops.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    // Paths that nobody serves would be as many labels as anybody likes.
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "other".to_string(), |path| path.as_str().into());
    let mut response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    app.metrics.request(&route, status, took);
    tracing::info!(%method, %route, status, ms = took.as_secs_f64() * 1e3, "request");
    if app.is_stopping() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Lets those through who bear the token, if there is one.
async fn authorize(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(token) = &app.config.token else {
        return next.run(request).await;
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.map_or(&b""[..], HeaderValue::as_bytes);
    let given = match given.split_at_checked("Bearer ".len()) {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"Bearer ") => given,
        _ => b"",
    };
    // How long this takes tells how long the token is, and nothing else of it.
    if bool::from(given.ct_eq(token.as_bytes())) {
        return next.run(request).await;
    }
    let message = "send the server's token: `Authorization: Bearer TOKEN`";
    Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response()
}

async fn unknown_path(uri: Uri) -> Failure {
    let path = uri.path();
    let message = format!("there is nothing at {path:?}; GET /openapi.json lists what there is");
    Failure::new(StatusCode::NOT_FOUND, "not_found", message)
}

async fn unknown_method(method: Method, uri: Uri) -> Failure {
    let path = uri.path();
    let fits = |pattern: &str| match pattern.split_once('{') {
        Some((start, _)) => path.starts_with(start),
        None => pattern == path,
    };
    let right = routes().into_iter().find(|route| fits(route.path));
    let right = right.map_or_else(String::new, |route| route.method.to_uppercase());
    let message = format!("{method} is not what {path} is for: use {right}");
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        message,
    )
}
