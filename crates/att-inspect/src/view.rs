use std::fmt;
use std::str::FromStr;

use crate::{AttentionMap, AttentionRecord, Error, Result};

/// Which of an output's weights are looked at: those that its decoder reports, or those of its layers and
/// heads, counted from 0 as in a model's `alignment = { layer = 2, head = 0 }`.
///
/// As text it is `weights`, `mean`, a layer such as `2`, or a head such as `2.0`.
///
/// ```
/// use att_inspect::View;
///
/// let head = View::Head { layer: 2, head: 0 };
/// assert_eq!("2.0".parse::<View>()?, head);
/// assert_eq!(head.to_string(), "2.0");
/// # Ok::<(), att_inspect::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// The one row of weights a step that the decoder reports, and search uses.
    #[default]
    Weights,
    /// The mean over all heads of all layers.
    Mean,
    /// The mean over the heads of a layer.
    Layer(usize),
    /// One head.
    Head {
        /// From the bottom.
        layer: usize,
        /// Of the layer.
        head: usize,
    },
}

impl AttentionRecord {
    /// All that can be looked at: [`View::Weights`], and where there are layers and heads, their mean, and
    /// each layer with its heads. A layer of one head is not listed beside it, nor the mean of one.
    pub fn views(&self) -> Vec<View> {
        let mut views = vec![View::Weights];
        let heads: usize = self.head_weights.iter().map(Vec::len).sum();
        if heads > 1 {
            views.push(View::Mean);
        }
        for (layer, heads) in self.head_weights.iter().enumerate() {
            if heads.len() > 1 {
                views.push(View::Layer(layer));
            }
            views.extend((0..heads.len()).map(|head| View::Head { layer, head }));
        }
        views
    }

    /// The map of a view.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchView`] where the record has no such layer or head, or none at all.
    pub fn view(&self, view: View) -> Result<AttentionMap> {
        let layers = &self.head_weights;
        let heads: Option<Vec<_>> = match view {
            View::Weights => return Ok(self.map.clone()),
            View::Mean => Some(layers.iter().flatten().collect()),
            View::Layer(layer) => layers.get(layer).map(|heads| heads.iter().collect()),
            View::Head { layer, head } => layers
                .get(layer)
                .and_then(|heads| heads.get(head))
                .map(|head| vec![head]),
        };
        let Some(heads) = heads.filter(|heads| !heads.is_empty()) else {
            return Err(Error::NoSuchView {
                view,
                layers: layers.len(),
                heads: layers.first().map_or(0, Vec::len),
            });
        };
        let (tgt_len, src_len) = (self.map.tgt_len(), self.map.src_len());
        let mean = |(t, s): (usize, usize)| {
            let sum: f64 = heads.iter().map(|head| f64::from(head[t][s])).sum();
            (sum / heads.len() as f64) as f32
        };
        let cells = (0..tgt_len).flat_map(|t| (0..src_len).map(move |s| (t, s)));
        AttentionMap::new(
            self.map.src_tokens().to_vec(),
            self.map.tgt_tokens().to_vec(),
            cells.map(mean).collect(),
        )
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weights => f.pad("weights"),
            Self::Mean => f.pad("mean"),
            Self::Layer(layer) => f.pad(&layer.to_string()),
            Self::Head { layer, head } => f.pad(&format!("{layer}.{head}")),
        }
    }
}

impl FromStr for View {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::View`] where the text names no view.
    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok();
        let found = match (text, text.split_once('.')) {
            ("weights", _) => Some(Self::Weights),
            ("mean", _) => Some(Self::Mean),
            (text, None) => number(text).map(Self::Layer),
            (_, Some((layer, head))) => number(layer)
                .zip(number(head))
                .map(|(layer, head)| Self::Head { layer, head }),
        };
        found.ok_or_else(|| Error::View { text: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record_of;

    #[test]
    fn means_are_those_of_the_heads() {
        let mut record = record_of("a|b", "x", &[0.5, 0.5]);
        assert_eq!(record.views(), [View::Weights]);
        let error = record.view(View::Mean).unwrap_err().to_string();
        assert!(error.contains("no weights of layers and heads"), "{error}");

        record.head_weights = vec![
            vec![vec![vec![1.0, 0.0]], vec![vec![0.5, 0.5]]],
            vec![vec![vec![0.0, 1.0]]],
        ];
        let names: Vec<String> = record.views().iter().map(View::to_string).collect();
        assert_eq!(names, ["weights", "mean", "0", "0.0", "0.1", "1.0"]);
        let weights = |view: &str| {
            let map = record.view(view.parse().unwrap()).unwrap();
            map.weights().to_vec()
        };
        assert_eq!(weights("weights"), [0.5, 0.5]);
        assert_eq!(weights("mean"), [0.5, 0.5]);
        assert_eq!(weights("0"), [0.75, 0.25]);
        assert_eq!(weights("1.0"), [0.0, 1.0]);
        for view in ["2", "0.2", "1.1"] {
            let error = record.view(view.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(&format!("no `{view}`")), "{error}");
            assert!(error.contains("2 layers of 2 heads"), "{error}");
        }
    }

    #[test]
    fn views_are_written_as_they_are_read() {
        for text in ["weights", "mean", "3", "3.11"] {
            assert_eq!(text.parse::<View>().unwrap().to_string(), text);
        }
        for text in ["", "head", "1.2.3", "-1", "1.", ".1"] {
            let error = text.parse::<View>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }
}
