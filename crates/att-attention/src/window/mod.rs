//! Windows: which states a query sees. One file each.

mod chunked;
mod local_m;
mod local_p;

use att_core::Result;
use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

pub use chunked::{Chunked, ChunkedConfig};
pub use local_m::{LocalM, LocalMConfig};
pub use local_p::{LocalP, LocalPConfig};

/// Which [`Window`], and its settings; in TOML `window = { kind = "local_m", radius = 10 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WindowConfig {
    /// Each query sees the whole source.
    None {},
    /// [`LocalM`].
    LocalM(LocalMConfig),
    /// [`LocalP`].
    LocalP(LocalPConfig),
    /// [`Chunked`].
    Chunked(ChunkedConfig),
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self::None {}
    }
}

impl WindowConfig {
    /// One of each kind with its default settings.
    pub fn all() -> Vec<Self> {
        vec![
            Self::None {},
            Self::LocalM(LocalMConfig::default()),
            Self::LocalP(LocalPConfig::default()),
            Self::Chunked(ChunkedConfig::default()),
        ]
    }

    /// Whether it leaves the sum of the weights as it is.
    pub fn sums_to_one(&self) -> bool {
        !matches!(self, Self::LocalP(_))
    }

    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::None {} => Ok(()),
            Self::LocalM(config) => config.validate(),
            Self::LocalP(config) => config.validate(),
            Self::Chunked(config) => config.validate(),
        }
    }

    /// A window with fresh weights, where it has any; none for the whole source.
    pub fn init(&self, d_query: usize, device: &Device) -> Option<Window> {
        match self {
            Self::None {} => None,
            Self::LocalM(config) => Some(Window::LocalM(config.init())),
            Self::LocalP(config) => Some(Window::LocalP(config.init(d_query, device))),
            Self::Chunked(config) => Some(Window::Chunked(config.init())),
        }
    }
}

/// A window of any kind.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a model holds one
pub enum Window {
    /// around a centre that slides along
    LocalM(LocalM),
    /// around a predicted position
    LocalP(LocalP),
    /// one chunk after the other
    Chunked(Chunked),
}

/// What a [`Window`] chooses by.
#[derive(Clone, Debug)]
pub struct WindowInput<'a> {
    /// `[batch, tgt_len, d_query]`
    pub query: &'a Tensor<3>,
    /// The step of each query, `[batch, tgt_len]`, row after row.
    pub steps: &'a [usize],
    /// The row's own length: one past its last real token, `[batch]`.
    pub ends: &'a Tensor<1>,
    /// With padding.
    pub src_len: usize,
}

/// The states that each query sees.
#[derive(Clone, Debug)]
pub struct Slots {
    /// Where they stand in the source, each once, `[batch, tgt_len, width]`.
    pub indices: Tensor<3, Int>,
    /// True where the window ends before its slots do, `[batch, tgt_len, width]`.
    pub mask: Tensor<3, Bool>,
    /// What their weights are multiplied by, `[batch, tgt_len, width]`; none is one everywhere.
    pub prior: Option<Tensor<3>>,
}

impl WindowInput<'_> {
    /// Positions that go along the source by the steps, no further than its last token,
    /// `[batch, tgt_len]`.
    fn along(&self, position: impl Fn(usize) -> f64) -> Tensor<2> {
        let [batch, tgt_len, _] = self.query.dims();
        let positions = self.steps.iter().map(|&step| position(step) as f32);
        let positions = TensorData::new(positions.collect::<Vec<f32>>(), [batch, tgt_len]);
        self.within(Tensor::from_data(positions, &self.ends.device()))
    }

    /// Positions (`[batch, tgt_len]`), those behind the last token moved to it.
    fn within(&self, positions: Tensor<2>) -> Tensor<2> {
        let last = (self.ends.clone() - 1.0)
            .clamp_min(0.0)
            .unsqueeze_dim::<2>(1);
        let last = last.expand(positions.shape());
        positions.min_pair(last)
    }

    /// The `width` states from `first` on (`[batch, tgt_len]`, whole numbers, may be negative), as
    /// far as there are any.
    fn slots(&self, first: Tensor<2>, width: usize) -> Slots {
        // Where the window stands out of the source, the slots are moved into it, and those that it
        // does not cover are masked: no state has two.
        let n_slots = width.min(self.src_len);
        let start = first.clone().clamp(0.0, (self.src_len - n_slots) as f64);
        let slots = Tensor::<1, Int>::arange(0..n_slots as i64, &first.device()).float();
        let places = start.unsqueeze_dim::<3>(2) + slots.unsqueeze::<3>();
        let first = first.unsqueeze_dim::<3>(2);
        let before = places.clone().lower(first.clone());
        let behind = places.clone().greater_equal(first + width as f64);
        Slots {
            indices: places.int(),
            mask: before.bool_or(behind),
            prior: None,
        }
    }
}

impl Window {
    /// Which states each query sees.
    pub fn slots(&self, input: &WindowInput) -> Slots {
        match self {
            Self::LocalM(window) => window.slots(input),
            Self::LocalP(window) => window.slots(input),
            Self::Chunked(window) => window.slots(input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The states seen by each query of one source of `end` tokens, padded to `src_len`.
    fn seen(window: &WindowConfig, steps: &[usize], end: usize, src_len: usize) -> Vec<Vec<i64>> {
        let device = Device::flex();
        let query = Tensor::zeros([1, steps.len(), 2], &device);
        let slots = window.init(2, &device).unwrap().slots(&WindowInput {
            query: &query,
            steps,
            ends: &Tensor::from_data([end as f32], &device),
            src_len,
        });
        let [_, _, width] = slots.indices.dims();
        let indices: Vec<i64> = slots.indices.into_data().iter().collect();
        let masked: Vec<bool> = slots.mask.into_data().iter().collect();
        let rows = indices.chunks(width).zip(masked.chunks(width));
        let shown = |(indices, masked): (&[i64], &[bool])| {
            let shown = indices.iter().zip(masked).filter(|(_, masked)| !**masked);
            shown.map(|(index, _)| *index).collect()
        };
        rows.map(shown).collect()
    }

    #[test]
    fn a_sliding_window_moves_by_its_ratio_and_stays_at_the_end() {
        let window = WindowConfig::LocalM(LocalMConfig {
            radius: 1,
            ratio: 1.5,
        });
        let of = |steps: &[usize]| seen(&window, steps, 6, 8);
        assert_eq!(of(&[0, 1, 2]), [vec![0, 1], vec![1, 2, 3], vec![2, 3, 4]]);
        // What stands behind the end is padding, and masked as such.
        assert_eq!(of(&[9, 100]), [vec![4, 5, 6], vec![4, 5, 6]]);
        assert_eq!(seen(&window, &[1], 1, 1), [vec![0]]);
        assert_eq!(seen(&window, &[1], 0, 2), [vec![0, 1]]);
    }

    #[test]
    fn chunks_follow_each_other() {
        let window = WindowConfig::Chunked(ChunkedConfig {
            size: 3,
            ratio: 1.0,
        });
        let chunks = seen(&window, &[0, 2, 3, 5, 6, 9], 7, 7);
        let (first, second, third) = (vec![0, 1, 2], vec![3, 4, 5], vec![6]);
        let expected = [&first, &first, &second, &second, &third, &third];
        assert_eq!(chunks.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_predicted_window_lies_on_the_source() {
        // The query is zero: half the length.
        let window = WindowConfig::LocalP(LocalPConfig {
            radius: 2,
            d_attn: 3,
        });
        assert_eq!(seen(&window, &[0], 8, 20), [vec![2, 3, 4, 5, 6]]);
    }
}
