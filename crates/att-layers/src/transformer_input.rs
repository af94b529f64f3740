use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::{AbsolutePositions, Dropout, Linear, PositionsConfig, init};

/// What the lowest layer of a Transformer reads (Vaswani et al. 2017, sec. 3.4 and 3.5):
///
/// ```text
/// x[t] = dropout(sqrt(d_embed) e[t] + p[t])
/// ```
///
/// with e the tokens' vectors and p the positions'. Where `d_embed` is not `d_model`, a linear map
/// stands before p.
#[derive(Module, Debug)]
pub struct TransformerInput {
    /// From `d_embed` to `d_model`, where they differ.
    pub projection: Option<Linear>,
    /// p; none of rotary positions.
    pub positions: Option<AbsolutePositions>,
    /// On the sum.
    pub dropout: Dropout,
    /// Whether e is multiplied by `sqrt(d_embed)`.
    pub scale: bool,
}

impl TransformerInput {
    /// With fresh weights.
    ///
    /// # Panics
    ///
    /// If `dropout` is not in `[0, 1)`.
    pub fn new(
        [d_embed, d_model]: [usize; 2],
        positions: &PositionsConfig,
        scale: bool,
        dropout: f64,
        device: &Device,
    ) -> Self {
        Self {
            projection: (d_embed != d_model).then(|| init::linear(d_embed, d_model, true, device)),
            positions: positions.absolute(d_model, device),
            dropout: Dropout::new(dropout),
            scale,
        }
    }

    /// - `embedded`: `[batch, len, d_embed]`
    /// - `starts`: the position of the first token of each row, or one of all rows
    /// - returns `[batch, len, d_model]`
    pub fn forward(&self, embedded: Tensor<3>, starts: &[usize]) -> Tensor<3> {
        let [_, _, d_embed] = embedded.dims();
        let mut x = embedded;
        if self.scale {
            x = x * (d_embed as f64).sqrt();
        }
        if let Some(projection) = &self.projection {
            x = projection.forward(x);
        }
        if let Some(positions) = &self.positions {
            x = positions.forward(x, starts);
        }
        self.dropout.forward(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_scaled_before_positions_are_added() {
        let device = Device::flex();
        let positions = PositionsConfig::default();
        let input = |scale| TransformerInput::new([4, 4], &positions, scale, 0.0, &device);
        let x = || Tensor::<3>::from_data([[[0.5, 1.0, 0.0, 0.0]]], &device);
        let numbers = |x: Tensor<3>| x.into_data().iter::<f32>().collect::<Vec<_>>();
        assert_eq!(
            numbers(input(true).forward(x(), &[0])),
            [1.0, 3.0, 0.0, 1.0]
        );
        assert_eq!(
            numbers(input(false).forward(x(), &[0])),
            [0.5, 2.0, 0.0, 1.0]
        );
    }
}
