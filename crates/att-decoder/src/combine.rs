use att_layers::{Linear, init};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// How the context joins another vector; in TOML `combine = "concat"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CombineKind {
    /// `[x; c]`.
    #[default]
    Concat,
    /// `x + W c`: no larger than x.
    Add,
}

impl CombineKind {
    /// Size of the result for an `x` of `d_x` and a context of `d_context`.
    pub(crate) fn d_output(self, d_x: usize, d_context: usize) -> usize {
        match self {
            Self::Concat => d_x + d_context,
            Self::Add => d_x,
        }
    }

    pub(crate) fn init(self, d_x: usize, d_context: usize, device: &Device) -> Combine {
        Combine {
            projection: (self == Self::Add).then(|| init::linear(d_context, d_x, false, device)),
        }
    }
}

/// Joins the context to another vector.
#[derive(Module, Debug)]
pub struct Combine {
    /// W of [`CombineKind::Add`].
    pub projection: Option<Linear>,
}

impl Combine {
    /// Along the last axis: `x` of `[.., d_x]`, `context` of `[.., d_context]`.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>, context: Tensor<D>) -> Tensor<D> {
        match &self.projection {
            None => Tensor::cat(vec![x, context], D - 1),
            Some(projection) => x + projection.forward(context),
        }
    }
}
