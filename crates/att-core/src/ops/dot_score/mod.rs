//! Dot-product scores as one operation.

#[cfg(feature = "cpu")]
mod backward;
#[cfg(feature = "cpu")]
pub(in crate::ops) mod cpu;
mod reference;

use burn::tensor::{Tensor, assert_shape};

pub use reference::dot_score_reference;

/// Dot-product attention scores (Luong et al. 2015, eq. 8; with a scale Vaswani et al. 2017, eq. 1):
/// `scores[b, t, s] = scale query[b, t] . keys[b, s]`.
///
/// - `query`: `[batch, tgt_len, d]`
/// - `keys`: `[batch, src_len, d]`
/// - returns the scores, `[batch, tgt_len, src_len]`
///
/// On the CPU backends in f32 this is one node on the tape that reads the keys where they lie, a
/// small product a source. Elsewhere it is composed of tensor operations.
///
/// # Panics
///
/// If the shapes disagree, or a size is 0.
pub fn dot_score(query: Tensor<3>, keys: Tensor<3>, scale: f64) -> Tensor<3> {
    let [batch, tgt_len, d] = query.dims();
    let [_, src_len, _] = keys.dims();
    assert_shape!(keys, [batch, src_len, d]);
    assert!(
        batch * tgt_len * src_len * d > 0,
        "queries of {:?} and keys of {:?}: nothing to score",
        query.dims(),
        keys.dims()
    );
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&query) {
        return Tensor::from_dispatch(<burn::backend::Dispatch as cpu::DotScoreOps>::dot_score(
            query.into_dispatch(),
            keys.into_dispatch(),
            scale as f32,
        ));
    }
    dot_score_reference(query, keys, scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{
        assert_close, assert_slopes, cpu_devices, gradients, random_tensor,
    };

    /// batch, tgt_len, src_len, d.
    const SIZES: [[usize; 4]; 4] = [[1, 1, 1, 1], [3, 1, 5, 33], [2, 4, 3, 7], [5, 9, 20, 64]];

    fn each(test: impl Fn([Tensor<3>; 2])) {
        for device in cpu_devices() {
            for [batch, tgt_len, src_len, d] in SIZES {
                crate::random::seed(3);
                test([
                    random_tensor([batch, tgt_len, d], &device),
                    random_tensor([batch, src_len, d], &device),
                ]);
            }
        }
    }

    fn run([query, keys]: [Tensor<3>; 2]) -> Tensor<3> {
        dot_score(query, keys, 0.7)
    }

    #[test]
    fn values_and_gradients_equal_those_of_the_reference() {
        each(|arguments| {
            let reference = |[query, keys]: [Tensor<3>; 2]| dot_score_reference(query, keys, 0.7);
            assert_close(run(arguments.clone()), reference(arguments.clone()), 1e-5);
            let fused = gradients(arguments.clone(), run);
            for (fused, reference) in fused.into_iter().zip(gradients(arguments, reference)) {
                assert_close(fused, reference, 1e-5);
            }
        });
    }

    #[test]
    fn gradients_equal_finite_differences() {
        each(|arguments| assert_slopes(arguments, run));
    }

    #[test]
    #[should_panic(expected = "nothing to score")]
    fn an_empty_batch_is_refused() {
        let device = &cpu_devices()[0];
        dot_score(
            Tensor::zeros([0, 2, 4], device),
            Tensor::zeros([0, 3, 4], device),
            1.0,
        );
    }
}
