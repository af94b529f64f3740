use std::ops::Range;

use att_core::ops::linear;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// `y = x W + b`; [`init::linear`](crate::init::linear) makes one.
///
/// As burn's layer of this name, with the same names of its weights, but as one operation with
/// this workspace's products ([`att_core::ops::linear()`]).
#[derive(Module, Debug)]
pub struct Linear {
    /// W, `[d_input, d_output]`.
    pub weight: Param<Tensor<2>>,
    /// b, `[d_output]`; none where the map has no bias.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// `[.., d_input]`, of two dimensions or more, to `[.., d_output]`.
    ///
    /// # Panics
    ///
    /// If the last dimension is not `d_input`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        linear(x, self.weight.val(), bias)
    }

    /// The rows of W that meet some numbers of the input, `[rows, d_output]`: of vectors side by side each
    /// can be mapped by itself, `[x; z] W = x W[..d_x] + z W[d_x..]`. No copy on the flex backend.
    ///
    /// # Panics
    ///
    /// If there are not as many rows.
    pub fn rows(&self, rows: Range<usize>) -> Tensor<2> {
        self.weight.val().narrow(0, rows.start, rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_formula_holds() {
        let device = Device::flex();
        let layer = Linear {
            weight: crate::init::param(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], &device),
            bias: Some(crate::init::param(vec![0.5, 0.0, -0.5], [3], &device)),
        };
        let y = layer.forward(Tensor::<3>::from_data([[[1.0, 10.0]]], &device));
        let y: Vec<f32> = y.into_data().iter().collect();
        assert_eq!(y, [41.5, 52.0, 62.5]);
    }
}
