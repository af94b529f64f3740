//! How a layer without recurrence knows where a token stands. One file each.

mod learned;
mod rotary;
mod sinusoidal;

use att_core::Result;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use learned::{LearnedPositions, LearnedPositionsConfig};
pub use rotary::{RotaryPositions, RotaryPositionsConfig};
pub use sinusoidal::{SinusoidalPositions, SinusoidalPositionsConfig};

/// Which positions; in TOML `positions = { kind = "sinusoidal" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PositionsConfig {
    /// [`SinusoidalPositions`].
    Sinusoidal(SinusoidalPositionsConfig),
    /// [`LearnedPositions`].
    Learned(LearnedPositionsConfig),
    /// [`RotaryPositions`].
    Rotary(RotaryPositionsConfig),
}

impl Default for PositionsConfig {
    fn default() -> Self {
        Self::Sinusoidal(SinusoidalPositionsConfig {})
    }
}

impl PositionsConfig {
    /// One of each kind with its default settings.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Sinusoidal(SinusoidalPositionsConfig {}),
            Self::Learned(LearnedPositionsConfig::default()),
            Self::Rotary(RotaryPositionsConfig::default()),
        ]
    }

    /// # Errors
    ///
    /// If a value is out of its range, or does not fit heads of `d_head`.
    pub fn validate(&self, d_head: usize) -> Result<()> {
        match self {
            Self::Sinusoidal(_) => Ok(()),
            Self::Learned(config) => config.validate(),
            Self::Rotary(config) => config.validate(d_head),
        }
    }

    /// What is added to vectors of `d_model`; none of rotary positions.
    pub fn absolute(&self, d_model: usize, device: &Device) -> Option<AbsolutePositions> {
        match self {
            Self::Sinusoidal(_) => Some(AbsolutePositions::Sinusoidal(SinusoidalPositions {})),
            Self::Learned(config) => Some(AbsolutePositions::Learned(config.init(d_model, device))),
            Self::Rotary(_) => None,
        }
    }

    /// What turns queries and keys; none of absolute positions.
    pub fn rotary(&self) -> Option<RotaryPositions> {
        match self {
            Self::Rotary(config) => Some(config.init()),
            Self::Sinusoidal(_) | Self::Learned(_) => None,
        }
    }
}

/// Positions that are vectors, added to those of the tokens.
#[derive(Module, Debug)]
pub enum AbsolutePositions {
    /// Waves.
    Sinusoidal(SinusoidalPositions),
    /// A learned table.
    Learned(LearnedPositions),
}

impl AbsolutePositions {
    /// `x` of `[batch, len, d_model]` with the vectors of the positions from `starts` on added.
    ///
    /// - `starts`: of each row, or one of all rows
    ///
    /// # Panics
    ///
    /// If there are not as many starts.
    pub fn forward(&self, x: Tensor<3>, starts: &[usize]) -> Tensor<3> {
        let [_, len, d_model] = x.dims();
        let vectors = match self {
            Self::Sinusoidal(positions) => positions.vectors(starts, len, d_model, &x.device()),
            Self::Learned(positions) => positions.vectors(starts, len),
        };
        x + vectors
    }
}

/// The positions of `len` tokens from each start on, row after row.
fn from(starts: &[usize], len: usize) -> impl Iterator<Item = usize> {
    starts.iter().flat_map(move |&start| start..start + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::random;

    #[test]
    fn later_positions_are_those_of_a_longer_pass() {
        let device = Device::flex();
        random::seed(1);
        for config in PositionsConfig::all() {
            let x = Tensor::<3>::ones([2, 5, 8], &device);
            let at = |x: Tensor<3>, starts: &[usize]| match config.rotary() {
                Some(rotary) => rotary.forward(x, 2, starts),
                None => {
                    random::seed(2);
                    let absolute = config.absolute(8, &device).unwrap();
                    absolute.forward(x, starts)
                }
            };
            let whole = at(x.clone(), &[0]);
            let close = |found: Tensor<3>, rows: [usize; 2]| {
                let row = |(row, start)| whole.clone().narrow(0, row, 1).narrow(1, start, 2);
                let expected = Tensor::cat(rows.into_iter().enumerate().map(row).collect(), 0);
                assert!(
                    found.all_close(expected, Some(1e-5), Some(1e-6)),
                    "{config:?}"
                );
            };
            let two = x.narrow(1, 0, 2);
            close(at(two.clone(), &[3]), [3, 3]);
            close(at(two, &[1, 3]), [1, 3]);
            let (first, second) = (whole.clone().narrow(1, 0, 1), whole.narrow(1, 1, 1));
            assert!(!first.all_close(second, None, None), "{config:?}");
        }
    }
}
