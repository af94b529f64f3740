//! What the server can be asked, one file an API.

mod libretranslate;
mod native;
mod opennmt;
mod status;
mod studio;

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};

use crate::app::App;

/// A path, and what may be done there.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) method: &'static str,
    /// Whether it can be asked without the token.
    pub(crate) open: bool,
    pub(crate) handler: MethodRouter<Arc<App>>,
}

/// All routes. `openapi.json` describes each of them.
pub(crate) fn routes() -> Vec<Route> {
    let route = |method, path, handler| Route {
        path,
        method,
        open: false,
        handler,
    };
    let open = |path, handler| Route {
        open: true,
        ..route("get", path, handler)
    };
    vec![
        route("post", "/v1/translate", post(native::translate)),
        route("get", "/v1/models", get(native::models)),
        route("post", "/v1/explain", post(studio::explain)),
        open("/", get(studio::to_page)),
        open("/studio", get(studio::to_page)),
        open("/studio/", get(studio::page)),
        open("/studio/{file}", get(studio::file)),
        route("post", "/translator/translate", post(opennmt::translate)),
        route("get", "/translator/models", get(opennmt::models)),
        route("post", "/translate", post(libretranslate::translate)),
        route("get", "/languages", get(libretranslate::languages)),
        open("/health", get(status::health)),
        open("/ready", get(status::ready)),
        route("get", "/metrics", get(status::metrics)),
        route("get", "/openapi.json", get(status::openapi)),
    ]
}
