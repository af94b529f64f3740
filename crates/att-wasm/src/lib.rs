//! The studio without a server: models that translate and explain in a browser.
//!
//! This crate is compiled twice. For `wasm32-wasip1` it is a module with a handful of functions that a worker of
//! the page calls, over a file system in memory that holds the models. For everything else it writes the site
//! around that module, as `att export-web` does.
//!
//! | what | where |
//! | --- | --- |
//! | what a browser calls | [`abi`] |
//! | models by name, asked in JSON | [`Models`], [`Failure`] |
//! | a model in one file | [`pack()`] |
//! | the site | [`write_site`], [`SiteModel`] |
//! | the module: its file, and how it is made | [`MODULE`], [`BUILD`] |

pub mod abi;
mod models;
mod pack;
mod site;

#[cfg(test)]
mod test_support;

pub use models::{Failure, Models};
pub use pack::pack;
pub use site::{BUILD, MODULE, SiteModel, write_site};
