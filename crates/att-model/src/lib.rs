//! Encoder-decoder models with attention: a configuration in TOML becomes a [`Seq2Seq`], a
//! directory on disk becomes a [`Translator`] from text to text.
//!
//! | to | use |
//! | --- | --- |
//! | describe a model | [`ModelConfig`] |
//! | encode sources, run over known targets | [`Seq2Seq`] |
//! | keep all that decoding needs in one place | [`ModelDirectory`] |
//! | translate text, and see the attention | [`Translator`] |
//! | translate with several models as one | [`Translator::ensemble`] |
//! | ask for a prefix, for phrases, for the search tree | [`Translator::translate_requests`] |
//! | see what else might have come at each step | [`Translator::alternatives`] |
//! | see tokens as they are found, call a line off | [`Translator::translate_observed`] |
//! | translate lines as they come, one leaving and the next taking its place | [`Translator::translate_feed`] |
//! | ask how probable given translations are | [`Translator::score`] |
//!
//! ```
//! use att_core::DeviceSpec;
//! use att_data::{Batch, Example};
//! use att_model::ModelConfig;
//!
//! let device = "flex".parse::<DeviceSpec>()?.init()?;
//! let config = ModelConfig::from_toml(r#"
//!     [encoder]
//!     kind = "recurrent"
//!     cell = "gru"
//!     d_hidden = 16
//!
//!     [decoder]
//!     kind = "bahdanau"
//!     recurrent = { cell = "gru", d_hidden = 16 }
//!     attention = { scorer = { kind = "additive", d_attn = 16 } }
//! "#)?;
//! let model = config.init(30, 40, &device)?; // sizes of the two vocabularies
//! let examples = [Example { src: vec![5, 6, 7], tgt: vec![9, 8], copy_ids: None }];
//! let output = model.forward(&Batch::new(&examples, &[0]));
//! assert_eq!(output.gold, [9, 8, att_core::special::EOS]);
//! assert_eq!(model.logits(&output).dims(), [3, 40]);
//! assert_eq!(output.weights.unwrap().dims(), [1, 3, 4]); // 3 steps over 3 tokens and EOS
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod directory;
mod error;
mod forced;
mod score;
mod seq2seq;
mod together;
mod translator;
pub mod weights;

// Both crates stand at the bottom; their ids must agree.
const _: () = {
    use att_core::special as core;
    use att_data::special as data;
    assert!(core::PAD == data::PAD && core::UNK == data::UNK);
    assert!(core::BOS == data::BOS && core::EOS == data::EOS);
    assert!(core::N_SPECIAL as usize == data::NAMES.len());
};

pub use config::{MAX_WEIGHTS, ModelConfig};
pub use directory::{FORMAT_VERSION, ModelDirectory};
pub use error::{Error, Result};
pub use forced::{Forced, force};
pub use seq2seq::{ForcedOutput, Seq2Seq};
pub use translator::{
    Alternative, AttentionEdit, Candidate, CandidateAttention, FoundPiece, HeadWeights,
    TargetNames, Translation, TranslationFeed, TranslationObserver, TranslationRequest, Translator,
};
