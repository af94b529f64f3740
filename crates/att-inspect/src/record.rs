use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{AttentionMap, Error, Result};

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
}

impl AttentionRecord {
    /// The record as one line of JSON, without the line break.
    ///
    /// A score that is not finite has no JSON form and is written as `null`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record has string keys and no failing field")
    }

    /// All records of the JSON-lines file at `path`; blank lines are skipped.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] when the file cannot be read, [`Error::Record`] at the first line that is
    /// not a record.
    pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let path = path.as_ref();
        let read_error = |source| Error::Read {
            path: path.to_path_buf(),
            source,
        };
        let mut records = Vec::new();
        let file = File::open(path).map_err(read_error)?;
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(read_error)?;
            if line.trim().is_empty() {
                continue;
            }
            let record = serde_json::from_str(&line).map_err(|source| Error::Record {
                path: path.to_path_buf(),
                line: number + 1,
                source,
            })?;
            records.push(record);
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::map;

    fn record() -> AttentionRecord {
        AttentionRecord {
            id: Some("7".into()),
            model: None,
            rank: 1,
            score: Some(-0.5),
            text: "K \"a\"".into(),
            map: map("C|a", "K|\n", &[0.9, 0.1, 1.0 / 3.0, 0.0]),
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
    fn a_score_without_a_json_form_is_null_and_reads_as_none() {
        let mut record = record();
        record.score = Some(f64::NEG_INFINITY);
        let json = record.to_json();
        assert!(json.contains(r#""score":null"#));
        let back: AttentionRecord = serde_json::from_str(&json).unwrap();
        assert_eq!(back.score, None);
    }
}
