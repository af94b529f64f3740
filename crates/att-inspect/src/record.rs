use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{AttentionMap, Error, Result, words};

/// One output with its attention: a line of a file of attention records.
///
/// The file holds one JSON object a line; the keys of the map stand beside the others:
///
/// ```json
/// {"id":"7","rank":0,"score":-0.31,"text":"K","src_tokens":["C"],"tgt_tokens":["K"],"weights":[[1.0]]}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttentionRecord {
    /// Which input this belongs to, such as its line number; left out of the JSON when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whose attention this is, of several models that decoded together; left out of the JSON when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Place among the hypotheses of its input; 0 is the best. Default 0.
    #[serde(default)]
    pub rank: usize,
    /// The score that the search gave; left out of the JSON when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The output as plain text, after detokenisation.
    pub text: String,
    /// Tokens and weights.
    #[serde(flatten)]
    pub map: AttentionMap,
    /// The word of each source token, `[src_len]`, counted from 0 ([`AttentionMap::merged`]); empty, and
    /// left out of the JSON, where it is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub src_words: Vec<usize>,
    /// The word of each target token, `[tgt_len]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tgt_words: Vec<usize>,
    /// The weights of each layer and head, `[layer][head][tgt_len][src_len]`; empty, and left out of the
    /// JSON, where there are none beside those of the map.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub head_weights: Vec<Vec<Vec<Vec<f32>>>>,
}

