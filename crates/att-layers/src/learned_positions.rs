use att_core::ops::embedding;
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::init;

/// A learned vector for each position of a sequence (Gehring et al. 2017, sec. 3.1). Positions
/// beyond the last one of the table share its last vector.
#[derive(Module, Debug)]
pub struct LearnedPositions {
    /// The table, `[max_positions, d]`.
    pub weight: Param<Tensor<2>>,
}

impl LearnedPositions {
    /// A table of `max_positions` vectors, normal with deviation 0.1 (Gehring et al. 2017,
    /// sec. 4.2).
    pub fn new(max_positions: usize, d: usize, device: &Device) -> Self {
        Self {
            weight: init::normal([max_positions, d], 0.1, device),
        }
    }

    /// The vectors of some positions, counted from 0: `[n, d]`.
    ///
    /// # Panics
    ///
    /// If there is no position.
    pub fn forward(&self, positions: impl Iterator<Item = usize>) -> Tensor<2> {
        let table = self.weight.val();
        let last = table.dims()[0] - 1;
        let ids: Vec<i64> = positions
            .map(|position| position.min(last) as i64)
            .collect();
        let shape = [1, ids.len()];
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &table.device());
        embedding(table, ids).squeeze_dim(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beyond_the_table_has_its_last_vector() {
        let device = Device::flex();
        let positions = LearnedPositions::new(3, 2, &device);
        let found = positions.forward([2, 0, 7].into_iter());
        let table = positions.weight.val();
        let expected = table.select(0, Tensor::from_data([2, 0, 2], &device));
        found.into_data().assert_eq(&expected.into_data(), true);
    }
}
