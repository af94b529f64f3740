//! The studio: a page on which a sentence is typed and its translation appears with the attention, and the
//! answers behind it, which know no HTTP. `att-server` serves both.
//!
//! | what | where |
//! | --- | --- |
//! | what can be asked of a sentence | [`Request`] |
//! | all that explains its translation | [`Request::answer`], [`Answer`], [`NamedAnswer`] |
//! | a hypothesis in JSON, as every part of this workspace writes it | [`Hypothesis`] |
//! | a search tree with the names of its tokens | [`search_tree`] |
//! | the files of the page | [`FILES`], [`CONTENT_SECURITY_POLICY`] |

mod answer;
mod erasure;
mod hypothesis;
mod page;
mod request;
mod tree;

#[cfg(test)]
mod test_support;

pub use answer::{Answer, Attention, Explained, NamedAnswer};
pub use erasure::Erasure;
pub use hypothesis::{Hypothesis, alignment};
pub use page::{CONTENT_SECURITY_POLICY, FILES, PageFile};
pub use request::{MAX_ALTERNATIVES, Request};
pub use tree::search_tree;

/// What can go wrong: what a translator refuses.
pub use att_model::{Error, Result};
