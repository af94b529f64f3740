use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bpe::Bpe;
use super::unigram::Unigram;
use super::{Model, Tokenizer, TokenizerConfig};
use crate::{Error, Result, Vocabulary, write_atomic};

const FORMAT: &str = "att-tokenizer";
const VERSION: u32 = 1;

/// The beginning of a tokenizer file, which every version shares.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// A tokenizer file: JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenizerFile {
    /// [`FORMAT`].
    format: String,
    /// [`VERSION`].
    version: u32,
    config: TokenizerConfig,
    /// All tokens in the order of their ids.
    tokens: Vec<String>,
    /// Of byte pair encoding: the pairs, the first learnt first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    merges: Vec<String>,
    /// Of the unigram model: the log-probabilities of the tokens behind the special ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scores: Vec<f32>,
}

impl Tokenizer {
    /// The tokeniser as JSON, for a file or a browser.
    pub fn to_json(&self) -> String {
        let (merges, scores) = match &self.model {
            Model::Char | Model::Whitespace => (vec![], vec![]),
            Model::Bpe(bpe) => (bpe.merges().to_vec(), vec![]),
            Model::Unigram(unigram) => (vec![], unigram.scores().to_vec()),
        };
        let file = TokenizerFile {
            format: FORMAT.into(),
            version: VERSION,
            config: self.config.clone(),
            tokens: self.vocabulary.tokens().to_vec(),
            merges,
            scores,
        };
        serde_json::to_string_pretty(&file).expect("strings and finite numbers can be JSON")
    }

    /// The tokeniser from its JSON; `name` stands for it in errors.
    ///
    /// # Errors
    ///
    /// [`Error::TokenizerFile`] if the JSON is cut short, is something else, has another
    /// version, or does not fit together: for example, if a special token has not its id.
    pub fn from_json(json: &str, name: impl AsRef<Path>) -> Result<Self> {
        parse(json).map_err(|message| Error::TokenizerFile {
            path: name.as_ref().into(),
            message,
        })
    }

    /// Writes the tokeniser to a file, whole or not at all.
    ///
    /// The package `tokenizers` for Python cuts words in the same way with these:
    ///
    /// ```python
    /// file = json.load(open("src.tokenizer.json"))
    /// ids = {token: id for id, token in enumerate(file["tokens"])}
    /// merges = [tuple(merge.split(" ")) for merge in file["merges"]]
    /// bpe = models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True)
    /// # or
    /// unigram = models.Unigram(list(zip(file["tokens"], [0.0] * 4 + file["scores"])), unk_id=1)
    ///
    /// tokenizer = Tokenizer(bpe)
    /// split = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    /// tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    /// tokenizer.decoder = decoders.Metaspace()
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if that fails; what was there before is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomic(path, self.to_json().as_bytes())
    }

    /// Reads a tokeniser from a file that [`save`](Self::save) has written.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the file is missing, and those of [`from_json`](Self::from_json).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let json = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        Self::from_json(&json, path)
    }
}