impl AttentionRecord {
    /// The record as one line of JSON, without the line break.
    ///
    /// A score that is not finite has no JSON form and is written as `null`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record has string keys and no failing field")
    }

    /// The record with its words in the place of its tokens, in its map and in all heads
    /// ([`AttentionMap::merged`]).
    ///
    /// # Errors
    ///
    /// [`Error::NoWords`] where the record does not say which token belongs to which word.
    pub fn merged(&self) -> Result<Self> {
        let known = |words: &[usize], n_tokens| !words.is_empty() || n_tokens == 0;
        let (src, tgt) = (&self.src_words, &self.tgt_words);
        if !known(src, self.map.src_len()) || !known(tgt, self.map.tgt_len()) {
            return Err(Error::NoWords);
        }
        let (src_tokens, tgt_tokens) = (self.map.src_tokens(), self.map.tgt_tokens());
        let head = |head: &Vec<Vec<f32>>| -> Result<Vec<Vec<f32>>> {
            let map = AttentionMap::new(src_tokens.to_vec(), tgt_tokens.to_vec(), head.concat())?;
            Ok(map.merged(src, tgt)?.rows().map(<[f32]>::to_vec).collect())
        };
        let layer = |heads: &Vec<Vec<Vec<f32>>>| heads.iter().map(head).collect();
        let map = self.map.merged(src, tgt)?;
        Ok(Self {
            src_words: (0..map.src_len()).collect(),
            tgt_words: (0..map.tgt_len()).collect(),
            head_weights: self.head_weights.iter().map(layer).collect::<Result<_>>()?,
            id: self.id.clone(),
            model: self.model.clone(),
            text: self.text.clone(),
            map,
            ..*self
        })
    }

    /// What a reader of JSON does not see: that all parts belong to the same tokens.
    fn check(&self) -> Result<()> {
        let (tgt_len, src_len) = (self.map.tgt_len(), self.map.src_len());
        for (key, words, n_tokens) in [
            ("src_words", &self.src_words, src_len),
            ("tgt_words", &self.tgt_words, tgt_len),
        ] {
            if !words.is_empty() {
                words::check(key, words, n_tokens)?;
            }
        }
        for (layer, heads) in self.head_weights.iter().enumerate() {
            for (head, rows) in heads.iter().enumerate() {
                let weights = rows.iter().flatten();
                let fits = rows.len() == tgt_len && rows.iter().all(|row| row.len() == src_len);
                if !fits
                    || weights
                        .clone()
                        .any(|weight| !weight.is_finite() || *weight < 0.0)
                {
                    return Err(Error::HeadWeights {
                        layer,
                        head,
                        tgt_len,
                        src_len,
                    });
                }
            }
        }
        Ok(())
    }

    /// The records of the JSON-lines file at `path`, one after the other, each with the number of its line,
    /// counted from 1; blank lines are skipped.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] when the file cannot be read, [`Error::Record`] and [`Error::RecordParts`] at a line
    /// that is not a record.
    pub fn read(path: impl AsRef<Path>) -> Result<impl Iterator<Item = Result<(usize, Self)>>> {
        let path = path.as_ref().to_path_buf();
        let file = File::open(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let lines = BufReader::new(file).lines();
        let record = move |(number, line): (usize, std::io::Result<String>)| {
            let path = || path.clone();
            let line = match line {
                Ok(line) if line.trim().is_empty() => return None,
                Ok(line) => line,
                Err(source) => {
                    return Some(Err(Error::Read {
                        path: path(),
                        source,
                    }));
                }
            };
            let number = number + 1;
            let parsed = serde_json::from_str(&line).map_err(|source| Error::Record {
                path: path(),
                line: number,
                source,
            });
            Some(parsed.and_then(|record: Self| match record.check() {
                Ok(()) => Ok((number, record)),
                Err(source) => Err(Error::RecordParts {
                    path: path(),
                    line: number,
                    source: Box::new(source),
                }),
            }))
        };
        Ok(lines.enumerate().filter_map(record))
    }

    /// All records of the JSON-lines file at `path`; blank lines are skipped.
    ///
    /// # Errors
    ///
    /// As those of [`read`](Self::read), the first of them.
    pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let records = Self::read(path)?;
        records.map(|record| Ok(record?.1)).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::map::tests::map;

    /// The best output of input 0, with its tokens as text.
    pub(crate) fn record_of(src: &str, tgt: &str, weights: &[f32]) -> AttentionRecord {
        AttentionRecord {
            id: Some("0".into()),
            model: None,
            rank: 0,
            score: None,
            text: tgt.replace('|', " "),
            map: map(src, tgt, weights),
            src_words: Vec::new(),
            tgt_words: Vec::new(),
            head_weights: Vec::new(),
        }
    }

    fn record() -> AttentionRecord {
        AttentionRecord {
            id: Some("7".into()),
            rank: 1,
            score: Some(-0.5),
            text: "K \"a\"".into(),
            ..record_of("C|a", "K|\n", &[0.9, 0.1, 1.0 / 3.0, 0.0])
        }
    }

    #[test]
    fn is_one_line_of_json_with_flat_keys() {
        assert_eq!(
            record().to_json(),
            concat!(
                r#"{"id":"7","rank":1,"score":-0.5,"text":"K \"a\"","src_tokens":["C","a"],"#,
                r#""tgt_tokens":["K","\n"],"weights":[[0.9,0.1],[0.33333334,0.0]]}"#
            )
        );
    }

    #[test]
    fn files_round_trip_and_errors_name_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attention.jsonl");
        let mut plain = record();
        (plain.id, plain.score, plain.rank) = (None, None, 0);
        let text = format!("{}\n\n{}\n", record().to_json(), plain.to_json());
        std::fs::write(&path, &text).unwrap();
        let records = AttentionRecord::read_file(&path).unwrap();
        assert_eq!(records, [record(), plain]);

        std::fs::write(&path, text + r#"{"text":"x","src_tokens":[]}"#).unwrap();
        let error = AttentionRecord::read_file(&path).unwrap_err().to_string();
        assert!(error.contains("attention.jsonl:4: "), "{error}");
        assert!(error.contains("`tgt_tokens`"), "{error}");

        let missing = AttentionRecord::read_file(dir.path().join("none")).unwrap_err();
        assert!(matches!(missing, Error::Read { .. }));
    }

    #[test]
    fn words_and_heads_are_kept_and_merged() {
        let mut record = record_of("▁a|b|</s>", "▁x|y", &[0.5, 0.5, 0.0, 0.0, 0.0, 1.0]);
        assert!(matches!(record.merged(), Err(Error::NoWords)));
        (record.src_words, record.tgt_words) = (vec![0, 0, 1], vec![0, 0]);
        record.head_weights = vec![vec![vec![vec![0.0, 1.0, 0.0], vec![0.25, 0.25, 0.5]]]];
        let json = record.to_json();
        let back: AttentionRecord = serde_json::from_str(&json).unwrap();
        assert_eq!(back, record);

        let merged = record.merged().unwrap();
        assert_eq!(merged.map, map("ab|</s>", "xy", &[0.5, 0.5]));
        assert_eq!(merged.head_weights, [[[[0.75, 0.25]]]]);
        assert_eq!(merged.merged().unwrap(), merged);
    }

    #[test]
    fn parts_that_do_not_belong_together_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attention.jsonl");
        let refused = |record: &AttentionRecord, expected: &str| {
            std::fs::write(&path, "\n".to_string() + &record.to_json()).unwrap();
            let error = AttentionRecord::read_file(&path).unwrap_err().to_string();
            assert!(
                error.contains("attention.jsonl:2: ") && error.contains(expected),
                "{error}"
            );
        };
        let good = record();
        let with_words = |src_words: &[usize]| AttentionRecord {
            src_words: src_words.into(),
            ..good.clone()
        };
        refused(&with_words(&[0]), "`src_words` has 1 numbers for 2 tokens");
        refused(
            &with_words(&[0, 2]),
            "`src_words` calls the word of token 1 2",
        );
        let with_heads = |rows: &[[f32; 2]]| AttentionRecord {
            head_weights: vec![vec![rows.iter().map(Vec::from).collect()]],
            ..good.clone()
        };
        refused(
            &with_heads(&[[0.5, 0.5]]),
            "head 0 of layer 0 has no 2 rows of 2 weights",
        );
        refused(&with_heads(&[[0.5, 0.5], [1.0, -1.0]]), "head 0 of layer 0");
    }

    #[test]
    fn a_score_without_a_json_form_is_null_and_reads_as_none() {
        let mut record = record();
        record.score = Some(f64::NEG_INFINITY);
        let json = record.to_json();
        assert!(json.contains(r#""score":null"#));
        let back: AttentionRecord = serde_json::from_str(&json).unwrap();
        assert_eq!(back.score, None);
    }
}
