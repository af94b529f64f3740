use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::{Dropout, Linear, init};

/// What stands between the two products of a [`FeedForward`]; in TOML `activation = "relu"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationKind {
    /// `max(0, x)` (Vaswani et al. 2017, eq. 2).
    #[default]
    Relu,
    /// `x P(z <= x)` for a normal z (Hendrycks and Gimpel 2016).
    Gelu,
    /// `silu(x W) * x V`, with `silu(x) = x / (1 + exp(-x))` (Shazeer 2020, eq. 6): a third matrix,
    /// and no bias. A `d_ff` of two thirds gives as many weights as the other kinds have.
    Swiglu,
}

/// The network that each position goes through alone:
///
/// ```text
/// y = activation(x W_1 + b_1) W_2 + b_2           Vaswani et al. 2017, eq. 2
/// y = (silu(x W_1) * x V) W_2                     SwiGLU, Shazeer 2020, eq. 6
/// ```
#[derive(Module, Debug)]
pub struct FeedForward {
    /// W_1 and b_1, `[d_model, d_ff]`.
    pub inner: Linear,
    /// V of SwiGLU, `[d_model, d_ff]`.
    pub gate: Option<Linear>,
    /// W_2 and b_2, `[d_ff, d_model]`.
    pub outer: Linear,
    /// Before the second product.
    pub dropout: Dropout,
    #[module(skip)]
    activation: ActivationKind,
}

impl FeedForward {
    /// With fresh weights.
    ///
    /// # Panics
    ///
    /// If `dropout` is not in `[0, 1)`.
    pub fn new(
        d_model: usize,
        d_ff: usize,
        activation: ActivationKind,
        dropout: f64,
        device: &Device,
    ) -> Self {
        let gated = activation == ActivationKind::Swiglu;
        Self {
            inner: init::linear(d_model, d_ff, !gated, device),
            gate: gated.then(|| init::linear(d_model, d_ff, false, device)),
            outer: init::linear(d_ff, d_model, !gated, device),
            dropout: Dropout::new(dropout),
            activation,
        }
    }

    /// `[.., d_model]`, of two dimensions or more, to the same shape.
    ///
    /// # Panics
    ///
    /// If the last dimension is not `d_model`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let inner = self.inner.forward(x.clone());
        let inner = match self.activation {
            ActivationKind::Relu => activation::relu(inner),
            ActivationKind::Gelu => gelu(inner),
            ActivationKind::Swiglu => activation::silu(inner),
        };
        let inner = match &self.gate {
            Some(gate) => inner * gate.forward(x),
            None => inner,
        };
        self.outer.forward(self.dropout.forward(inner))
    }
}

/// The exact function; the gradient of burn's own is approximate on some backends.
fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let below = (x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0;
    x * below * 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights of one number: W_1 = 2, V = 3, W_2 = 5.
    fn output(kind: ActivationKind, x: f32) -> f32 {
        let device = Device::flex();
        let mut layer = FeedForward::new(1, 1, kind, 0.0, &device);
        let weight = |value: f32| init::constant([1, 1], value, &device);
        layer.inner.weight = weight(2.0);
        layer.outer.weight = weight(5.0);
        if let Some(gate) = &mut layer.gate {
            gate.weight = weight(3.0);
        }
        let y = layer.forward(Tensor::<2>::from_data([[x]], &device));
        y.into_scalar()
    }

    #[test]
    fn each_kind_follows_its_formula() {
        assert_eq!(output(ActivationKind::Relu, 1.5), 15.0);
        assert_eq!(output(ActivationKind::Relu, -1.5), 0.0);
        // P(z <= 1) = 0.841345
        assert!((output(ActivationKind::Gelu, 0.5) - 5.0 * 0.841_345).abs() < 1e-4);
        let expected = 5.0 * (1.0 / (1.0 + (-1.0f32).exp())) * 1.5;
        assert!((output(ActivationKind::Swiglu, 0.5) - expected).abs() < 1e-5);
    }
}
