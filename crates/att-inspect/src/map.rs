use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The attention weights of one output: how much each target step looked at each source token.
///
/// `weights` is row-major `[tgt_len, src_len]`: row `t` belongs to target token `t`.
/// Each weight is finite and at least 0. A row usually sums to 1; a step that attended to nothing
/// is a row of zeros. Multi-head attention is averaged, or taken a head at a time, beforehand.
///
/// As JSON, the rows are nested, so `weights[t][s]` works in any language:
///
/// ```json
/// {"src_tokens":["C","a","t"],"tgt_tokens":["K"],"weights":[[0.9,0.1,0.0]]}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NestedMap", into = "NestedMap")]
pub struct AttentionMap {
    src_tokens: Vec<String>,
    tgt_tokens: Vec<String>,
    weights: Vec<f32>,
}

impl AttentionMap {
    /// A map from its tokens and its row-major `[tgt_len, src_len]` weights.
    ///
    /// # Errors
    ///
    /// [`Error::WeightCount`] when the sizes disagree, [`Error::BadWeight`] when a weight is
    /// negative, infinite or not a number.
    pub fn new(
        src_tokens: Vec<String>,
        tgt_tokens: Vec<String>,
        weights: Vec<f32>,
    ) -> Result<Self> {
        let (tgt_len, src_len) = (tgt_tokens.len(), src_tokens.len());
        if weights.len() != tgt_len * src_len {
            return Err(Error::WeightCount {
                tgt_len,
                src_len,
                found: weights.len(),
            });
        }
        if let Some(at) = weights.iter().position(|w| !w.is_finite() || *w < 0.0) {
            return Err(Error::BadWeight {
                tgt: at / src_len,
                src: at % src_len,
                value: weights[at],
            });
        }
        Ok(Self {
            src_tokens,
            tgt_tokens,
            weights,
        })
    }

    /// The source tokens: one a column.
    pub fn src_tokens(&self) -> &[String] {
        &self.src_tokens
    }

    /// The target tokens: one a row.
    pub fn tgt_tokens(&self) -> &[String] {
        &self.tgt_tokens
    }

    /// All weights, row-major `[tgt_len, src_len]`.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Number of source tokens.
    pub fn src_len(&self) -> usize {
        self.src_tokens.len()
    }

    /// Number of target tokens.
    pub fn tgt_len(&self) -> usize {
        self.tgt_tokens.len()
    }

    /// The weights of target token `t` over the source, `[src_len]`.
    ///
    /// # Panics
    ///
    /// When `t` is not below `tgt_len`.
    pub fn row(&self, t: usize) -> &[f32] {
        assert!(t < self.tgt_len(), "row {t} of {} rows", self.tgt_len());
        &self.weights[t * self.src_len()..(t + 1) * self.src_len()]
    }

    /// All rows, in target order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        (0..self.tgt_len()).map(|t| self.row(t))
    }

    /// The weight that target token `t` puts on source token `s`.
    ///
    /// # Panics
    ///
    /// When `t` is not below `tgt_len` or `s` not below `src_len`.
    pub fn weight(&self, t: usize, s: usize) -> f32 {
        self.row(t)[s]
    }
}

/// The map as JSON spells it: one inner list a row.
#[derive(Serialize, Deserialize)]
struct NestedMap {
    src_tokens: Vec<String>,
    tgt_tokens: Vec<String>,
    weights: Vec<Vec<f32>>,
}

impl TryFrom<NestedMap> for AttentionMap {
    type Error = Error;

    fn try_from(nested: NestedMap) -> Result<Self> {
        let src_len = nested.src_tokens.len();
        let rows = nested.weights.iter().enumerate();
        if let Some((row, values)) = rows.into_iter().find(|(_, r)| r.len() != src_len) {
            return Err(Error::RowLength {
                row,
                src_len,
                found: values.len(),
            });
        }
        Self::new(
            nested.src_tokens,
            nested.tgt_tokens,
            nested.weights.concat(),
        )
    }
}

impl From<AttentionMap> for NestedMap {
    fn from(map: AttentionMap) -> Self {
        Self {
            weights: map.rows().map(<[f32]>::to_vec).collect(),
            src_tokens: map.src_tokens,
            tgt_tokens: map.tgt_tokens,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A map from tokens separated by `|` and its rows.
    pub(crate) fn map(src: &str, tgt: &str, weights: &[f32]) -> AttentionMap {
        let tokens = |text: &str| text.split('|').map(String::from).collect();
        AttentionMap::new(tokens(src), tokens(tgt), weights.to_vec()).unwrap()
    }

    #[test]
    fn reads_rows_and_weights() {
        let map = map("a|b|c", "x|y", &[0.1, 0.2, 0.7, 1.0, 0.0, 0.0]);
        assert_eq!(map.row(1), [1.0, 0.0, 0.0]);
        assert_eq!(map.weight(0, 2), 0.7);
        assert_eq!(map.rows().len(), 2);
    }

    #[test]
    fn allows_an_empty_source_or_target() {
        let no_source = AttentionMap::new(vec![], vec!["x".into()], vec![]).unwrap();
        assert!(no_source.row(0).is_empty());
        let no_target = AttentionMap::new(vec!["a".into()], vec![], vec![]).unwrap();
        assert_eq!(no_target.rows().len(), 0);
    }

    #[test]
    fn refuses_wrong_sizes_and_bad_weights() {
        let new = |weights: &[f32]| {
            AttentionMap::new(
                vec!["a".into(), "b".into()],
                vec!["x".into(), "y".into()],
                weights.to_vec(),
            )
        };
        let error = new(&[0.5; 3]).unwrap_err();
        assert!(matches!(error, Error::WeightCount { found: 3, .. }));
        assert!(error.to_string().contains("needs 4 weights, found 3"));
        for bad in [f32::NAN, f32::INFINITY, -0.1] {
            let error = new(&[0.0, 1.0, bad, 0.0]).unwrap_err();
            assert!(matches!(error, Error::BadWeight { tgt: 1, src: 0, .. }));
        }
    }

    #[test]
    fn json_nests_the_rows_and_is_checked_when_read() {
        let map = map("a|b", "x|y", &[0.25, 0.75, 1.0, 0.0]);
        let json = serde_json::to_string(&map).unwrap();
        assert_eq!(
            json,
            r#"{"src_tokens":["a","b"],"tgt_tokens":["x","y"],"weights":[[0.25,0.75],[1.0,0.0]]}"#
        );
        assert_eq!(serde_json::from_str::<AttentionMap>(&json).unwrap(), map);

        // As many weights as needed, but in rows of the wrong lengths.
        let ragged = json.replace("[[0.25,0.75],[1.0,0.0]]", "[[0.25],[0.75,1.0,0.0]]");
        let error = serde_json::from_str::<AttentionMap>(&ragged).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("row 0 of `weights` has 1 values")
        );
    }
}
