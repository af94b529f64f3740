//! What operations are called with.

use att_core::random;
use burn::tensor::{Device, Tensor, TensorData};

/// Normal numbers.
pub fn tensor<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let data = random::normal(shape.iter().product(), 1.0);
    Tensor::from_data(TensorData::new(data, shape), device)
}

/// A matrix that makes numbers of the size of what it is multiplied with.
pub fn matrix(rows: usize, cols: usize, device: &Device) -> Tensor<2> {
    tensor([rows, cols], device) * (1.0 / (rows as f64).sqrt())
}

/// The lengths of a ragged batch: from half of `len` to the whole.
pub fn lengths(batch: usize, len: usize) -> Vec<usize> {
    (0..batch).map(|row| len - row % (len / 2).max(1)).collect()
}

/// Tensors that an operation takes: none, one, or a tuple of them, or of tuples.
pub trait Arguments: Clone {
    /// The same on the tape, each tracked.
    fn tracked(self) -> Self;
}

impl Arguments for () {
    fn tracked(self) -> Self {}
}

impl<const D: usize> Arguments for Tensor<D> {
    fn tracked(self) -> Self {
        self.autodiff().require_grad()
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: Arguments),+> Arguments for ($($name,)+) {
            #[allow(non_snake_case)] // the names of the types serve as those of the values
            fn tracked(self) -> Self {
                let ($($name,)+) = self;
                ($($name.tracked(),)+)
            }
        }
    };
}

tuples!(A B);
tuples!(A B C);
tuples!(A B C E);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_lengths_lie_between_half_and_the_whole() {
        assert_eq!(lengths(5, 6), [6, 5, 4, 6, 5]);
        assert_eq!(lengths(2, 1), [1, 1]);
    }
}
