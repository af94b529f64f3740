use att_core::{Error, Result};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::from;

/// Configuration of [`RotaryPositions`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RotaryPositionsConfig {
    /// The slowest pair turns about once in `2 pi base` positions; 10,000 unless told.
    pub base: f64,
}

impl Default for RotaryPositionsConfig {
    fn default() -> Self {
        Self { base: 10_000.0 }
    }
}

impl RotaryPositionsConfig {
    /// # Errors
    ///
    /// If the base is not above 1, or a head has an odd number of numbers.
    pub fn validate(&self, d_head: usize) -> Result<()> {
        if !(self.base > 1.0 && self.base.is_finite()) {
            let reason = format!("{} is not a base: use a number above 1", self.base);
            return Err(Error::config("base", reason));
        }
        if !d_head.is_multiple_of(2) {
            let reason = format!(
                "rotary positions turn pairs of numbers, but a head has {d_head}: make d_model / \
                 n_heads even"
            );
            return Err(Error::config("kind", reason));
        }
        Ok(())
    }

    /// The positions.
    pub fn init(&self) -> RotaryPositions {
        RotaryPositions { base: self.base }
    }
}

/// Turns each pair of numbers of a query or key by an angle that grows with its position, so that a
/// score depends on the distance alone (Su et al. 2021, eq. 34):
///
/// ```text
/// angle[t, i] = t / base^(2 i / d_head)
/// (a, b) -> (a cos - b sin, b cos + a sin)     a, b: numbers i and i + d_head / 2 of a head
/// ```
#[derive(Module, Debug)]
pub struct RotaryPositions {
    base: f64,
}

impl RotaryPositions {
    /// `x` of `n` heads side by side, at the positions from `starts` on.
    ///
    /// - `x`: `[batch, len, n * d_head]`
    /// - `starts`: of each row, or one of all rows
    /// - returns the same shape
    ///
    /// # Panics
    ///
    /// If there are not `n` heads of an even size, or not as many starts.
    pub fn forward(&self, x: Tensor<3>, n: usize, starts: &[usize]) -> Tensor<3> {
        let [batch, len, d] = x.dims();
        let d_head = d / n;
        assert!(
            d == n * d_head && d_head.is_multiple_of(2),
            "vectors of {d} are not {n} heads of an even size"
        );
        let half = d_head / 2;
        let device = x.device();
        let angles = |wave: fn(f64) -> f64| {
            let angle =
                |t: usize, i: usize| t as f64 / self.base.powf(2.0 * i as f64 / d_head as f64);
            let numbers: Vec<f32> = from(starts, len)
                .flat_map(|t| (0..half).map(move |i| wave(angle(t, i)) as f32))
                .collect();
            let shape = [starts.len(), len, 1, 1, half];
            Tensor::<5>::from_data(TensorData::new(numbers, shape), &device)
        };
        let (cos, sin) = (angles(f64::cos), angles(f64::sin));
        let x = x.reshape([batch, len, n, 2, half]);
        let (a, b) = (x.clone().narrow(3, 0, 1), x.narrow(3, 1, 1));
        let turned = [
            a.clone() * cos.clone() - b.clone() * sin.clone(),
            b * cos + a * sin,
        ];
        Tensor::cat(turned.into(), 3).reshape([batch, len, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::random;
    use burn::tensor::Device;

    #[test]
    fn the_formula_holds() {
        let rotary = RotaryPositionsConfig { base: 100.0 }.init();
        let x = Tensor::from_data([[[1.0, 2.0, 3.0, 4.0]]], &Device::flex());
        let found: Vec<f32> = rotary.forward(x, 1, &[3]).into_data().iter().collect();
        let turn = |a: f32, b: f32, angle: f32| {
            let (sin, cos) = angle.sin_cos();
            (a * cos - b * sin, b * cos + a * sin)
        };
        let ((a, c), (b, d)) = (turn(1.0, 3.0, 3.0), turn(2.0, 4.0, 0.3));
        for (found, expected) in found.into_iter().zip([a, b, c, d]) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn scores_depend_on_the_distance_alone() {
        let device = Device::flex();
        random::seed(4);
        let rotary = RotaryPositionsConfig::default().init();
        let [query, key] = [0; 2].map(|_| {
            let data = TensorData::new(random::normal(2 * 6, 1.0), [1, 1, 12]);
            Tensor::<3>::from_data(data, &device)
        });
        let score = |at_query: usize, at_key: usize| {
            let query = rotary.forward(query.clone(), 2, &[at_query]);
            let key = rotary.forward(key.clone(), 2, &[at_key]);
            (query * key).sum().into_scalar::<f32>()
        };
        assert!((score(7, 3) - score(104, 100)).abs() < 1e-4);
        assert!((score(7, 3) - score(7, 4)).abs() > 1e-3);
    }
}
