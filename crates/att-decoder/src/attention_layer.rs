use serde::{Deserialize, Serialize};

/// With the state of which recurrent layer a decoder reads the memory; in TOML
/// `attention_layer = "last"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionLayer {
    /// The top one's.
    #[default]
    Last,
    /// The bottom one's; the context then joins the input of each layer above (Wu et al. 2016,
    /// sec. 3).
    First,
}

impl AttentionLayer {
    /// Size of the context that joins the input of the layers above the first.
    pub(crate) fn d_context(self, d_memory: usize) -> usize {
        match self {
            Self::Last => 0,
            Self::First => d_memory,
        }
    }
}
