use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Example, Lexicon, Result, Tokenizer, special, write_atomic};

const FORMAT: &str = "att-shortlist";
const VERSION: u32 = 1;

/// Which target tokens a source may have, so that decoding computes no others (Jean et al. 2015, sec.
/// 3.3; L'Hostis et al. 2016): the special ones, the most frequent ones, and for each token of the source
/// its most probable translations.
#[derive(Clone, Debug, PartialEq)]
pub struct Shortlist {
    /// Whatever the source is.
    frequent: Vec<u32>,
    /// Of each source id.
    translations: Vec<Vec<u32>>,
}

/// A file: JSON, with tokens by name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShortlistFile {
    /// [`FORMAT`].
    format: String,
    /// [`VERSION`].
    version: u32,
    frequent: Vec<String>,
    translations: BTreeMap<String, Vec<String>>,
}

impl Shortlist {
    /// For each of `src_vocab` source tokens the `best` most probable ones of the lexicon, and for all the
    /// `frequent` most frequent target tokens of some examples; equally frequent ones by id.
    pub fn new(
        lexicon: &Lexicon,
        src_vocab: usize,
        best: usize,
        examples: &[Example],
        frequent: usize,
    ) -> Self {
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        for id in examples.iter().flat_map(|example| &example.tgt) {
            *counts.entry(*id).or_default() += 1;
        }
        let mut ids: Vec<(u32, u64)> = counts.into_iter().collect();
        ids.sort_by_key(|(_, count)| Reverse(*count)); // stable
        let translations = (0..src_vocab as u32).map(|src| lexicon.best(src, best));
        Self {
            frequent: ids.into_iter().take(frequent).map(|(id, _)| id).collect(),
            translations: translations.collect(),
        }
    }

    /// The target ids that a source may have, rising; the special ones are always among them.
    pub fn of(&self, src: &[u32]) -> Vec<u32> {
        let translations = src
            .iter()
            .filter_map(|&id| self.translations.get(id as usize));
        let mut allowed: Vec<u32> = (0..special::COUNT as u32)
            .chain(self.frequent.iter().copied())
            .chain(translations.flatten().copied())
            .collect();
        allowed.sort_unstable();
        allowed.dedup();
        allowed
    }

    /// Writes a file, whole or not at all; tokens are kept by name.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if that fails.
    pub fn save(&self, path: impl AsRef<Path>, src: &Tokenizer, tgt: &Tokenizer) -> Result<()> {
        let name = |tokenizer: &Tokenizer, id: u32| {
            let token = tokenizer.id_to_token(id);
            token
                .unwrap_or(special::NAMES[special::UNK as usize])
                .to_string()
        };
        let names = |ids: &[u32]| ids.iter().map(|&id| name(tgt, id)).collect();
        let rows = (0..).zip(&self.translations);
        let file = ShortlistFile {
            format: FORMAT.into(),
            version: VERSION,
            frequent: names(&self.frequent),
            translations: rows
                .filter(|(_, row)| !row.is_empty())
                .map(|(id, row)| (name(src, id), names(row)))
                .collect(),
        };
        let json = serde_json::to_string(&file).expect("strings can be JSON");
        write_atomic(path, json.as_bytes())
    }

    /// Reads a file for a model with these tokenisers.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the file is missing, [`Error::Shortlist`] if it is damaged, something else, or
    /// of other vocabularies.
    pub fn load(path: impl AsRef<Path>, src: &Tokenizer, tgt: &Tokenizer) -> Result<Self> {
        let path = path.as_ref();
        let json = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        parse(&json, src, tgt).map_err(|message| Error::Shortlist {
            path: path.into(),
            message,
        })
    }
}

fn parse(json: &str, src: &Tokenizer, tgt: &Tokenizer) -> std::result::Result<Shortlist, String> {
    let file: ShortlistFile = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if file.format != FORMAT || file.version != VERSION {
        let (format, version) = (file.format, file.version);
        return Err(format!(
            "its format is {format} {version}, not {FORMAT} {VERSION}"
        ));
    }
    let id = |tokenizer: &Tokenizer, side: &str, token: &String| {
        tokenizer.token_to_id(token).ok_or_else(|| {
            format!("the model has no {side} token '{token}': make it again for this model")
        })
    };
    let ids = |tokens: &[String]| -> std::result::Result<Vec<u32>, String> {
        tokens
            .iter()
            .map(|token| id(tgt, "target", token))
            .collect()
    };
    let mut translations = vec![Vec::new(); src.vocab_size()];
    for (token, row) in &file.translations {
        translations[id(src, "source", token)? as usize] = ids(row)?;
    }
    Ok(Shortlist {
        frequent: ids(&file.frequent)?,
        translations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizerConfig;

    fn tokenizers() -> (Tokenizer, Tokenizer) {
        let train = |text: &str| TokenizerConfig::whitespace().train([text]).unwrap();
        (train("a b c"), train("A B C D"))
    }

    /// a, b and c are translated by A, B and C; D is frequent, as is what it means.
    fn shortlist() -> Shortlist {
        let pairs: Vec<Example> = [[4, 5], [5, 6], [4, 6], [5, 5]]
            .map(|src: [u32; 2]| Example {
                src: src.to_vec(),
                tgt: src.iter().copied().chain([7; 2]).collect(),
            })
            .into();
        Shortlist::new(&Lexicon::train(&pairs, 20), 7, 1, &pairs, 1)
    }

    #[test]
    fn a_source_has_its_translations_and_what_all_have() {
        let shortlist = shortlist();
        assert_eq!(shortlist.of(&[6, 4, 6]), [0, 1, 2, 3, 4, 6, 7]);
        assert_eq!(shortlist.of(&[special::UNK, 99]), [0, 1, 2, 3, 7]);
    }

    #[test]
    fn a_file_is_of_its_vocabularies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("short.json");
        let (src, tgt) = tokenizers();
        let shortlist = shortlist();
        shortlist.save(&path, &src, &tgt).unwrap();
        assert_eq!(Shortlist::load(&path, &src, &tgt).unwrap(), shortlist);

        let refused = |src: &Tokenizer, tgt: &Tokenizer, part: &str| {
            let message = Shortlist::load(&path, src, tgt).unwrap_err().to_string();
            assert!(
                message.contains("short.json") && message.contains(part),
                "{message}"
            );
        };
        refused(&src, &src, "target token 'D'");
        refused(&tgt, &tgt, "source token 'a'");
        for damaged in ["{", r#"{"format":"att-tokenizer","version":1}"#] {
            std::fs::write(&path, damaged).unwrap();
            refused(&src, &tgt, "");
        }
    }
}