fn parse(json: &str) -> std::result::Result<Tokenizer, String> {
    let explain = |error: serde_json::Error| match error.is_eof() {
        true => "it is empty or cut short".to_string(),
        false => error.to_string(),
    };
    let Header { format, version } = serde_json::from_str(json).map_err(explain)?;
    if format != FORMAT {
        return Err(format!("its format is `{format}`, not `{FORMAT}`"));
    }
    if version != VERSION {
        return Err(format!(
            "it has version {version}, and this program reads version {VERSION}"
        ));
    }
    let TokenizerFile {
        config,
        tokens,
        merges,
        scores,
        ..
    } = serde_json::from_str(json).map_err(explain)?;
    config.validate().map_err(|error| error.to_string())?;
    let vocabulary = Vocabulary::from_tokens(tokens)?;
    let model = match (&config, merges.is_empty(), scores.is_empty()) {
        (TokenizerConfig::Char(_), true, true) => Model::Char,
        (TokenizerConfig::Whitespace(_), true, true) => Model::Whitespace,
        (TokenizerConfig::Bpe(_), _, true) => Model::Bpe(Bpe::from_merges(merges, &vocabulary)?),
        (TokenizerConfig::Unigram(_), true, _) => {
            Model::Unigram(Unigram::from_scores(scores, &vocabulary)?)
        }
        _ => return Err("it has `merges` or `scores` that its `kind` does not use".into()),
    };
    Ok(Tokenizer {
        config,
        vocabulary,
        model,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::tests::folder;

    const TEXT: [&str; 3] = ["the cat sat on the mat", "a cat and a rat", "the rat sat"];

    fn all_kinds() -> Vec<Tokenizer> {
        let configs = [
            TokenizerConfig::char(),
            TokenizerConfig::whitespace(),
            TokenizerConfig::bpe(40),
            TokenizerConfig::unigram(30),
        ];
        configs.map(|config| config.train(TEXT).unwrap()).into()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = folder(&[]);
        let path = folder.path().join("src.json");
        for tokenizer in all_kinds() {
            tokenizer.save(&path).unwrap();
            assert_eq!(Tokenizer::load(&path).unwrap(), tokenizer);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_cut_of_a_file_is_an_error() {
        for tokenizer in all_kinds() {
            let json = tokenizer.to_json();
            for cut in 0..json.len() {
                if let Some(part) = json.get(..cut) {
                    let error = Tokenizer::from_json(part, "t.json")
                        .unwrap_err()
                        .to_string();
                    assert!(
                        error.starts_with("t.json is not a usable tokenizer file"),
                        "{error}"
                    );
                    let in_a_number = part.ends_with('-') || part.ends_with('.');
                    assert!(
                        error.ends_with("it is empty or cut short") || in_a_number,
                        "{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn unsuitable_files_say_why() {
        let json = TokenizerConfig::bpe(40).train(TEXT).unwrap().to_json();
        let change = |from: &str, to: &str| {
            assert!(json.contains(from), "{from}");
            json.replacen(from, to, 1)
        };
        for (json, why) in [
            ("{}".into(), "missing field `format` at line 1 column 2"),
            ("PK\u{3}\u{4}".into(), "expected value at line 1 column 1"),
            (
                change("att-tokenizer", "att-model"),
                "its format is `att-model`, not `att-tokenizer`",
            ),
            (
                change(": 1,", ": 2,"),
                "it has version 2, and this program reads version 1",
            ),
            (
                change(r#""<unk>""#, r#""<s>""#),
                "id 1 must be `<unk>`, not `<s>`",
            ),
            (
                change(r#""bpe""#, r#""char""#),
                "unknown field `vocab_size`",
            ),
            (
                change(r#""bpe""#, r#""wordpiece""#),
                "unknown variant `wordpiece`",
            ),
            (
                change(r#""bpe""#, r#""unigram""#),
                "it has `merges` or `scores` that its `kind`",
            ),
            (
                change(r#""vocab_size": 40"#, r#""vocab_size": 1"#),
                "`vocab_size` is 1; make it",
            ),
            (
                change(r#""a t""#, r#""a tt""#),
                "the merge `a tt` does not fit the tokens",
            ),
            (
                change(r#""tokens""#, r#""extra": 1, "tokens""#),
                "unknown field `extra`",
            ),
        ] {
            let error = Tokenizer::from_json(&json, "t.json")
                .unwrap_err()
                .to_string();
            let start = format!("t.json is not a usable tokenizer file: {why}");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn bad_scores_say_why() {
        let json = TokenizerConfig::unigram(30).train(TEXT).unwrap().to_json();
        let start = json.find(r#""scores""#).unwrap();
        let with = |scores: &str| format!(r#"{}"scores": [{scores}]}}"#, &json[..start]);
        let error = |scores| {
            Tokenizer::from_json(&with(scores), "t")
                .unwrap_err()
                .to_string()
        };
        assert!(
            error("-1.0").contains("file: 1 scores for "),
            "{}",
            error("-1.0")
        );
        assert!(
            error("1e999").contains("number out of range"),
            "{}",
            error("1e999")
        );
    }

    #[test]
    fn unreadable_files_are_named() {
        let folder = folder(&[("latin1.json", b"\xe9")]);
        for name in ["missing.json", "latin1.json"] {
            let error = Tokenizer::load(folder.path().join(name)).unwrap_err();
            assert!(matches!(error, Error::Read { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
