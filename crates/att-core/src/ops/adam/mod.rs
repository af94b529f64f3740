//! A step of Adam, one pass over a weight and its state.

#[cfg(feature = "cpu")]
mod cpu;
mod generic;
#[cfg(test)]
mod tests;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;

/// The numbers of one step of Adam; those of the decays as burn's optimiser has them.
#[derive(Clone, Debug)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Share of each weight taken off, times the learning rate; 0 for Adam without the W.
    pub weight_decay: f32,
    /// What gradients are multiplied by first: below 1 where they are clipped.
    pub scale: f32,
    /// The step's number, from 1.
    pub time: usize,
}

/// [`AdamStep`] as the elementwise formula has it.
#[derive(Clone, Copy, Debug)]
struct Factors {
    scale: f32,
    beta_1: f32,
    beta_2: f32,
    /// `epsilon sqrt(1 - beta_2^t)`
    epsilon: f32,
    /// `lr sqrt(1 - beta_2^t) / (1 - beta_1^t)`
    lr: f32,
    /// `1 - lr weight_decay`
    keep: f32,
}

impl AdamStep {
    fn factors(&self) -> Factors {
        let time = self.time as i32;
        let root = (1.0 - f64::from(self.beta_2).powi(time)).sqrt();
        let first = 1.0 - f64::from(self.beta_1).powi(time);
        Factors {
            scale: self.scale,
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: (f64::from(self.epsilon) * root) as f32,
            lr: (self.lr * root / first) as f32,
            keep: (1.0 - self.lr * f64::from(self.weight_decay)) as f32,
        }
    }
}

/// One step of Adam (Kingma and Ba 2015, algorithm 1) or, with a weight decay, of AdamW (Loshchilov
/// and Hutter 2019, algorithm 2), elementwise:
///
/// ```text
/// g = scale grad
/// m = beta_1 m + (1 - beta_1) g
/// v = beta_2 v + (1 - beta_2) g^2
/// w = (1 - lr weight_decay) w - lr (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)
/// ```
///
/// - `weight`: w; `grad`: of the same shape
/// - `moments`: m and v, of the same shape; zeros before the first step
/// - returns w and the moments. On CPU they are written where they lie, unless another tensor
///   shares the numbers
///
/// Not for the tape: all tensors are of the inner backend.
///
/// # Panics
///
/// If the shapes disagree, or a size or `time` is 0.
pub fn adam_step<const D: usize>(
    weight: Tensor<D>,
    grad: Tensor<D>,
    moments: [Tensor<D>; 2],
    step: &AdamStep,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    assert!(step.time > 0, "the first step has number 1");
    super::assert_some("adam_step", &weight);
    let [m, v] = moments;
    for tensor in [&grad, &m, &v] {
        assert_eq!(tensor.dims(), weight.dims(), "of the weight's shape");
    }
    let (weight, m, v) = Dispatch::adam_step(
        weight.into_dispatch(),
        grad.into_dispatch(),
        m.into_dispatch(),
        v.into_dispatch(),
        step.clone(),
    );
    let moments = [m, v].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(weight), moments)
}

/// The sum of the squares of all elements, `[1]`; on CPU without a tensor of the squares, and in an
/// order that does not depend on the threads. Not for the tape.
///
/// # Panics
///
/// If a size is 0.
pub fn square_sum<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    super::assert_some("square_sum", &x);
    Tensor::from_dispatch(Dispatch::square_sum(x.into_dispatch()))
}

/// The operations of Adam of a backend. Names as in [`adam_step`]; the default bodies are made of
/// the backend's own float operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Remote: cfg(feature = "remote")
)]
pub trait AdamOps: Backend {
    /// w, m and v.
    fn adam_step(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        generic::step::<Self>(weight, grad, m, v, step.factors())
    }

    /// The sum of the squares, `[1]`.
    fn square_sum(x: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::square_sum::<Self>(x)
    }
}

#[cfg(feature = "cube")]
impl AdamOps for burn_cubecl::CubeBackend {}

#[cfg(feature = "remote")]
impl AdamOps for burn::backend::Remote {}
