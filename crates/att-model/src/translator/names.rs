use att_core::Error as CoreError;
use att_data::{ExtendedVocabulary, Tokenizer};

use super::Translator;
use crate::Result;

/// What the tokens of the outputs of a line are called: those of the target vocabulary, and of a model that
/// copies also those of the line which it lacks.
#[derive(Clone, Debug)]
pub struct TargetNames<'t> {
    tokenizer: &'t Tokenizer,
    extended: Option<ExtendedVocabulary>,
}

impl Translator {
    /// What the tokens of the outputs of a line are called.
    pub fn target_names(&self, line: &str) -> TargetNames<'_> {
        TargetNames {
            tokenizer: &self.directory().tgt_tokenizer,
            extended: self.extended_vocabulary(line),
        }
    }
}

impl TargetNames<'_> {
    /// The name of an id; empty where there is no such id.
    pub fn name(&self, id: u32) -> &str {
        let name = self.copied(id).or_else(|| self.tokenizer.id_to_token(id));
        name.unwrap_or_default()
    }

    /// The name of an id behind the target vocabulary: of a token that can only be copied.
    pub(super) fn copied(&self, id: u32) -> Option<&str> {
        self.extended.as_ref()?.token(id)
    }

    /// The id of a name, if it is that of a token.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        let copied = || self.extended.as_ref()?.id(name);
        self.tokenizer.token_to_id(name).or_else(copied)
    }

    /// The ids of names.
    ///
    /// # Errors
    ///
    /// If one is the name of no token.
    pub fn ids(&self, names: &[String]) -> Result<Vec<u32>> {
        let id = |name: &String| {
            self.id(name).ok_or_else(|| {
                let reason = format!("{name:?} is no token of the model's outputs for this line");
                CoreError::config("pinned", reason).into()
            })
        };
        names.iter().map(id).collect()
    }
}
