use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Dropout, LayerNorm};

/// Where a [`Residual`] normalises; in TOML `norm = "pre"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPlace {
    /// Before the sublayer, `x + f(norm(x))`: trains without warm-up (Xiong et al. 2020).
    #[default]
    Pre,
    /// After the sum, `norm(x + f(x))` (Vaswani et al. 2017, sec. 3.1).
    Post,
}

/// The connection around a sublayer f, such as attention:
///
/// ```text
/// y = x + dropout(f(norm(x)))        pre
/// y = norm(x + dropout(f(x)))        post
/// ```
///
/// [`before`](Self::before) gives what f reads, [`after`](Self::after) takes what f gave.
#[derive(Module, Debug)]
pub struct Residual {
    /// On what the sublayer reads, or on the sum.
    pub norm: LayerNorm,
    /// On what the sublayer gives.
    pub dropout: Dropout,
    #[module(skip)]
    place: NormPlace,
}

impl Residual {
    /// Around a sublayer of vectors of `d`.
    ///
    /// # Panics
    ///
    /// If `dropout` is not in `[0, 1)`.
    pub fn new(d: usize, place: NormPlace, dropout: f64, device: &Device) -> Self {
        Self {
            norm: LayerNorm::new(d, device),
            dropout: Dropout::new(dropout),
            place,
        }
    }

    /// What the sublayer reads of `x`, `[.., d]`.
    pub fn before<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.place {
            NormPlace::Pre => self.norm.forward(x),
            NormPlace::Post => x,
        }
    }

    /// `x` joined by what the sublayer `gave`, both `[.., d]`.
    pub fn after<const D: usize>(&self, x: Tensor<D>, gave: Tensor<D>) -> Tensor<D> {
        let sum = x + self.dropout.forward(gave);
        match self.place {
            NormPlace::Pre => sum,
            NormPlace::Post => self.norm.forward(sum),
        }
    }
}
