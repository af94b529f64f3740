use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::from;

/// Configuration of [`SinusoidalPositions`]: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinusoidalPositionsConfig {}

/// Waves of many lengths (Vaswani et al. 2017, sec. 3.5), for texts of any length:
///
/// ```text
/// p[t, 2 i]     = sin(t / 10000^(2 i / d))
/// p[t, 2 i + 1] = cos(t / 10000^(2 i / d))
/// ```
#[derive(Module, Debug)]
pub struct SinusoidalPositions {}

impl SinusoidalPositions {
    /// Those of `len` positions from each of `n` starts on, `[n, len, d_model]`.
    pub fn vectors(
        &self,
        starts: &[usize],
        len: usize,
        d_model: usize,
        device: &Device,
    ) -> Tensor<3> {
        let number = |t: usize, i: usize| {
            let exponent = (i - i % 2) as f64 / d_model as f64;
            let angle = t as f64 / 10_000f64.powf(exponent);
            let wave = if i.is_multiple_of(2) {
                angle.sin()
            } else {
                angle.cos()
            };
            wave as f32
        };
        let numbers: Vec<f32> = from(starts, len)
            .flat_map(|t| (0..d_model).map(move |i| number(t, i)))
            .collect();
        let shape = [starts.len(), len, d_model];
        Tensor::from_data(TensorData::new(numbers, shape), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_holds() {
        let vectors = SinusoidalPositions {}.vectors(&[2], 1, 4, &Device::flex());
        let found: Vec<f32> = vectors.into_data().iter().collect();
        let expected = [2f32.sin(), 2f32.cos(), 0.02f32.sin(), 0.02f32.cos()];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
