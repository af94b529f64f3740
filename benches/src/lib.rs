//! The benchmarks of every operation and every layer: `cargo bench -p att-bench`.
//!
//! | what | where |
//! | --- | --- |
//! | what is timed, by the name of its operation | [`cases`] |
//! | one case: an operation, a shape, and the ways to compute it | [`Case`], [`Variant`] |
//! | what is picked on the command line | [`Options`] |
//! | peak memory | [`CountingAllocator`] |
//! | under criterion, or line by line for a script that alternates with others | [`run`], [`serve`] |
//! | a table and a picture of what was measured | [`Summary`] |
//!
//! Names read `<operation>/<pass>/<variant>/<device>/<shape>`, as in
//! `lstm_layer/forward+backward/fused/flex/64x25x256x512`.

mod allocator;
mod arguments;
mod case;
pub mod cases;
mod measure;
mod options;
mod summary;

pub use allocator::CountingAllocator;
pub use arguments::{Arguments, lengths, matrix, tensor};
pub use case::{Case, Pass, Variant};
pub use measure::{run, serve};
pub use options::Options;
pub use summary::{Record, Summary};
