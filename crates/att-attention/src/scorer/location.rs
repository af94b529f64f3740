use att_core::{Result, check};
use att_layers::{Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

/// The score of a position that a [`Location`] has no weights for: far below any other.
const OUT_OF_REACH: f32 = -1e9;

/// Configuration of [`Location`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocationConfig {
    /// The longest source that is looked at whole; what stands behind gets no weight; 256 unless told.
    pub max_src_len: usize,
}

impl Default for LocationConfig {
    fn default() -> Self {
        Self { max_src_len: 256 }
    }
}

impl LocationConfig {
    /// # Errors
    ///
    /// If `max_src_len` is not a size.
    pub fn validate(&self) -> Result<()> {
        check::size("max_src_len", self.max_src_len)
    }

    /// Fresh weights.
    pub fn init(&self, d_query: usize, device: &Device) -> Location {
        Location {
            position: init::linear(d_query, self.max_src_len, false, device),
        }
    }
}

/// `score(q, m[s]) = (W q)[s]` (Luong et al. 2015, sec. 3.1, "location"): from the query and the
/// position, whatever stands there. The paper's baseline, and a measure of what content is worth.
///
/// ```
/// use att_attention::LocationConfig;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let location = LocationConfig { max_src_len: 2 }.init(3, &device);
/// let keys = location.keys(Tensor::zeros([1, 4, 7], &device));
/// let scores = att_core::host_vec(location.score(Tensor::ones([1, 1, 3], &device), keys));
/// assert!(scores[..2].iter().all(|score| score.abs() < 100.0));
/// assert!(scores[2..].iter().all(|score| *score < -1e8)); // out of reach
/// ```
#[derive(Module, Debug)]
pub struct Location {
    /// W, stored as `[d_query, max_src_len]`.
    pub position: Linear,
}

impl Location {
    /// The positions, `[batch, src_len, 1]`: a key, so that it stays with its state where a window
    /// takes some.
    pub fn keys(&self, memory: Tensor<3>) -> Tensor<3> {
        let [batch, src_len, _] = memory.dims();
        let positions = Tensor::<1, Int>::arange(0..src_len as i64, &memory.device()).float();
        positions
            .reshape([1, src_len, 1])
            .expand([batch, src_len, 1])
    }

    /// - `query`: `[batch, tgt_len, d_query]`, `keys`: `[batch, src_len, 1]`
    /// - returns `[batch, tgt_len, src_len]`
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub fn score(&self, query: Tensor<3>, keys: Tensor<3>) -> Tensor<3> {
        let [batch, tgt_len, _] = query.dims();
        let [_, src_len, _] = keys.dims();
        let scores = self.position.forward(query);
        let [_, _, max_src_len] = scores.dims();
        let positions = keys.int().swap_dims(1, 2).expand([batch, tgt_len, src_len]);
        let out_of_reach = positions.clone().greater_equal_elem(max_src_len as i64);
        let positions = positions.clamp_max(max_src_len as i64 - 1);
        scores
            .gather(2, positions)
            .mask_fill(out_of_reach, OUT_OF_REACH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::host_vec;

    #[test]
    fn a_position_has_its_row_whatever_stands_there() {
        let device = Device::flex();
        let location = Location {
            position: Linear {
                weight: init::param(vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0], [2, 3], &device),
                bias: None,
            },
        };
        let keys = location.keys(Tensor::zeros([1, 5, 7], &device));
        let query = Tensor::from_data([[[1.0, 0.0], [0.0, 1.0]]], &device);
        let far = OUT_OF_REACH;
        assert_eq!(
            host_vec(location.score(query, keys)),
            [1.0, 2.0, 3.0, far, far, 10.0, 20.0, 30.0, far, far]
        );
    }
}
