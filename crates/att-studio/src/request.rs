use att_core::Error as CoreError;
use att_decoder::search::{SearchChanges, SearchConfig, StrategyConfig};
use att_model::{AttentionEdit, TranslationRequest, Translator};
use serde::Deserialize;

use crate::Result;

/// How many hypotheses come back unless told, if the beam is as wide.
const N_BEST: usize = 5;

/// The most alternatives that can be asked for at a step.
pub const MAX_ALTERNATIVES: usize = 50;

/// What is asked of a sentence, in JSON; an unknown key is an error. All but `text` may be left out.
///
/// ```
/// let request = r#"{"text": "CAT", "search": {"beam_size": 4}, "pinned": ["K"], "tree": true}"#;
/// let request: att_studio::Request = serde_json::from_str(request)?;
/// assert_eq!(request.search.beam_size, Some(4));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Request {
    /// The sentence.
    pub text: String,
    /// Which model is asked, where there are several; whoever has the models reads it.
    pub model: Option<String>,
    /// What is different from the model's own search, where unless told five hypotheses of a beam come back, or
    /// all of a narrower one.
    #[serde(default)]
    pub search: SearchChanges,
    /// Tokens that the output begins with, as an answer names them.
    #[serde(default)]
    pub pinned: Vec<String>,
    /// Steps that shall look elsewhere.
    #[serde(default)]
    pub edits: Vec<AttentionEdit>,
    /// Whether the weights of all layers and heads are wanted, of a model that has several.
    #[serde(default)]
    pub heads: bool,
    /// Whether the attention is also wanted with tokens merged to words.
    #[serde(default)]
    pub words: bool,
    /// Whether all that search weighed is wanted.
    #[serde(default)]
    pub tree: bool,
    /// Whether it is wanted what each source token matters to the outputs; there is no answer where steps are
    /// edited, and of very long texts.
    #[serde(default)]
    pub erasure: bool,
    /// How many of the most probable tokens of each step are wanted, at most [`MAX_ALTERNATIVES`].
    #[serde(default)]
    pub alternatives: usize,
}

impl Request {
    /// How to search: a model's `own` search with the [changes](Self::search).
    pub fn search_of(&self, own: &SearchConfig) -> SearchConfig {
        let mut search = self.search.apply(own);
        let samples = matches!(search.strategy, StrategyConfig::Sampling(_));
        if self.search.n_best.is_none() && !samples {
            search.n_best = search.beam_size.min(N_BEST);
        }
        search
    }

    /// What a translator is asked for.
    pub fn translation(&self) -> TranslationRequest {
        TranslationRequest {
            pinned: self.pinned.clone(),
            edits: self.edits.clone(),
            record: self.tree,
            ..TranslationRequest::new(&self.text)
        }
    }

    /// Says what [`answer`](Self::answer) would refuse, without translating. Returns how many source tokens
    /// the (first) model reads, EOS not counted.
    ///
    /// # Errors
    ///
    /// If something asked for can't be; the error names its key.
    pub fn check(&self, translator: &Translator, search: &SearchConfig) -> Result<usize> {
        let refuse = |key: &str, reason: String| Err(CoreError::config(key, reason).into());
        if self.alternatives > MAX_ALTERNATIVES {
            let reason = format!("{} are more than {MAX_ALTERNATIVES}", self.alternatives);
            return refuse("alternatives", reason);
        }
        translator.check(&self.translation(), search)
    }
}
