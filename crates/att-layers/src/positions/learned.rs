use att_core::{Result, check, ops};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::from;
use crate::init;

/// Configuration of [`LearnedPositions`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedPositionsConfig {
    /// Positions that have a vector of their own; 512 unless told.
    pub max_len: usize,
}

impl Default for LearnedPositionsConfig {
    fn default() -> Self {
        Self { max_len: 512 }
    }
}

impl LearnedPositionsConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("max_len", self.max_len)
    }

    /// Fresh vectors of `d_model`, normal with deviation 0.02 (Devlin et al. 2019).
    pub fn init(&self, d_model: usize, device: &Device) -> LearnedPositions {
        LearnedPositions {
            weight: init::normal([self.max_len, d_model], 0.02, device),
        }
    }
}

/// A learned vector for each position (Gehring et al. 2017, sec. 3.1). Positions beyond the table
/// have its last vector: they can be read, but not told apart.
#[derive(Module, Debug)]
pub struct LearnedPositions {
    /// `[max_len, d_model]`
    pub weight: Param<Tensor<2>>,
}

impl LearnedPositions {
    /// Those of `len` positions from each of `n` starts on, `[n, len, d_model]`.
    pub fn vectors(&self, starts: &[usize], len: usize) -> Tensor<3> {
        let weight = self.weight.val();
        let [max_len, _] = weight.dims();
        let ids: Vec<i64> = from(starts, len)
            .map(|t| t.min(max_len - 1) as i64)
            .collect();
        let ids = Tensor::from_data(TensorData::new(ids, [starts.len(), len]), &weight.device());
        ops::embedding(weight, ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_table_stands_its_last_vector() {
        let device = Device::flex();
        let positions = LearnedPositionsConfig { max_len: 3 }.init(2, &device);
        let table = positions.weight.val();
        let vectors = positions.vectors(&[1], 4);
        assert_eq!(vectors.dims(), [1, 4, 2]);
        let vectors = vectors.squeeze_dim::<2>(0);
        let last = table.narrow(0, 2, 1).expand([3, 2]);
        vectors
            .narrow(0, 1, 3)
            .into_data()
            .assert_eq(&last.into_data(), true);
    }
}
