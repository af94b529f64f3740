//! Models behind HTTP: [`Server`] answers requests of translations with all cores, and an answer does not depend
//! on what else is asked at the time.
//!
//! | part | what | file |
//! | --- | --- | --- |
//! | routes | our own API, OpenNMT-py's, LibreTranslate's; health, metrics, OpenAPI | `api/` |
//! | what all of them share | limits, time-outs, from what is asked for to translations | `app.rs` |
//! | waiting | a bounded queue of lines; those that go together leave it together | `queue.rs` |
//! | decoding | threads of its own, a batch each | `decoding.rs` |
//! | models | by name, loaded when needed, thrown out for others, loaded again when changed | `store.rs` |
//! | connections | accepting, time-outs, stopping without a loss | `server.rs`, `write_timeout.rs` |
//!
//! docs/server.md describes the APIs. Names of models are looked up in a table, and nothing else of a request
//! leads to a file.

mod api;
mod app;
mod body;
mod config;
mod decoding;
mod error;
mod failure;
mod fingerprint;
mod metrics;
mod queue;
mod router;
mod server;
mod spec;
mod store;
mod write_timeout;

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

pub use config::{Limits, ServerConfig};
pub use error::{Error, Result};
pub use server::{Server, Stopper, Summary};
pub use spec::{Languages, Loading, ModelSpec};

/// The OpenAPI document of the routes, which `GET /openapi.json` answers with.
pub const OPENAPI: &str = include_str!("openapi.json");
