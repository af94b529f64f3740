//! Text in, padded batches of ids out: corpora, tokenisers, vocabularies and batching for
//! sequence-to-sequence models. This crate knows no model and no tensor; a batch is a plain
//! row-major `Vec<u32>`.
//!
//! ```
//! use att_data::{Batcher, BatcherConfig, Corpus, Pair, TokenizerConfig};
//!
//! let corpus = Corpus {
//!     pairs: vec![Pair::new("CAT", "K AE T"), Pair::new("TACK", "T AE K")],
//! };
//! let letters = TokenizerConfig::char().train(corpus.sources())?;
//! let phones = TokenizerConfig::whitespace().train(corpus.targets())?;
//!
//! let batcher = Batcher::new(BatcherConfig::default(), corpus.encode(&letters, &phones))?;
//! for rows in batcher.epoch(/* seed */ 1, /* epoch */ 0) {
//!     let batch = batcher.batch(&rows)?;
//!     assert_eq!((batch.src.rows, batch.src.cols), (2, 5)); // TACK and EOS
//!     assert_eq!(batch.tgt.cols, 5); // BOS, three phones, EOS
//! }
//! assert_eq!(phones.decode(&phones.encode("K AE T")), "K AE T");
//! # Ok::<(), att_data::Error>(())
//! ```
//!
//! | to | use |
//! | --- | --- |
//! | read lines, gzipped or not | [`Lines`], [`read_lines`] |
//! | read pairs of source and target | [`Corpus`]; one at a time: [`CorpusFiles`] |
//! | choose and train a tokeniser | [`TokenizerConfig`]: characters, words, BPE, unigram |
//! | turn text into ids and back, save and load | [`Tokenizer`], [`Vocabulary`] |
//! | let a model copy what the target vocabulary lacks | [`ExtendedVocabulary`] |
//! | keep more examples than memory takes | [`ExampleWriter`], [`Examples`] |
//! | make batches, shuffled the same way for the same seed | [`Batcher`], [`Batch`] |
//! | make them ahead, on another thread | [`Prefetch`] |
//! | keep one long line from padding all others | [`BatchLimit`] |
//! | divide words into train, dev and test, stably | [`split_by_hash`] |
//! | find what translates what | [`Lexicon`]: IBM model 1, or a lexical table |
//! | leave a source few target tokens | [`Shortlist`] |
//! | write a file whole or not at all | [`write_atomic`], [`AtomicFile`] |
//! | tell data that have changed | [`Digest`] |
//! | name PAD, UNK, BOS and EOS | [`special`] |

mod atomic_file;
mod batch;
mod batch_limit;
mod batcher;
mod corpus;
mod corpus_files;
mod digest;
mod dropped;
mod error;
mod example;
mod examples;
mod extended_vocabulary;
mod lexicon;
mod lines;
mod mixture;
mod positioned;
mod prefetch;
mod shortlist;
pub mod special;
mod split;
mod tokenizer;
mod vocabulary;

pub use atomic_file::{AtomicFile, write_atomic};
pub use batch::{Batch, Padded};
pub use batch_limit::BatchLimit;
pub use batcher::{BatchBy, Batcher, BatcherConfig};
pub use corpus::{Corpus, Group, Pair};
pub use corpus_files::{CorpusFiles, Pairs};
pub use digest::Digest;
pub use dropped::Dropped;
pub use error::{Error, Result};
pub use example::Example;
pub use examples::{ExampleWriter, Examples};
pub use extended_vocabulary::{ExtendedVocabulary, copied_tokens};
pub use lexicon::Lexicon;
pub use lines::{Lines, MAX_LINE_BYTES, read_lines};
pub use prefetch::Prefetch;
pub use shortlist::Shortlist;
pub use split::split_by_hash;
pub use tokenizer::{
    Normalization, SubwordConfig, SymbolConfig, Tokenizer, TokenizerConfig, TokenizerTrainer,
};
pub use vocabulary::Vocabulary;
